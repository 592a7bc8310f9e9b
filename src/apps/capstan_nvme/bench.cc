// Why this file exists: see bench.h.
#include "apps/capstan_nvme/bench.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/buffer.h"
#include "core/scope.h"

namespace capstan::apps {
namespace {

// Latencies in sixteenths of powers of two: 6 % wide, of any length.
class Histogram {
 public:
  void add(core::Nanos value) {
    sum_ += value;
    ++count_;
    worst_ = std::max(worst_, value);
    const auto power = static_cast<unsigned>(std::bit_width(value | 16) - 1);
    ++counts_[std::min<std::size_t>(power * 16 + (value >> (power - 4) & 15), counts_.size() - 1)];
  }
  core::Nanos mean() const { return count_ == 0 ? 0 : sum_ / count_; }
  core::Nanos worst() const { return worst_; }
  std::uint64_t count() const { return count_; }
  core::Nanos percentile(unsigned percent) const {
    const std::uint64_t wanted = (count_ * percent + 99) / 100;
    std::uint64_t seen = 0;
    for (std::size_t at = 0; at < counts_.size(); ++at) {
      seen += counts_[at];
      if (seen < wanted || counts_[at] == 0) continue;
      const auto power = static_cast<unsigned>(at / 16);
      return (16 + at % 16 + 1) << (power - 4);
    }
    return worst_;
  }

 private:
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(64 * 16);
  std::uint64_t count_ = 0;
  core::Nanos sum_ = 0, worst_ = 0;
};

struct Shared {
  Shared(storage::Device& d, DeviceBench b) : device(d), bench(std::move(b)) {}

  storage::Device& device;
  DeviceBench bench;
  bool random = false, write = false;
  std::uint64_t places = 0, next = 0, state = 0;
  core::Nanos until = 0;
  Histogram latencies;
  std::optional<Error> error;

  std::uint64_t place() {
    if (!random) return next++ % places;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % places;
  }
};

core::Task<void> worker(Shared* shared) {
  core::Buffer buffer(shared->bench.block_bytes);
  std::fill_n(buffer.data(), buffer.size(), std::uint8_t{0xA5});
  core::Reactor& reactor = *core::Reactor::current();
  core::Nanos before = reactor.read_clock();
  while (!shared->error && before < shared->until) {
    const std::uint64_t offset = shared->place() * shared->bench.block_bytes;
    const auto done = shared->write ? co_await shared->device.write(offset, buffer.view())
                                    : co_await shared->device.read(offset, buffer.bytes());
    if (!done) {
      shared->error = done.error();
      co_return;
    }
    const core::Nanos after = reactor.read_clock();
    shared->latencies.add(after - before);
    before = after;
  }
}

}  // namespace

core::Task<Result<DeviceBenchResult>> run_device_bench(core::Env& env, storage::Device& device,
                                                       DeviceBench bench) {
  if (bench.block_bytes == 0 || bench.block_bytes % device.block_size() != 0 ||
      bench.block_bytes > device.size_bytes()) {
    co_return fail(Code::kInvalidArgument,
                   "requests of " + std::to_string(bench.block_bytes) +
                       " bytes do not fit a device of " + std::to_string(device.size_bytes()) +
                       " with blocks of " + std::to_string(device.block_size()));
  }
  Shared shared(device, bench);
  shared.random = bench.pattern.starts_with("rand");
  shared.write = bench.pattern.ends_with("write");
  shared.places = device.size_bytes() / bench.block_bytes;
  std::array<std::uint8_t, 8> seed;
  env.fill_random(seed);
  shared.state = load_le<std::uint64_t>(seed.data()) | 1;
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos start = reactor.read_clock();
  shared.until = start + bench.duration;
  core::Scope workers;
  for (std::uint64_t i = 0; i < bench.depth; ++i) workers.spawn(worker(&shared));
  co_await workers.join();
  if (shared.error) co_return std::unexpected(*std::move(shared.error));
  DeviceBenchResult result;
  result.requests = shared.latencies.count();
  result.elapsed = reactor.read_clock() - start;
  result.mean = shared.latencies.mean();
  result.p50 = shared.latencies.percentile(50);
  result.p99 = shared.latencies.percentile(99);
  result.worst = shared.latencies.worst();
  co_return result;
}

}  // namespace capstan::apps
