// Why this file exists: the wrapper of nghttp2 behind http2_session.h. Only here (and in
// http2_callbacks.h) are nghttp2's types seen.
//
// Output path: a unary answer costs one copy. The data provider answers NO_COPY, so nghttp2 hands
// out the frame header and http2_callbacks.h appends header and payload straight to the
// connection's buffer; trailers are submitted from inside the provider, so headers, data and
// trailers leave in one write.
#include "wire/http2/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>

#include "wire/http2/http2_callbacks.h"

namespace capstan::wire {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kDrainPing = 0x6361'7073'7461'6e01;
constexpr std::size_t kSpareStreams = 128;  // until give_memory_back()
constexpr std::size_t kFrameHeaderBytes = 9;

nghttp2_option* make_options(Http2Session::Role role, const Http2Session::Options& options) {
  nghttp2_option* option = nullptr;
  CAPSTAN_ASSERT(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, limits::kHttp2OutboundAcksMax);
  nghttp2_option_set_max_settings(option, limits::kHttp2SettingsEntriesMax);
  // Ours answers first and with the better code; nghttp2's stays as a second line.
  nghttp2_option_set_stream_reset_rate_limit(option, options.reset_burst * 10ULL,
                                             options.resets_per_second * 10ULL);
  // The few headers of our answers fit, and an idle connection costs less.
  nghttp2_option_set_max_deflate_dynamic_table_size(option, 1024);
  // An answer's trailers may carry a long message; requests are bounded by header_list_bytes. A
  // request beyond what servers take fails alone: they would end the connection of all calls.
  nghttp2_option_set_max_send_header_block_length(
      option, role == Http2Session::Role::kServer ? 256U << 10 : 128U << 10);
  return option;
}

}  // namespace

