// Why this file exists: see link.h. The writer ends the link in the regular case (after the close
// frame), the reader in all others.
#include "wire/muxio/link.h"

#include <algorithm>

#include "wire/muxio/limits.h"

namespace capstan::wire::muxio {

namespace {
WebSocketDecoder::Role role_of(Link::Framing framing) {
  return framing == Link::Framing::kWebSocketClient ? WebSocketDecoder::Role::kClient
                                                    : WebSocketDecoder::Role::kServer;
}
}  // namespace

Link::Link(core::Reactor& reactor, std::unique_ptr<core::Stream> stream, std::string prefix,
           LinkEvents& events, const Options& options)
    : reactor_(reactor),
      stream_(std::move(stream)),
      events_(events),
      options_(options),
      decoder_(role_of(options.framing)),
      input_(std::make_unique_for_overwrite<std::uint8_t[]>(limits::kMuxioReadBytes)),
      prefix_(std::move(prefix)),
      keepalive_([this] { keep_alive(); }),
      linger_([this] { stream_->cancel(); }) {}

core::Task<void> Link::run() {
  last_receive_ = reactor_.now();
  if (websocket() && options_.ping_after != 0) {
    keepalive_.arm_at(reactor_, last_receive_ + options_.ping_after);
  }
  scope_.spawn(write_loop());
  co_await read_loop();
  reading_ = false;
  ended_ = true;
  stream_->cancel();
  writer_.set();
  room_.notify_all();
  co_await scope_.join();
  keepalive_.disarm();
  linger_.disarm();
}

void Link::cut(std::string reason) {
  if (reason_.empty()) reason_ = std::move(reason);
  ended_ = true;
  stream_->cancel();
  room_.notify_all();
}

void Link::close(WebSocketClose code, std::string reason) {
  if (closed()) return;
  if (reason_.empty()) reason_ = reason;
  if (websocket()) {
    std::array<std::uint8_t, kWebSocketControlBytes> payload;
    const std::size_t size =
        code == WebSocketClose::kNoCode ? 0 : websocket_close_payload(payload.data(), code, reason);
    send_control(WebSocketOpcode::kClose, ByteView(payload).first(size));
  }
  closing_ = true;
  keepalive_.disarm();
  limit_farewell(kFarewell);
  wake_writer();
  room_.notify_all();
}

void Link::limit_farewell(core::Nanos patience) {
  linger_.arm_at(reactor_, reactor_.now() + patience);
}

// --- in -----------------------------------------------------------------------------------------

Result<void> Link::on_event(const WebSocketEvent& event) {
  switch (event.kind) {
    case WebSocketEvent::Kind::kData:
      if (event.text) return {};  // text messages mean nothing on this wire
      return events_.on_bytes(event.data, event.first ? event.message_bytes : 0);
    case WebSocketEvent::Kind::kPing:
      if (unsent() < limits::kMuxioOutputPauseBytes)
        send_control(WebSocketOpcode::kPong, event.data);
      return {};
    case WebSocketEvent::Kind::kPong: return {};
    case WebSocketEvent::Kind::kClose:
      if (reason_.empty()) reason_ = "the peer closed the WebSocket";
      close(static_cast<WebSocketClose>(event.code), {});  // with the same code
      return {};
  }
  return {};
}

Result<void> Link::receive(MutableBytes bytes) {
  if (!websocket()) return events_.on_bytes(bytes, 0);
  while (!closing_) {
    auto event = decoder_.next(bytes);
    if (!event) {
      close(decoder_.failure(), event.error().message);
      return {};
    }
    if (!*event) return {};
    TRY(on_event(**event));
  }
  return {};
}

core::Task<void> Link::read_loop() {
  MutableBytes got(reinterpret_cast<std::uint8_t*>(prefix_.data()), prefix_.size());
  while (true) {
    if (!closing_ && !got.empty()) {
      if (const auto received = receive(got); !received && !closing_) {
        close(WebSocketClose::kPolicy, received.error().message);
      }
      events_.on_read_done();
    }
    while (!closed() && (events_.wants_pause() || unsent() >= limits::kMuxioOutputPauseBytes)) {
      co_await room_.wait();
    }
    if (ended_) co_return;
    quiet_since_ = reactor_.now();
    awaiting_ = true;
    const auto read = co_await stream_->read(MutableBytes(input_.get(), limits::kMuxioReadBytes));
    awaiting_ = false;
    if (!read || *read == 0) {
      if (reason_.empty()) reason_ = read ? "the peer closed the connection" : read.error().text();
      co_return;
    }
    last_receive_ = reactor_.now();
    got = MutableBytes(input_.get(), *read);
  }
}

// --- out ----------------------------------------------------------------------------------------

void Link::wake_writer() {
  if (!writer_.is_set()) writer_.set();
}

WebSocketMask Link::next_mask() {  // splitmix64
  std::uint64_t value = options_.mask_seed += 0x9E3779B97F4A7C15ULL;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
  WebSocketMask mask;
  store_le(mask.data(), static_cast<std::uint32_t>(value >> 31));
  return mask;
}

std::uint8_t* Link::begin_message(std::size_t size) {
  message_bytes_ = size;
  std::size_t header = 0;
  std::uint8_t* to = output_.reserve(size + kWebSocketHeaderBytes);
  if (websocket()) {
    const bool masked = options_.framing == Framing::kWebSocketClient;
    if (masked) message_mask_ = next_mask();
    header = websocket_write_header(to, WebSocketOpcode::kBinary, true, size,
                                    masked ? &message_mask_ : nullptr);
    output_.commit(header);
  }
  return to + header;
}

void Link::end_message() {
  if (options_.framing == Framing::kWebSocketClient) {
    websocket_mask({output_.reserve(message_bytes_), message_bytes_}, message_mask_, 0);
  }
  output_.commit(message_bytes_);
  wake_writer();
}

void Link::send_control(WebSocketOpcode opcode, ByteView payload) {
  if (closed()) return;
  const bool masked = options_.framing == Framing::kWebSocketClient;
  const WebSocketMask mask = masked ? next_mask() : WebSocketMask{};
  std::uint8_t* to = output_.reserve(kWebSocketHeaderBytes + payload.size());
  const std::size_t header =
      websocket_write_header(to, opcode, true, payload.size(), masked ? &mask : nullptr);
  if (!payload.empty()) std::memcpy(to + header, payload.data(), payload.size());
  if (masked) websocket_mask({to + header, payload.size()}, mask, 0);
  output_.commit(header + payload.size());
  wake_writer();
}

core::Task<void> Link::write_loop() {
  while (reading_) {
    if (output_.empty()) {
      if (closing_) break;
      writer_.reset();
      co_await writer_.wait();
      continue;
    }
    std::swap(output_, sending_);
    const auto written = co_await write_all(sending_.view());
    sending_.clear();
    if (!written) {
      cut(written.error().text());
      co_return;
    }
    if (room_.waiters() != 0) room_.notify_all();
  }
  if (!reading_) co_return;
  // Everything is said. Closing at once could destroy what the peer has not read yet, so it gets a
  // moment to close first.
  stream_->shutdown_write();
  limit_farewell(limits::kMuxioLingerNanos);
}

// In pieces: the end of one that had to wait shows that the peer is there, though it may have no
// time to say so. One that did not wait shows nothing, since the system takes some by itself.
core::Task<Result<void>> Link::write_all(ByteView bytes) {
  while (!bytes.empty()) {
    const core::Nanos begun = reactor_.now();
    const auto piece = bytes.first(std::min(bytes.size(), kWriteBytes));
    CO_TRY(co_await stream_->write(piece));
    bytes = bytes.subspan(piece.size());
    const core::Nanos now = reactor_.now();
    if (now - begun >= kBlockedWrite) quiet_since_ = now;
    if (closing_ && !ended_) limit_farewell(kFarewell);
  }
  co_return Result<void>();
}

void Link::keep_alive() {
  const core::Nanos now = reactor_.now();
  // Somebody who is not listened to is not silent.
  const core::Nanos silent_from = awaiting_ ? quiet_since_ : now;
  if (options_.silence_limit != 0 && now - silent_from >= options_.silence_limit) {
    cut("the peer is silent");
    return;
  }
  if (now - std::max(last_receive_, last_ping_) >= options_.ping_after) {
    last_ping_ = now;
    send_control(WebSocketOpcode::kPing, {});
  }
  core::Nanos next = std::max(last_receive_, last_ping_) + options_.ping_after;
  if (options_.silence_limit != 0) next = std::min(next, silent_from + options_.silence_limit);
  keepalive_.arm_at(reactor_, next);
}

}  // namespace capstan::wire::muxio
