// Why this file exists: drives one Http2Session over one core::Stream, for servers and clients
// alike: a reader, a writer with at most one write in flight, keep-alive, and an end that gets the
// last bytes out. TLS is a core::Stream around a core::Stream and is not seen here.
//
// Received bytes are processed to completion before the next read; output of everything that became
// ready in a turn leaves in one write. A connection on which nothing happens keeps a small buffer
// for the next bytes and nothing for those behind them; what it kept for its own next output goes
// after a second.
// Thread-safety: one core. The connection outlives run().
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/limits.h"
#include "core/env.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "wire/grpc/signal.h"
#include "wire/http2/http2_session.h"

namespace capstan::wire {

class Connection {
 public:
  static constexpr core::Nanos kAgeGraceNanos = 30 * core::kSecond;
  struct Options {
    core::Nanos handshake = limits::kHttp2HandshakeNanos;  // until the peer speaks HTTP/2
    core::Nanos keepalive = limits::kHttp2KeepaliveNanos;  // 0 = never
    core::Nanos keepalive_timeout = limits::kHttp2KeepaliveTimeoutNanos;
    // GOAWAY then (up to a tenth later, by peer), so that clients come back and spread anew over
    // the servers behind one name; 0 = never. Calls have `age_grace` to end.
    core::Nanos max_age = 0;
    core::Nanos age_grace = kAgeGraceNanos;
    Http2Session::Options http2;
  };

  // `stream` must outlive run(); the events come from inside run() and http2()'s methods.
  Connection(core::Reactor& reactor, std::unique_ptr<core::Stream> stream, Http2Session::Role role,
             Http2Events& events, const Options& options);

  // Until both directions ended. Afterwards every stream has had its on_closed().
  core::Task<void> run();
  // Output may be waiting. Cheap; called after anything that submits.
  void wake() {
    if (http2_.wants_write() || http2_.finished()) writer_.notify();
  }
  // Ends the connection once its streams have ended (Http2Session::begin_drain()), not much later
  // when the peer does not take part.
  void drain();
  // Ends the connection now; run() returns soon.
  void cut(std::string reason);

  Http2Session& http2() { return http2_; }
  const Http2Session& http2_view() const { return http2_; }
  core::Reactor& reactor() { return reactor_; }
  const core::PeerInfo& peer() const { return stream_->peer(); }
  // True once run() is ending: what closes streams from then on is the connection, not the peer.
  bool ended() const { return ended_; }
  // Why it ended; empty for a regular end.
  const std::string& reason() const { return reason_; }

 private:
  static constexpr std::size_t kWaitingBytes = 256;  // the frames of a small call fit
  core::Task<void> read_loop();
  core::Task<void> write_loop();
  // Works on what was read; false when reading ends.
  bool take(const Result<std::size_t>& got, const std::uint8_t* bytes);
  enum class Rest : std::uint8_t { kNone, kMore, kEnd };
  Rest take_rest();
  void after_a_while();
  void keep_alive();
  void handshake_overdue();
  void drain_overdue();
  void too_old();

  core::Reactor& reactor_;
  std::unique_ptr<core::Stream> stream_;
  Options options_;
  Http2Session http2_;
  std::array<std::uint8_t, kWaitingBytes> input_;
  ByteQueue output_;
  Signal writer_;
  core::Scope scope_;
  core::Timer handshake_;
  core::Timer keepalive_;
  core::Timer drain_;
  core::Timer linger_;
  core::Timer age_;
  core::Timer idle_;
  core::Nanos last_receive_ = 0;
  bool pinged_ = false, reading_ = true, closing_ = false, ended_ = false;
  std::string reason_;
};

}  // namespace capstan::wire