Http2Session::Http2Session(Role role, Http2Events& events, const Options& options)
    : role_(role),
      events_(events),
      options_(options),
      resets_{options.reset_burst},
      chatter_{options.chatter_burst} {
  nghttp2_session_callbacks* callbacks = Http2Callbacks::make();
  nghttp2_option* option = make_options(role, options);
  nghttp2_mem memory = Http2Callbacks::allocator(memory_);
  const int made = role == Role::kServer
                       ? nghttp2_session_server_new3(&session_, callbacks, this, option, &memory)
                       : nghttp2_session_client_new3(&session_, callbacks, this, option, &memory);
  memory_.made();
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  CAPSTAN_ASSERT(made == 0);

  std::array<nghttp2_settings_entry, 5> settings;
  std::size_t count = 0;
  const auto add = [&](std::int32_t id, std::uint32_t value) { settings[count++] = {id, value}; };
  if (role == Role::kServer) {
    add(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
    add(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
  } else {
    add(NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
  }
  add(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window_bytes);
  add(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options.header_list_bytes));
  CAPSTAN_ASSERT(nghttp2_submit_settings(session_, 0, settings.data(), count) == 0);
  CAPSTAN_ASSERT(nghttp2_session_set_local_window_size(
                     session_, 0, 0, static_cast<std::int32_t>(options.connection_window_bytes)) ==
                 0);
}

Http2Session::~Http2Session() {
  forget_headers();
  nghttp2_session_del(session_);  // calls nobody back
  while (first_) remove_stream(first_);
}

// --- bytes --------------------------------------------------------------------------------------

Result<void> Http2Session::receive(ByteView bytes, std::uint64_t now_ns) {
  now_ns_ = now_ns;
  if (abandoned_) return fail(Code::kUnavailable, "HTTP/2 connection is closed");
  if (role_ == Role::kClient) return feed(bytes);
  while (!bytes.empty()) {
    const auto step = watch_.look(bytes);
    TRY(feed(bytes.first(step.bytes)));
    if (step.wrong != StreamHistory::Fate::kUsed) refuse_frame(step);
    bytes = bytes.subspan(step.bytes);
  }
  return {};
}

Result<void> Http2Session::feed(ByteView bytes) {
  const auto taken = nghttp2_session_mem_recv(session_, bytes.data(), bytes.size());
  if (taken < 0) {
    std::string message = "HTTP/2: ";
    message += nghttp2_strerror(static_cast<int>(taken));
    if (!last_complaint_.empty()) message += " (" + last_complaint_ + ")";
    return fail(Code::kUnavailable, std::move(message));
  }
  return {};
}

Result<void> Http2Session::collect(ByteQueue& out, std::size_t limit) {
  if (abandoned_) return {};
  out_ = &out;
  Result<void> result;
  while (out.size() < limit) {
    const std::uint8_t* data = nullptr;
    const auto length = nghttp2_session_mem_send(session_, &data);
    if (length == 0) break;
    if (length < 0) {
      result = fail(Code::kInternal,
                    std::string("HTTP/2 output: ") + nghttp2_strerror(static_cast<int>(length)));
      break;
    }
    append_frame({data, static_cast<std::size_t>(length)});
  }
  out_ = nullptr;
  return result;
}

void Http2Session::append_frame(ByteView frame) {
  const bool headers =
      role_ == Role::kServer && frame.size() >= kFrameHeaderBytes && frame[3] == NGHTTP2_HEADERS;
  headers ? append_headers(frame) : out_->append(frame);
}

void Http2Session::append_headers(ByteView frame) {
  const std::uint8_t flags = frame[4];
  const auto id = static_cast<std::int32_t>(load_be32(frame.data() + 5));
  const ByteView block = frame.subspan(kFrameHeaderBytes);
  if (flags == NGHTTP2_FLAG_END_HEADERS && block_is_empty(block)) {  // see respond_usual()
    ByteQueue literal;
    if (!response_block_.known()) {
      for (const auto& [name, value] : usual_response_) append_plain_header(literal, name, value);
    }
    const ByteView usual = response_block_.known() ? response_block_.bytes() : literal.view();
    append_frame_header(*out_, block.size() + usual.size(), NGHTTP2_HEADERS, flags, id);
    out_->append(block);
    return out_->append(usual);
  }
  out_->append(frame);
  const bool is_usual = std::exchange(sends_usual_, false);
  const bool whole = (flags & NGHTTP2_FLAG_END_HEADERS) != 0;
  if (!whole || !block_is_references(block)) {  // the table may have changed
    response_block_.forget();
    return trailers_block_.forget();
  }
  if (!is_usual) return;
  const bool last = (flags & NGHTTP2_FLAG_END_STREAM) != 0;
  (last ? trailers_block_ : response_block_).learn(block);
}

bool Http2Session::wants_write() const {
  return !abandoned_ && nghttp2_session_want_write(session_) != 0;
}

bool Http2Session::finished() const {
  return abandoned_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void Http2Session::give_memory_back() {
  spare_.clear();
  spare_.shrink_to_fit();
  headers_.shrink_to_fit();  // between receive() and receive() a header block may be half there
  header_texts_.shrink_to_fit();
  memory_.give_back(wants_write());
  events_.on_idle();
}

void Http2Session::abandon(Http2Error error) {
  if (abandoned_) return;
  abandoned_ = true;
  while (first_) {
    auto* stream = first_;
    nghttp2_session_set_stream_user_data(session_, stream->id_, nullptr);
    events_.on_closed(*stream, error);
    remove_stream(stream);
  }
}

// --- streams ------------------------------------------------------------------------------------

Http2Stream* Http2Session::add_stream(std::int32_t id) {
  std::unique_ptr<Http2Stream> stream;
  if (spare_.empty()) {
    stream = std::make_unique<Http2Stream>();
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
  }
  stream->id_ = id;
  stream->next_ = first_;
  if (first_) first_->previous_ = stream.get();
  first_ = stream.release();
  ++open_streams_;
  return first_;
}

void Http2Session::remove_stream(Http2Stream* raw) {
  std::unique_ptr<Http2Stream> stream(raw);
  if (stream->previous_) stream->previous_->next_ = stream->next_;
  if (stream->next_) stream->next_->previous_ = stream->previous_;
  if (first_ == raw) first_ = stream->next_;
  --open_streams_;
  if (stream->unwanted_) --unwanted_streams_;
  took(*stream, stream->output_.size());
  if (spare_.size() >= kSpareStreams) return;
  // Everything back to the start but the memory.
  ByteQueue output = std::move(stream->output_);
  std::string trailer_bytes = std::move(stream->trailer_bytes_);
  std::vector<std::uint32_t> trailer_sizes = std::move(stream->trailer_sizes_);
  *stream = Http2Stream{};
  output.clear();
  trailer_bytes.clear();
  trailer_sizes.clear();
  stream->output_ = std::move(output);
  stream->trailer_bytes_ = std::move(trailer_bytes);
  stream->trailer_sizes_ = std::move(trailer_sizes);
  spare_.push_back(std::move(stream));
}

void Http2Session::close_stream(Http2Stream* stream, Http2Error error) {
  events_.on_closed(*stream, error);
  // What nobody consumed must not stay charged to the connection.
  if (stream->unconsumed_ != 0) {
    unconsumed_bytes_ -= stream->unconsumed_;
    nghttp2_session_consume_connection(session_, stream->unconsumed_);
    widen();
  }
  remove_stream(stream);
}

bool Http2Session::can_open() const {
  return !abandoned_ && !goaway_received_ && !draining_ &&
         nghttp2_session_check_request_allowed(session_) != 0;
}

Http2Stream* Http2Session::open(Headers headers, bool end, void* context) {
  CAPSTAN_ASSERT(role_ == Role::kClient);
  if (!can_open()) return nullptr;
  auto* stream = add_stream(0);
  stream->context = context;
  stream->answered_ = true;
  stream->finished_ = end;
  NameValues values(headers);
  const nghttp2_data_provider provider = Http2Callbacks::provider(stream);
  const auto id = nghttp2_submit_request(session_, nullptr, values.data(), values.size(),
                                         end ? nullptr : &provider, stream);
  if (id < 0) {
    remove_stream(stream);
    return nullptr;
  }
  stream->id_ = id;
  return stream;
}

void Http2Session::inform(Http2Stream& stream, std::string_view status) {
  CAPSTAN_ASSERT(role_ == Role::kServer);
  if (abandoned_ || stream.answered_) return;
  NameValues values(1);
  values.add({":status", status});
  const int rc = nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr,
                                        values.data(), values.size(), nullptr);
  if (rc != 0) reset(stream, Http2Error::kInternalError);
}

void Http2Session::respond(Http2Stream& stream, Headers headers, bool end) {
  CAPSTAN_ASSERT(role_ == Role::kServer);
  if (abandoned_ || stream.answered_) return;
  stream.answered_ = true;
  stream.finished_ = end;
  NameValues values(headers);
  const nghttp2_data_provider provider = Http2Callbacks::provider(&stream);
  const int rc = nghttp2_submit_response(session_, stream.id_, values.data(), values.size(),
                                         end ? nullptr : &provider);
  if (rc != 0) reset(stream, Http2Error::kInternalError);
}

void Http2Session::set_usual(Headers response, Headers trailers) {
  usual_response_ = response;
  usual_trailers_ = trailers;
}

// nghttp2 is given no headers then, so what it makes is a frame without any, into which
// append_headers() puts them: whatever became of the table meanwhile, it knows then.
void Http2Session::respond_usual(Http2Stream& stream) {
  CAPSTAN_ASSERT(role_ == Role::kServer && !usual_response_.empty());
  stream.usual_response_ = true;
  if (!response_block_.known()) return respond(stream, usual_response_, false);
  if (abandoned_ || stream.answered_) return;
  stream.answered_ = true;
  const nghttp2_data_provider provider = Http2Callbacks::provider(&stream);
  if (nghttp2_submit_response(session_, stream.id_, nullptr, 0, &provider) != 0) {
    reset(stream, Http2Error::kInternalError);
  }
}

// Output that has been sent or will never be.
void Http2Session::took(const Http2Stream& stream, std::size_t count) {
  unsent_bytes_ -= count;
  if (!stream.paced) unpaced_bytes_ -= count;
}

std::uint8_t* Http2Session::reserve(Http2Stream& stream, std::size_t count) {
  return stream.output_.reserve(count);
}

void Http2Session::write(Http2Stream& stream, std::size_t count) {
  if (stream.finished_) return;  // reset meanwhile: nobody will read it
  stream.output_.commit(count);
  unsent_bytes_ += count;
  if (!stream.paced) unpaced_bytes_ += count;
  resume(stream);
}

void Http2Session::resume(Http2Stream& stream) {
  if (!stream.deferred_ || abandoned_) return;
  stream.deferred_ = false;
  nghttp2_session_resume_data(session_, stream.id_);
}

void Http2Session::finish(Http2Stream& stream, Headers trailers) {
  if (stream.finished_) return;
  stream.finished_ = true;
  for (const auto& trailer : trailers) {
    stream.trailer_bytes_.append(trailer.name).append(trailer.value);
    stream.trailer_sizes_.push_back(static_cast<std::uint32_t>(trailer.name.size()));
    stream.trailer_sizes_.push_back(static_cast<std::uint32_t>(trailer.value.size()));
  }
  resume(stream);
}

void Http2Session::finish_usual(Http2Stream& stream) {
  if (stream.finished_) return;
  stream.finished_ = stream.usual_trailers_ = true;
  resume(stream);
}

void Http2Session::queue_trailers(Http2Stream& stream) {
  NameValues values(stream.trailer_sizes_.size() / 2 + usual_trailers_.size());
  if (stream.usual_trailers_) {
    for (const auto& trailer : usual_trailers_) values.add(trailer);
  }
  std::size_t at = 0;
  const std::string_view bytes = stream.trailer_bytes_;
  for (std::size_t i = 0; i < stream.trailer_sizes_.size(); i += 2) {
    const auto name = bytes.substr(at, stream.trailer_sizes_[i]);
    at += name.size();
    const auto value = bytes.substr(at, stream.trailer_sizes_[i + 1]);
    at += value.size();
    values.add({name, value});
  }
  if (nghttp2_submit_trailer(session_, stream.id_, values.data(), values.size()) != 0) {
    reset(stream, Http2Error::kInternalError);
  }
}

void Http2Session::reset(Http2Stream& stream, Http2Error error) {
  if (abandoned_ || stream.reset_) return;
  stream.reset_ = stream.finished_ = true;
  nghttp2_submit_rst_stream(session_, 0, stream.id_, static_cast<std::uint32_t>(error));
}

// The whole answer has left.
void Http2Session::answered(Http2Stream& stream) {
  if (stream.remote_ended_ || stream.unwanted_ || stream.reset_) return;
  stream.unwanted_ = true;
  ++unwanted_streams_;
}

bool Http2Session::reset_unwanted(std::uint64_t now_ns) {
  bool more = false;
  for (auto* stream = first_; stream && unwanted_streams_ != 0; stream = stream->next_) {
    if (!stream->unwanted_ || stream->reset_) continue;
    if (stream->unwanted_since_ns_ == 0) stream->unwanted_since_ns_ = now_ns;
    if (now_ns - stream->unwanted_since_ns_ >= limits::kHttp2UnwantedNanos) {
      reset(*stream, Http2Error::kNoError);
    } else {
      more = true;
    }
  }
  return more;
}

void Http2Session::consume(Http2Stream& stream, std::size_t count) {
  count = std::min(count, stream.unconsumed_);
  if (count == 0 || abandoned_) return;
  stream.unconsumed_ -= count;
  unconsumed_bytes_ -= count;
  nghttp2_session_consume(session_, stream.id_, count);
  widen();
}

// nghttp2 opens the connection's window again once half of it was consumed. That half never comes
// when streams that nobody reads hold more than the other one, and all the others would stand
// still: it is opened once half of what they leave was consumed, however they come to hold it.
// Without such streams it is the same half.
void Http2Session::widen() {
  if (abandoned_) return;
  const auto window = nghttp2_session_get_effective_local_window_size(session_);
  const auto received = nghttp2_session_get_effective_recv_data_length(session_);
  const auto consumed = received - static_cast<std::int32_t>(unconsumed_bytes_);
  if (consumed > window - received) nghttp2_submit_window_update(session_, 0, 0, consumed);
}

// --- connection ---------------------------------------------------------------------------------

void Http2Session::begin_drain() {
  if (draining_ || abandoned_) return;
  draining_ = true;
  if (role_ == Role::kClient) return goaway();  // it knows what it has asked for
  nghttp2_submit_shutdown_notice(session_);
  ping(kDrainPing);
}

void Http2Session::seal() {
  if (draining_ && !sealed_ && !abandoned_) goaway();
}

void Http2Session::goaway() {
  sealed_ = true;
  nghttp2_submit_goaway(session_, 0, nghttp2_session_get_last_proc_stream_id(session_), 0, nullptr,
                        0);
}

void Http2Session::terminate(Http2Error error) {
  if (abandoned_) return;
  draining_ = true;
  nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(error));
}

void Http2Session::ping(std::uint64_t opaque) {
  if (abandoned_) return;
  std::array<std::uint8_t, 8> bytes;
  store_le(bytes.data(), opaque);
  nghttp2_submit_ping(session_, 0, bytes.data());
}

bool Http2Session::Budget::spend(std::uint64_t now_ns, std::uint32_t burst,
                                 std::uint32_t per_second) {
  const std::uint64_t elapsed = now_ns - refilled_ns;
  const std::uint64_t refill = elapsed >= kSecond * 3600 ? burst : elapsed * per_second / kSecond;
  if (refill != 0) {
    tokens = std::min<std::uint64_t>(tokens + refill, burst);
    refilled_ns = now_ns;
  }
  if (tokens == 0) return false;
  --tokens;
  return true;
}

void Http2Session::refuse_frame(const FrameWatch::Step& step) {
  if (step.wrong == StreamHistory::Fate::kReset) {
    spend_reset();  // now and when it is sent, which a peer that does not read puts off
    if (sealed_) return;
    nghttp2_submit_rst_stream(session_, 0, step.stream, NGHTTP2_STREAM_CLOSED);
    return;
  }
  last_complaint_ = "a frame on stream " + std::to_string(step.stream) + ", which is closed";
  terminate(step.wrong == StreamHistory::Fate::kEnded ? Http2Error::kStreamClosed
                                                      : Http2Error::kProtocolError);
}

// A peer that opens and resets streams makes us do work that nobody wants (CVE-2023-44487).
void Http2Session::spend_reset() {
  if (role_ != Role::kServer || sealed_) return;
  if (resets_.spend(now_ns_, options_.reset_burst, options_.resets_per_second)) return;
  calm("the peer resets streams too often", "too_many_resets");
}

void Http2Session::spend_chatter() {
  if (role_ != Role::kServer || sealed_) return;
  if (chatter_.spend(now_ns_, options_.chatter_burst, options_.chatter_per_second)) return;
  // The text is what gRPC's clients know: they ping less often then.
  calm("the peer sends too many frames that ask for nothing", "too_many_pings");
}

void Http2Session::calm(std::string complaint, std::string_view debug) {
  sealed_ = true;
  last_complaint_ = std::move(complaint);
  nghttp2_submit_goaway(session_, 0, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_ENHANCE_YOUR_CALM,
                        reinterpret_cast<const std::uint8_t*>(debug.data()), debug.size());
  terminate(Http2Error::kEnhanceYourCalm);
}

std::string_view http2_error_name(Http2Error error) {
  static constexpr std::array<std::string_view, 14> kNames = {"NO_ERROR",
                                                              "PROTOCOL_ERROR",
                                                              "INTERNAL_ERROR",
                                                              "FLOW_CONTROL_ERROR",
                                                              "SETTINGS_TIMEOUT",
                                                              "STREAM_CLOSED",
                                                              "FRAME_SIZE_ERROR",
                                                              "REFUSED_STREAM",
                                                              "CANCEL",
                                                              "COMPRESSION_ERROR",
                                                              "CONNECT_ERROR",
                                                              "ENHANCE_YOUR_CALM",
                                                              "INADEQUATE_SECURITY",
                                                              "HTTP_1_1_REQUIRED"};
  const auto index = static_cast<std::size_t>(error);
  return index < kNames.size() ? kNames[index] : std::string_view("UNKNOWN");
}

// Called by http2_callbacks.cc when the PING of begin_drain() comes back.
bool Http2Callbacks::is_drain_ping(std::uint64_t opaque) {
  return opaque == kDrainPing;
}

}  // namespace capstan::wire
