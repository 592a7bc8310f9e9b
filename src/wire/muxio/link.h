// Why this file exists: moves Muxio's bytes over one core::Stream: as binary messages of a
// WebSocket (either side of it) or as they are (the IPC transport). It reads, keeps at most one
// write in flight, pings after silence, answers pings and closes in order. What the bytes mean is
// the session's business.
//
// Received bytes are processed before the next read; what became ready in a turn leaves in one
// write, which is what keeps a call from waiting for delayed acknowledgements (muxio-wire 9.6).
// Thread-safety: one core. The link outlives run().
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/env.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/http2/byte_queue.h"
#include "wire/websocket/websocket_codec.h"

namespace capstan::wire::muxio {

class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  // Bytes of the Muxio stream. `message_bytes`: they begin a WebSocket message of that size; 0 when
  // they do not or nobody knows. An error ends the link.
  virtual Result<void> on_bytes(ByteView bytes, std::uint64_t message_bytes) = 0;
  // Everything of one read was given.
  virtual void on_read_done() = 0;
  // Nothing is read while this is so; room().notify_all() when it may have changed.
  virtual bool wants_pause() const = 0;
};

class Link {
 public:
  enum class Framing : std::uint8_t { kPlain, kWebSocketServer, kWebSocketClient };
  struct Options {
    Framing framing = Framing::kWebSocketServer;
    core::Nanos ping_after = limits::kMuxioPingNanos;  // of silence; 0 = never
    // Then the peer counts as gone; 0 = never. Counted while this side reads, and from the last
    // write that the peer made room for.
    core::Nanos silence_limit = 0;
    std::uint64_t mask_seed = 0;  // clients: random
  };
  // `prefix`: bytes of the peer that somebody has read already.
  Link(core::Reactor& reactor, std::unique_ptr<core::Stream> stream, std::string prefix,
       LinkEvents& events, const Options& options);

  // Until both directions have ended.
  core::Task<void> run();

  // Room for the `size` bytes of one message, to be filled at once; then end_message().
  std::uint8_t* begin_message(std::size_t size);
  void end_message();
  // Bytes that the peer has not taken yet.
  std::size_t unsent() const { return output_.size() + sending_.size(); }
  // Wakes whoever waits for room to send or to read.
  core::Event& room() { return room_; }

  // Says goodbye once everything queued has left; nothing is sent or handed on afterwards. A peer
  // that takes nothing of it for a while is cut off.
  void close(WebSocketClose code, std::string reason);
  // Ends it now; run() returns soon.
  void cut(std::string reason);
  // No more messages of ours can leave.
  bool closed() const { return closing_ || ended_; }
  const std::string& reason() const { return reason_; }
  const core::PeerInfo& peer() const { return stream_->peer(); }
  core::Reactor& reactor() { return reactor_; }

 private:
  core::Task<void> read_loop();
  core::Task<void> write_loop();
  core::Task<Result<void>> write_all(ByteView bytes);
  void limit_farewell(core::Nanos patience);
  Result<void> receive(MutableBytes bytes);
  Result<void> on_event(const WebSocketEvent& event);
  void send_control(WebSocketOpcode opcode, ByteView payload);
  void keep_alive();
  WebSocketMask next_mask();
  void wake_writer();
  bool websocket() const { return options_.framing != Framing::kPlain; }

  core::Reactor& reactor_;
  std::unique_ptr<core::Stream> stream_;
  LinkEvents& events_;
  Options options_;
  WebSocketDecoder decoder_;
  std::unique_ptr<std::uint8_t[]> input_;
  std::string prefix_;
  ByteQueue output_, sending_;
  std::size_t message_bytes_ = 0;  // of the message that was begun
  WebSocketMask message_mask_{};
  core::Event room_;
  core::Event writer_;
  core::Scope scope_;
  core::Timer keepalive_, linger_;
  core::Nanos last_receive_ = 0, last_ping_ = 0;
  core::Nanos quiet_since_ = 0;  // begin of what may count as silence
  bool awaiting_ = false;        // a read is under way
  bool reading_ = true, closing_ = false, ended_ = false;
  std::string reason_;
};

}  // namespace capstan::wire::muxio
