// Why this file exists: the virtual clock and the parts of a simulated node, see sim_env.h.
#include "core/sim_env.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/sim_files.h"

namespace capstan::core {

namespace {
constexpr Nanos kTurnCost = 100;  // virtual time passes also for coroutines that never wait
constexpr std::uint64_t kEpochNs = 1'700'000'000ULL * kSecond;  // the wall clock at virtual time 0
constexpr std::uint64_t kTracePower = 200;
}  // namespace

void SimReactor::after(Nanos delay, std::move_only_function<void()> work) {
  events_.emplace_back(clock_ + delay, sequence_++, std::move(work));
  std::push_heap(events_.begin(), events_.end());
}

void SimReactor::wait(bool block, Nanos deadline) {
  if (!block) {
    clock_ += kTurnCost;
  } else {
    if (events_.empty() && deadline == 0) {
      std::fputs("simulation deadlock: every task waits for something that cannot happen\n",
                 stderr);
      std::abort();
    }
    Nanos next = events_.empty() ? deadline : events_.front().at;
    if (deadline != 0) next = std::min(next, deadline);
    clock_ = std::max(clock_, next);
    ++counters_.sleeps;
  }
  set_now(clock_);
  if (events_.empty() || events_.front().at > clock_) return;
  std::pop_heap(events_.begin(), events_.end());
  auto work = std::move(events_.back().work);
  events_.pop_back();
  work();
}

SimWorld::SimWorld(std::uint64_t seed)
    : seed_(seed), random_(seed), hub_(std::make_unique<SimNetworkHub>(*this)) {}
SimWorld::~SimWorld() = default;

void SimWorld::trace(std::uint64_t what, std::uint64_t first, std::uint64_t second) {
  for (const std::uint64_t word : {what, first, second, reactor_.read_clock()}) {
    hash_ = (hash_ ^ word) * 0x100000001B3ULL;
    hash_ ^= hash_ >> 29;
  }
}

SimEnv::SimEnv(SimWorld& world, std::string address) : world_(world) {
  const unsigned number = world.add_node() + 1;
  if (address.empty()) address = "10.0.0." + std::to_string(number);
  files_ = std::make_unique<SimFileSystem>(world_, power_, disks_);
  network_ = std::make_unique<SimNetwork>(world_.network(), power_, std::move(address));
}

SimEnv::~SimEnv() = default;

std::uint64_t SimEnv::wall_clock_ns() const {
  return kEpochNs + world_.reactor().read_clock();
}
void SimEnv::fill_random(MutableBytes out) {
  world_.random().fill(out);
}
FileSystem& SimEnv::files() {
  return *files_;
}

Reactor& SimEnv::reactor(unsigned core) {
  CAPSTAN_ASSERT(core == 0);
  return world_.reactor();
}

SimDisk& SimEnv::add_disk(const std::string& path, SimDiskOptions options) {
  auto& disk = disks_[path];
  CAPSTAN_ASSERT(!disk);
  disk = std::make_unique<SimDisk>(world_, power_, path, SimDisk::Kind::kDisk, options);
  return *disk;
}

SimDisk& SimEnv::disk(const std::string& path) {
  const auto found = disks_.find(path);
  CAPSTAN_ASSERT(found != disks_.end());
  return *found->second;
}

void SimEnv::power_cut() {
  world_.trace(kTracePower, power_.io_count());
  power_.cut(SimPower::Cut::kPower);
}

void SimEnv::kill() {
  world_.trace(kTracePower + 2, power_.io_count());
  power_.cut(SimPower::Cut::kKill);
}

void SimEnv::power_on() {
  world_.trace(kTracePower + 1, power_.io_count());
  power_.restore();
}

}  // namespace capstan::core
