// Why this file exists: what nghttp2 tells us, turned into Http2Events. No callback ever fails:
// failing one would make nghttp2 tear the connection down in its own way, and the limits here want
// an answer that the peer understands.
#include "wire/http2/http2_callbacks.h"

#include <algorithm>

namespace capstan::wire {

namespace {

Http2Session& session_of(void* self) {
  return *static_cast<Http2Session*>(self);
}

Http2Memory& memory_of(void* memory) {
  return *static_cast<Http2Memory*>(memory);
}

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return as_text({bytes.base, bytes.len});
}

constexpr std::uint64_t kWakePing = 0x6361'7073'7461'6e03;

// Neither bytes nor an end.
bool is_empty_data(const nghttp2_frame& frame) {
  return frame.hd.type == NGHTTP2_DATA && frame.hd.length == frame.data.padlen &&
         (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0;
}

}  // namespace

Http2Stream* Http2Callbacks::stream_of(nghttp2_session* session, std::int32_t id) {
  return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
}

nghttp2_session_callbacks* Http2Callbacks::make() {
  nghttp2_session_callbacks* callbacks = nullptr;
  CAPSTAN_ASSERT(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(callbacks, header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_received);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frame_not_sent);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
  nghttp2_session_callbacks_set_error_callback2(callbacks, complain);
  return callbacks;
}

nghttp2_data_provider Http2Callbacks::provider(Http2Stream* stream) {
  nghttp2_data_provider provider;
  provider.source.ptr = stream;
  provider.read_callback = read_output;
  return provider;
}

nghttp2_mem Http2Callbacks::allocator(Http2Memory& memory) {
  return {&memory, [](std::size_t bytes, void* raw) { return memory_of(raw).allocate(bytes); },
          [](void* block, void* raw) { memory_of(raw).release(block); },
          [](std::size_t count, std::size_t bytes, void* raw) {
            return memory_of(raw).allocate_zeros(count, bytes);
          },
          [](void* block, std::size_t bytes, void* raw) {
            return memory_of(raw).resize(block, bytes);
          }};
}

// Priorities are not used (and announced as not used), so nghttp2 shows nothing else of them.
int Http2Callbacks::begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* raw) {
  if (header->type != NGHTTP2_PRIORITY) return 0;
  auto& self = session_of(raw);
  if (header->stream_id == 0) self.terminate(Http2Error::kProtocolError);
  self.spend_chatter();
  return 0;
}

int Http2Callbacks::begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* raw) {
  auto& self = session_of(raw);
  self.forget_headers();
  self.header_list_bytes_ = 0;
  self.headers_too_large_ = false;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    auto* stream = self.add_stream(frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  }
  return 0;
}

// The texts are nghttp2's, most of them in its table; holding them keeps them.
int Http2Callbacks::header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf* name,
                           nghttp2_rcbuf* value, std::uint8_t, void* raw) {
  auto& self = session_of(raw);
  const Header header{text_of(name), text_of(value)};
  self.header_list_bytes_ += header.name.size() + header.value.size() + 32;  // RFC 9113 6.5.2
  if (self.header_list_bytes_ > self.options_.header_list_bytes) {
    self.headers_too_large_ = true;
    return 0;
  }
  for (auto* text : {name, value}) {
    nghttp2_rcbuf_incref(text);
    self.header_texts_.push_back(text);
  }
  self.headers_.push_back(header);
  return 0;
}

void Http2Session::forget_headers() {
  headers_.clear();
  for (auto* text : header_texts_) nghttp2_rcbuf_decref(text);
  header_texts_.clear();
}

void Http2Callbacks::headers_complete(Http2Session& self, Http2Stream& stream,
                                      const nghttp2_frame& frame) {
  auto kind = HeadersKind::kTrailers;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) kind = HeadersKind::kRequest;
  // A 1xx response is followed by another block with category HEADERS: told apart by :status.
  if (frame.headers.cat == NGHTTP2_HCAT_RESPONSE ||
      (!self.headers_.empty() && self.headers_[0].name == ":status")) {
    kind = HeadersKind::kResponse;
    if (!self.headers_.empty() && self.headers_[0].value.starts_with('1')) return;
  }
  self.events_.on_headers(stream, kind, self.headers_, self.headers_too_large_);
  self.forget_headers();
}

int Http2Callbacks::frame_received(nghttp2_session* session, const nghttp2_frame* frame,
                                   void* raw) {
  auto& self = session_of(raw);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      auto* stream = stream_of(session, frame->hd.stream_id);
      if (!stream) break;
      if (frame->hd.type == NGHTTP2_HEADERS) headers_complete(self, *stream, *frame);
      if (is_empty_data(*frame)) self.spend_chatter();
      if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        stream->remote_ended_ = true;
        // curl 7.88 sees that a stream is over when something comes, and nothing would come now.
        if (stream->unwanted_) self.ping(kWakePing);
        self.events_.on_end(*stream);
      }
      break;
    }
    case NGHTTP2_RST_STREAM: {
      // Who has the whole answer and leaves with it has cost nothing.
      const auto* stream = stream_of(session, frame->hd.stream_id);
      if (!stream || !stream->unwanted_) self.spend_reset();
      break;
    }
    case NGHTTP2_SETTINGS:
      if (frame->hd.flags & NGHTTP2_FLAG_ACK) break;
      self.response_block_.forget();  // it may be about the table
      self.trailers_block_.forget();
      self.spend_chatter();
      self.peer_started_ = true;
      self.events_.on_settings();
      break;
    case NGHTTP2_PING: {
      if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        self.spend_chatter();
        break;
      }
      const auto opaque = load_le<std::uint64_t>(frame->ping.opaque_data);
      if (is_drain_ping(opaque)) self.seal();
      self.events_.on_ping_ack(opaque);
      break;
    }
    case NGHTTP2_GOAWAY:
      self.goaway_received_ = true;
      self.events_.on_goaway(frame->goaway.last_stream_id,
                             static_cast<Http2Error>(frame->goaway.error_code),
                             {frame->goaway.opaque_data, frame->goaway.opaque_data_len});
      break;
    default: break;
  }
  return 0;
}

