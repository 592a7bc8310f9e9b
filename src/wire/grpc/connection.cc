// Why this file exists: the two loops of a connection. The writer closes it in the regular case
// (after GOAWAY and the last stream), the reader in all others.
#include "wire/grpc/connection.h"

#include <functional>
#include <utility>

namespace capstan::wire {

namespace {
constexpr std::uint64_t kKeepalivePing = 0x6361'7073'7461'6e02;
constexpr core::Nanos kIdleNanos = core::kSecond;
}  // namespace

Connection::Connection(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                       Http2Session::Role role, Http2Events& events, const Options& options)
    : reactor_(reactor),
      stream_(std::move(stream)),
      options_(options),
      http2_(role, events, options.http2),
      handshake_([this] { handshake_overdue(); }),
      keepalive_([this] { keep_alive(); }),
      drain_([this] { drain_overdue(); }),
      linger_([this] { stream_->cancel(); }),
      age_([this] { too_old(); }),
      idle_([this] { after_a_while(); }) {}

core::Task<void> Connection::run() {
  core::name_task("HTTP/2 connection");
  last_receive_ = reactor_.now();
  if (options_.handshake != 0) handshake_.arm_at(reactor_, last_receive_ + options_.handshake);
  if (options_.keepalive != 0) keepalive_.arm_at(reactor_, last_receive_ + options_.keepalive);
  if (options_.max_age != 0) {
    const core::Nanos spread =
        std::hash<std::string>()(peer().address) % (options_.max_age / 10 + 1);
    age_.arm_at(reactor_, last_receive_ + options_.max_age + spread);
  }
  scope_.spawn(write_loop());
  co_await read_loop();
  reading_ = false;
  ended_ = true;
  stream_->cancel();
  writer_.notify();
  co_await scope_.join();
  for (auto* timer : {&handshake_, &keepalive_, &drain_, &linger_, &age_, &idle_}) timer->disarm();
  http2_.abandon(Http2Error::kCancel);
}

void Connection::cut(std::string reason) {
  if (reason_.empty()) reason_ = std::move(reason);
  stream_->cancel();
}

bool Connection::take(const Result<std::size_t>& got, const std::uint8_t* bytes) {
  if (!got) {
    if (reason_.empty() && !closing_) reason_ = got.error().text();
    return false;
  }
  if (*got == 0) {
    if (reason_.empty() && !closing_ && http2_.open_streams() != 0) {
      reason_ = "the peer closed the connection";
    }
    return false;
  }
  last_receive_ = reactor_.now();
  pinged_ = false;
  if (closing_) return true;  // lingering: only the end of the stream is of interest
  if (!idle_.armed()) idle_.arm_at(reactor_, last_receive_ + kIdleNanos);
  const auto received = http2_.receive(ByteView(bytes, *got), last_receive_);
  if (handshake_.armed() && http2_.peer_started()) handshake_.disarm();
  if (!received) {
    if (reason_.empty()) reason_ = received.error().text();
    return false;
  }
  wake();
  return true;
}

// The buffer is on the stack, so it is one for all connections, and in the cache.
Connection::Rest Connection::take_rest() {
  std::array<std::uint8_t, limits::kHttp2ReadBufferBytes> buffer;  // filled below
  const auto got = stream_->read_now(buffer);
  if (got && !*got) return Rest::kNone;
  const Result<std::size_t> count =
      got ? Result<std::size_t>(**got) : Result<std::size_t>(std::unexpected(got.error()));
  if (!take(count, buffer.data())) return Rest::kEnd;
  return *count == buffer.size() ? Rest::kMore : Rest::kNone;
}

core::Task<void> Connection::read_loop() {
  while (true) {
    const auto got = co_await stream_->read(input_);
    if (!take(got, input_.data())) co_return;
    auto rest = *got == input_.size() ? Rest::kMore : Rest::kNone;
    while (rest == Rest::kMore) {
      rest = take_rest();
      if (rest == Rest::kMore) co_await core::yield();  // the writer's turn, and everybody's
    }
    if (rest == Rest::kEnd) co_return;
  }
}

core::Task<void> Connection::write_loop() {
  while (reading_) {
    output_.clear(2 * limits::kHttp2WriteBytes);  // until after_a_while()
    const auto collected = http2_.collect(output_, limits::kHttp2WriteBytes);
    if (!collected) {
      cut(collected.error().text());
      co_return;
    }
    if (http2_.unwanted_streams() != 0 && !idle_.armed()) {
      idle_.arm_at(reactor_, reactor_.now() + kIdleNanos);
    }
    if (output_.empty()) {
      if (http2_.finished()) break;
      co_await writer_.wait();
      continue;
    }
    const auto written = co_await stream_->write(output_.view());
    if (!written) {
      cut(written.error().text());
      co_return;
    }
  }
  if (!reading_) co_return;
  // Everything is said. Closing at once could destroy what the peer has not read yet, so it gets a
  // moment to close first.
  if (reason_.empty()) reason_ = http2_.last_complaint();
  closing_ = true;
  stream_->shutdown_write();
  linger_.arm_at(reactor_, reactor_.now() + limits::kHttp2LingerNanos);
}

void Connection::drain() {
  if (http2_.draining()) return;
  http2_.begin_drain();
  drain_.arm_at(reactor_, reactor_.now() + limits::kHttp2DrainNanos);
  wake();
}

// Nobody knows whether the PING arrived, and nobody may wait for a peer that is not there.
void Connection::drain_overdue() {
  if (!http2_.peer_started()) return cut("the peer never spoke HTTP/2");
  http2_.seal();
  wake();
}

// Twice: GOAWAY first, the end of what still runs after the grace.
void Connection::too_old() {
  if (http2_.draining()) return cut("the connection reached its maximum age");
  drain();
  age_.arm_at(reactor_, reactor_.now() + options_.age_grace);
}

// A connection costs memory and a descriptor: whoever says nothing may not keep it.
void Connection::handshake_overdue() {
  cut("the peer has not begun to speak HTTP/2 in time");
}

// No tick: armed by what is received or answered too early, and not again once there is nothing
// left to do.
void Connection::after_a_while() {
  const core::Nanos now = reactor_.now();
  const bool more = http2_.reset_unwanted(now);
  wake();
  if (now - last_receive_ < kIdleNanos) return idle_.arm_at(reactor_, last_receive_ + kIdleNanos);
  if (output_.empty()) output_ = ByteQueue();
  http2_.give_memory_back();
  if (more) idle_.arm_at(reactor_, now + kIdleNanos);
}

void Connection::keep_alive() {
  const core::Nanos now = reactor_.now();
  const core::Nanos silence = now - last_receive_;
  if (silence < options_.keepalive) {
    keepalive_.arm_at(reactor_, last_receive_ + options_.keepalive);
    return;
  }
  if (pinged_) {
    cut("the peer does not answer keep-alive pings");
    return;
  }
  pinged_ = true;
  http2_.ping(kKeepalivePing);
  wake();
  keepalive_.arm_at(reactor_, now + options_.keepalive_timeout);
}

}  // namespace capstan::wire
