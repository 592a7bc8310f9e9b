// Why this file exists: see nvme_bench_floor.h.
#include "nvme_bench_floor.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/scope.h"

namespace capstan::bench {
namespace {

using core::Task;

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "nvme_bench: bare TCP: %s failed\n", what);
  std::abort();
}

Task<bool> read_all(core::Stream* stream, MutableBytes into) {
  while (!into.empty()) {
    const auto got = co_await stream->read(into);
    if (!got || *got == 0) co_return false;
    into = into.subspan(*got);
  }
  co_return true;
}

// Memory that is gone through in steps, again and again.
class Round {
 public:
  Round(std::size_t step, std::size_t steps) : memory_(step * steps, 0x5A), step_(step) {}
  MutableBytes next() {
    const MutableBytes here = MutableBytes(memory_).subspan(at_, step_);
    at_ = at_ + step_ == memory_.size() ? 0 : at_ + step_;
    return here;
  }

 private:
  std::vector<std::uint8_t> memory_;
  std::size_t step_, at_ = 0;
};

// What the target does with its one connection: takes `asked` bytes, gives `answered` bytes, each
// into or from memory for `steps` of them; 0: leaves that out.
struct Peer {
  Peer(std::size_t in_bytes, std::size_t out_bytes, std::size_t steps)
      : asked(in_bytes), answered(out_bytes), in(asked, steps), out(answered, steps) {}
  std::size_t asked, answered;
  Round in, out;
  std::unique_ptr<core::StreamListener> listener;
};

Task<void> serve(Peer* peer) {
  const auto stream = co_await peer->listener->accept();
  if (!stream) co_return;
  while (true) {
    if (peer->asked != 0 && !co_await read_all(stream->get(), peer->in.next())) co_return;
    if (peer->answered != 0 && !co_await (*stream)->write(peer->out.next())) co_return;
  }
}
Task<Result<std::uint16_t>> listen(core::Env* env, Peer* peer) {
  CO_TRY_SET(peer->listener, env->network().listen(core::Address::tcp("127.0.0.1", 0)));
  co_return peer->listener->local().port;
}
Task<Result<void>> run_there(Peer* peer) {
  co_await serve(peer);
  peer->listener.reset();
  co_return {};
}
Task<void> run(core::Env* env, Peer* peer) {
  const auto served =
      co_await core::on<Result<void>>(env->reactor(1), [peer] { return run_there(peer); });
  require(served.has_value(), "serving");
}

Task<std::unique_ptr<core::Stream>> connect(core::Env* env, Peer* peer) {
  const auto port = co_await core::on<Result<std::uint16_t>>(
      env->reactor(1), [env, peer] { return listen(env, peer); });
  require(port.has_value(), "listening");
  auto stream = co_await env->network().connect(core::Address::tcp("127.0.0.1", *port), {});
  require(stream.has_value(), "connecting");
  co_return *std::move(stream);
}

}  // namespace

Task<double> exchange_nanos(core::Env* env, core::Nanos duration, std::size_t out, std::size_t in) {
  std::vector<std::uint8_t> sent(out), received(in);
  Peer peer(out, in, 1);
  auto stream = co_await connect(env, &peer);
  core::Scope scope;
  scope.spawn(run(env, &peer));
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos start = reactor.read_clock();
  std::uint64_t rounds = 0;
  while (reactor.read_clock() - start < duration) {
    require((co_await stream->write(sent)).has_value(), "writing");
    require(co_await read_all(stream.get(), received), "reading");
    ++rounds;
  }
  const core::Nanos elapsed = reactor.read_clock() - start;
  stream.reset();
  co_await scope.join();
  co_return static_cast<double>(elapsed) / static_cast<double>(rounds);
}

Task<double> stream_rate(core::Env* env, core::Nanos duration, bool to_host, Memory memory) {
  const bool wide = memory == Memory::kDevice;
  Peer peer(to_host ? 0 : kLongBytes, to_host ? kLongBytes : 0,
            wide ? kDeviceBytes / kLongBytes : 1);
  auto stream = co_await connect(env, &peer);
  core::Scope scope;
  scope.spawn(run(env, &peer));
  Round here(kLongBytes, wide ? kLongDepth : 1);
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos start = reactor.read_clock();
  std::uint64_t bytes = 0;
  while (reactor.read_clock() - start < duration) {
    if (to_host) {
      require(co_await read_all(stream.get(), here.next()), "reading");
    } else {
      require((co_await stream->write(here.next())).has_value(), "writing");
    }
    bytes += kLongBytes;
  }
  const core::Nanos elapsed = reactor.read_clock() - start;
  stream.reset();
  co_await scope.join();
  co_return static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed);
}

}  // namespace capstan::bench