int Http2Callbacks::data_received(nghttp2_session* session, std::uint8_t, std::int32_t id,
                                  const std::uint8_t* data, std::size_t size, void* raw) {
  auto* stream = stream_of(session, id);
  if (!stream) {
    nghttp2_session_consume(session, id, size);
    return 0;
  }
  auto& self = session_of(raw);
  stream->unconsumed_ += size;
  self.unconsumed_bytes_ += size;
  self.events_.on_data(*stream, {data, size});
  self.widen();
  if (!stream->unwanted_) return 0;
  stream->unwanted_since_ns_ = 0;
  stream->unwanted_bytes_ += static_cast<std::uint32_t>(size);
  if (stream->unwanted_bytes_ > limits::kHttp2UnwantedBytes) {
    self.reset(*stream, Http2Error::kNoError);
  }
  return 0;
}

int Http2Callbacks::stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t error,
                                  void* raw) {
  auto* stream = stream_of(session, id);
  if (!stream) return 0;
  nghttp2_session_set_stream_user_data(session, id, nullptr);
  session_of(raw).close_stream(stream, static_cast<Http2Error>(error));
  return 0;
}

int Http2Callbacks::frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* raw) {
  auto& self = session_of(raw);
  if (self.role_ != Http2Session::Role::kServer) return 0;
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    // A peer can also make us reset its streams, with the same effect as resetting them itself.
    const auto code = static_cast<Http2Error>(frame->rst_stream.error_code);
    if (code != Http2Error::kNoError && code != Http2Error::kCancel) self.spend_reset();
    return 0;
  }
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  self.chatter_.tokens = self.options_.chatter_burst;  // it asked for something and gets it
  auto* stream = stream_of(session, frame->hd.stream_id);
  const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  // Told before the bytes of the frame come out; a stream that ends with them is gone by then.
  if (frame->hd.type == NGHTTP2_HEADERS) {
    self.sends_usual_ = stream && (last ? stream->usual_trailers_ : stream->usual_response_);
  }
  if (last && stream) self.answered(*stream);
  return 0;
}

int Http2Callbacks::frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error,
                                   void* raw) {
  // A request that could not be sent has no stream yet in nghttp2's eyes and gets no close event.
  auto& self = session_of(raw);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  for (auto* stream = self.first_; stream; stream = stream->next_) {
    if (stream->id_ != frame->hd.stream_id) continue;
    if (nghttp2_session_find_stream(session, stream->id_)) break;  // will be closed by nghttp2
    // Headers that are too large would be so the next time, too.
    self.close_stream(stream, error == NGHTTP2_ERR_FRAME_SIZE_ERROR ? Http2Error::kEnhanceYourCalm
                                                                    : Http2Error::kRefusedStream);
    break;
  }
  return 0;
}

ssize_t Http2Callbacks::read_output(nghttp2_session*, std::int32_t, std::uint8_t*,
                                    std::size_t length, std::uint32_t* flags,
                                    nghttp2_data_source* source, void* raw) {
  auto& stream = *static_cast<Http2Stream*>(source->ptr);
  const std::size_t count = std::min(length, stream.output_.size());
  if (count == 0 && !stream.finished_) {
    stream.deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (count != 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.finished_ && count == stream.output_.size()) {
    auto& self = session_of(raw);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    // Then the end of the stream is this DATA for nghttp2, and send_data() moves it behind.
    stream.replays_trailers_ = stream.usual_trailers_ && count != 0 && self.trailers_block_.known();
    if (!stream.replays_trailers_ && (stream.usual_trailers_ || !stream.trailer_sizes_.empty())) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      self.queue_trailers(stream);
    }
  }
  return static_cast<ssize_t>(count);
}

int Http2Callbacks::send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* frame_header,
                              std::size_t length, nghttp2_data_source* source, void* raw) {
  auto& self = session_of(raw);
  auto& stream = *static_cast<Http2Stream*>(source->ptr);
  // No padding: select_padding_callback is not set.
  const bool last = stream.replays_trailers_;
  append_frame_header(*self.out_, length, NGHTTP2_DATA, last ? 0 : frame_header[4], stream.id_);
  self.out_->append(stream.output_.view().first(length));
  if (last) {
    ++self.replayed_trailers_;
    const ByteView block = self.trailers_block_.bytes();
    append_frame_header(*self.out_, block.size(), NGHTTP2_HEADERS,
                        NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream.id_);
    self.out_->append(block);
  }
  stream.output_.pop(length);
  stream.sent_bytes_ += length;
  self.took(stream, length);
  self.events_.on_sent(stream);
  return 0;
}

int Http2Callbacks::complain(nghttp2_session*, int, const char* text, std::size_t size, void* raw) {
  session_of(raw).last_complaint_.assign(text, std::min<std::size_t>(size, 200));
  return 0;
}

}  // namespace capstan::wire
