// Why this file exists: see door.h.
#include "apps/serving/door.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/os_socket.h"
#include "wire/http1/http1_request.h"

namespace capstan::apps {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kDeciding = 3;  // bytes of it that no HTTP/1.1 method shares
constexpr std::string_view kWebSocketPath = "/ws";
constexpr std::size_t kMethodBytes = 16;  // longer first words are no method

// The network says what is in the way; here is what a user can do about it.
Error with_remedy(Error error) {
  if (error.sys_errno == EADDRNOTAVAIL) {
    error.message += "; give an address that this machine has, as `ip address` shows them";
  } else if (error.sys_errno == EACCES) {
    error.message += "; choose a port from 1024 on, or a folder that may be written to, or be root";
  }
  return error;
}

// An accepted connection, wherever it goes: gives what the door has read of it back to whoever
// serves it, after which reads are passed on as they are, and is counted until it is gone.
class Guest final : public core::Stream {
 public:
  Guest(std::unique_ptr<core::Stream> inner, std::shared_ptr<Door::Tally> tally)
      : inner_(std::move(inner)), tally_(std::move(tally)) {
    ++tally_->open;
  }
  ~Guest() override {
    --tally_->open;
    tally_->room.notify_all();
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  void give_back(std::string first) { first_ = std::move(first); }
  const core::PeerInfo& peer() const override { return inner_->peer(); }
  core::Task<Result<std::size_t>> read(MutableBytes into) override {
    return first_.empty() ? inner_->read(into) : again(into);
  }
  Result<std::optional<std::size_t>> read_now(MutableBytes into) override {
    if (first_.empty()) return inner_->read_now(into);
    return std::optional<std::size_t>(take(into));
  }
  core::Task<Result<void>> write(ByteView from) override { return inner_->write(from); }
  core::Task<Result<void>> write_pieces(std::span<const ByteView> pieces) override {
    return inner_->write_pieces(pieces);
  }
  void shutdown_write() override { inner_->shutdown_write(); }
  void cancel() override { inner_->cancel(); }

 private:
  core::Task<Result<std::size_t>> again(MutableBytes into) { co_return take(into); }
  std::size_t take(MutableBytes into) {
    const std::size_t size = std::min(into.size(), first_.size());
    std::memcpy(into.data(), first_.data(), size);
    first_.erase(0, size);
    if (first_.empty()) std::string().swap(first_);  // the connection may last
    return size;
  }
  std::unique_ptr<core::Stream> inner_;
  std::shared_ptr<Door::Tally> tally_;
  std::string first_;
};

std::unique_ptr<core::Stream> with(std::unique_ptr<core::Stream> guest, std::string first) {
  static_cast<Guest&>(*guest).give_back(std::move(first));  // what accept_loop() made
  return guest;
}

// One read as a task of its own: while it is under way the client can still be told something.
struct Step {
  core::Event over;
  Result<std::size_t> got{0};
};
core::Task<void> read_step(core::Stream* from, MutableBytes into, Step* step) {
  step->got = co_await from->read(into);
  step->over.set();
}

}  // namespace

Door::Kind Door::kind_of(std::string_view first) {
  const std::size_t compared = std::min(first.size(), kDeciding);
  if (first.substr(0, compared) != kPreface.substr(0, compared)) return Kind::kHttp1;
  return compared == kDeciding ? Kind::kHttp2 : Kind::kUnknown;
}

Door::Door(core::Env& env, const core::Log& log, wire::GrpcServer& grpc, wire::muxio::Server& muxio,
           wire::rest::Server& rest, std::size_t connections_max)
    : env_(env),
      log_(log.child("door")),
      grpc_(grpc),
      muxio_(muxio),
      rest_(rest),
      connections_max_(connections_max) {}

Result<core::Address> Door::listen(const core::Address& address,
                                   std::shared_ptr<const wire::TlsContext> tls) {
  return add(address, {.listener = nullptr, .tls = std::move(tls)});
}

Result<core::Address> Door::listen_http(const core::Address& address,
                                        std::shared_ptr<const wire::TlsContext> tls) {
  return add(address, {.listener = nullptr, .tls = std::move(tls), .http_only = true});
}

Result<core::Address> Door::listen_metrics(const core::Address& address) {
  return add(address, {.listener = nullptr, .tls = nullptr, .http_only = true, .metrics = true});
}

Result<core::Address> Door::listen_gateways(const core::Address& address) {
  return add(address, {.listener = nullptr, .tls = nullptr, .gateways = true});
}

Result<core::Address> Door::add(const core::Address& address, Listening wanted) {
  core::ListenOptions options;
  options.existing = core::ExistingPath::kReplaceStale;
  auto listener = env_.network().listen(address, options);
  if (!listener) return std::unexpected(with_remedy(std::move(listener).error()));
  auto listening = std::make_unique<Listening>(std::move(wanted));
  listening->listener = *std::move(listener);
  listening_.push_back(std::move(listening));
  const auto& local = listening_.back()->listener->local();
  log_.info("listening", {{"address", local.text()},
                          {"tls", listening_.back()->tls != nullptr},
                          {"http_only", listening_.back()->http_only}});
  return local;
}

core::Task<void> Door::run() {
  for (const auto& listening : listening_) scope_.spawn(accept_loop(listening.get()));
  co_await scope_.join();
  listening_.clear();
}

void Door::stop() {
  if (std::exchange(stopping_, true)) return;
  scope_.cancel();
  for (const auto& listening : listening_) {
    if (listening->listener) listening->listener->cancel();
    listening->tally->room.notify_all();
  }
  rest_.room().notify_all();
}

core::Task<void> Door::accept_loop(Listening* listening) {
  while (!stopping_) {
    // Who comes while it is full waits in the backlog.
    while (listening->http_only && !stopping_ && rest_.most() != 0 &&
           listening->tally->open >= rest_.most()) {
      co_await listening->tally->room.wait();
    }
    if (stopping_) break;
    auto stream = co_await listening->listener->accept();
    if (stopping_) break;
    if (!stream) {
      if (stream.error().code == Code::kCancelled) break;
      log_.warn("accept_failed", {{"address", listening->listener->local().text()},
                                  {"error", stream.error().text()}});
      const auto slept = co_await core::sleep_for(limits::kAcceptPauseNanos, scope_.token());
      if (!slept) break;
      continue;
    }
    if (waiting_ + grpc_.connections() + muxio_.connections() + rest_.connections() >=
        connections_max_) {
      ++refused_;
      log_.warn("connection_refused",
                {{"peer", (*stream)->peer().address}, {"limit", connections_max_}});
      continue;
    }
    core::acknowledge_at_once(**stream);
    if (listening->tls) *stream = wire::make_tls_stream(*std::move(stream), *listening->tls, {});
    ++waiting_;
    auto guest = std::make_unique<Guest>(*std::move(stream), listening->tally);
    scope_.spawn(welcome(std::move(guest), listening));
  }
  // At once: a new client must be refused, not left in the backlog.
  listening->listener.reset();
}

// Reads on into `first`. False when the client says no more, or not in time: who has begun a
// request gets the same answer as from the HTTP server.
core::Task<bool> Door::more(core::Stream* stream, std::string* first, core::Nanos until) {
  std::array<std::uint8_t, 4096> buffer;
  Step step;
  bool late = false;
  core::Scope reading;
  {
    core::CancelCallback on_stop(scope_.token(), [stream] { stream->cancel(); });
    core::Timer timer([&step, &late] {
      late = true;
      step.over.notify_all();
    });
    timer.arm_at(*core::Reactor::current(), until);
    reading.spawn(read_step(stream, buffer, &step));
    if (!step.over.is_set()) co_await step.over.wait();
  }
  if (late && !step.over.is_set()) {
    if (!first->empty()) {
      const auto text = wire::http1_answer(408, "The request did not come in time.\n");
      const auto sent = co_await stream->write(as_bytes(text));
      if (sent) stream->shutdown_write();
    }
    stream->cancel();
  }
  co_await reading.join();
  if (!late && step.got && *step.got != 0) {
    first->append(as_text(ByteView(buffer).first(*step.got)));
    co_return true;
  }
  ++silent_;
  co_return false;
}

core::Task<void> Door::welcome(std::unique_ptr<core::Stream> stream, const Listening* listening) {
  const core::Reactor& reactor = *core::Reactor::current();
  core::Nanos until = reactor.now() + rest_.session().idle;
  std::string first;
  Kind kind = Kind::kUnknown;
  while (kind == Kind::kUnknown) {
    const bool begins = first.empty();
    if (!co_await more(stream.get(), &first, until)) {
      --waiting_;
      co_return;
    }
    if (begins) until = reactor.now() + rest_.session().header;
    kind = listening->metrics ? Kind::kHttp1 : kind_of(first);
  }
  if (kind == Kind::kHttp2) {
    --waiting_;
    auto whole = with(std::move(stream), std::move(first));
    if (listening->http_only) {
      grpc_.adopt_guest(std::move(whole));
    } else if (listening->gateways) {
      grpc_.adopt_gateway(std::move(whole));
    } else {
      grpc_.adopt(std::move(whole));
    }
    co_return;
  }
  if (listening->metrics) {
    co_await serve_rest(std::move(stream), std::move(first));
  } else {
    co_await serve_http1(std::move(stream), std::move(first), until);
  }
  --waiting_;
}

std::optional<bool> Door::asks_for_websocket(std::string_view first) {
  const auto space = first.find(' ');
  if (space == std::string_view::npos) {
    if (first.size() < kMethodBytes && first.find_first_of("\r\n") == std::string_view::npos) {
      return std::nullopt;
    }
    return false;
  }
  first.remove_prefix(space + 1);
  const auto end = first.find_first_of(" ?\r\n");
  if (end != std::string_view::npos) return first.substr(0, end) == kWebSocketPath;
  if (kWebSocketPath.starts_with(first)) return std::nullopt;
  return false;
}

core::Task<void> Door::serve_http1(std::unique_ptr<core::Stream> stream, std::string first,
                                   core::Nanos until) {
  auto websocket = asks_for_websocket(first);
  while (!websocket) {
    if (!co_await more(stream.get(), &first, until)) co_return;
    websocket = asks_for_websocket(first);
  }
  if (*websocket) {
    co_return co_await serve_websocket(std::move(stream), std::move(first), until);
  }
  co_await serve_rest(std::move(stream), std::move(first));
}

// Where other protocols share the address its listener cannot wait: one too many waits here,
// unread. Who waits holds a descriptor that others could have: as many wait as are served, and none
// for longer than a served one may be idle.
core::Task<void> Door::serve_rest(std::unique_ptr<core::Stream> stream, std::string first) {
  if (rest_.full(stream->peer().listener)) {
    bool late = rest_waiting_ >= rest_.most();
    ++rest_waiting_;
    core::Timer timer([&late, this] {
      late = true;
      rest_.room().notify_all();
    });
    auto& reactor = *core::Reactor::current();
    timer.arm_at(reactor, reactor.now() + rest_.session().idle);
    while (!stopping_ && !late && rest_.full(stream->peer().listener)) {
      co_await rest_.room().wait();
    }
    --rest_waiting_;
    if (late && !stopping_) {
      co_return co_await answer(
          *stream, wire::http1_answer(503, "All connections are taken; try again later.\n"));
    }
  }
  if (stopping_) co_return;
  rest_.adopt(with(std::move(stream), std::move(first)));
}

core::Task<void> Door::serve_websocket(std::unique_ptr<core::Stream> stream, std::string first,
                                       core::Nanos until) {
  wire::Http1RequestParser parser;
  auto complete = parser.add(as_bytes(first));
  while (complete && !*complete) {
    std::string piece = " ";  // the request has begun
    if (!co_await more(stream.get(), &piece, until)) co_return;
    complete = parser.add(as_bytes(piece).subspan(1));
  }
  if (!complete) {
    const bool large = complete.error().code == Code::kResourceExhausted;
    co_return co_await answer(
        *stream, wire::http1_answer(large ? 431 : 400, complete.error().message + "\n"));
  }
  const wire::Http1Request& request = parser.request();
  std::string rest(as_text(parser.rest()));
  const auto refusal = muxio_.refusal(request);
  if (!refusal) co_return co_await muxio_.upgrade(std::move(stream), request, std::move(rest));
  co_await answer(*stream, *refusal);
}

// Says it, and gives the client a moment to read it: closing with unread bytes would destroy it.
core::Task<void> Door::answer(core::Stream& stream, std::string text) {
  ++answered_;
  const auto written = co_await stream.write(as_bytes(text));
  if (!written) co_return;
  stream.shutdown_write();
  core::Timer timer([&stream] { stream.cancel(); });
  auto& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + limits::kMuxioLingerNanos);
  std::array<std::uint8_t, 4096> buffer;
  while (true) {
    const auto got = co_await stream.read(buffer);
    if (!got || *got == 0) co_return;
  }
}

void Door::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, {},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("door_refused_total", "Connections closed because of the limit.", &refused_);
  counter("door_http_answers_total", "Requests for a WebSocket that were refused.", &answered_);
  counter("door_silent_total", "Connections that ended without saying what they are.", &silent_);
}

}  // namespace capstan::apps
