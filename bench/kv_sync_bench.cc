// Why this file exists: durable writes against the disk. With durability "each" every write is
// answered when it is on stable storage; many writers share one sync. The floor beside it, in turns
// in the same run, is a plain loop that appends as many bytes as one group of these writers and
// calls fdatasync: no store can acknowledge more per second on this disk. Fails below 90 % of it.
// A second floor appends in the same way and syncs through io_uring, as the store does: the kernel
// gives the sync to a thread of its own, and what waking that one costs is no store's doing.
//
//     kv_sync_bench [--dir DIR] [--writers N]... [--rounds N]
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "core/uring_env.h"
#include "storage/kv/store.h"

namespace capstan::bench {
namespace {

using storage::kv::Durability;
using storage::kv::Store;
using storage::kv::StoreOptions;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 7;
constexpr auto kRound = std::chrono::milliseconds(700);
constexpr double kTarget = 0.9;
constexpr std::size_t kValueBytes = 100, kEntryBytes = 128;  // with metadata and padding
// Where a store's second group begins: behind the metadata of the first value, not at a page.
constexpr off_t kFirstEnd = 120;

double per_second(std::uint64_t count, Clock::time_point start) {
  return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void give_up(const std::string& what) {
  std::exit((std::perror(what.c_str()), 1));
}

// A ring for syncs, set up like a reactor's.
class SyncRing {
 public:
  SyncRing() {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    if (io_uring_queue_init_params(8, &ring_, &params) < 0) give_up("io_uring");
  }
  ~SyncRing() { io_uring_queue_exit(&ring_); }
  SyncRing(const SyncRing&) = delete;
  SyncRing& operator=(const SyncRing&) = delete;

  int sync(int file) {
    io_uring_prep_fsync(io_uring_get_sqe(&ring_), file, IORING_FSYNC_DATASYNC);
    io_uring_cqe* done = nullptr;
    if (io_uring_submit_and_wait(&ring_, 1) < 0 || io_uring_peek_cqe(&ring_, &done) < 0) return -1;
    const int result = done->res;
    io_uring_cqe_seen(&ring_, done);
    return result;
  }

 private:
  io_uring ring_{};
};

// Writes per second that the disk would allow; with `ring`, to those who sync through it.
double floor_of(const std::string& path, unsigned writers, SyncRing* ring) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) give_up(path);
  const std::string group(writers * kEntryBytes, 'v');
  std::uint64_t done = 0;
  off_t at = kFirstEnd;
  const auto start = Clock::now();
  while (Clock::now() - start < kRound) {
    if (::pwrite(file, group.data(), group.size(), at) != static_cast<ssize_t>(group.size()) ||
        (ring ? ring->sync(file) : ::fdatasync(file)) != 0) {
      give_up(path);
    }
    at += static_cast<off_t>(group.size());
    done += writers;
  }
  const double rate = per_second(done, start);
  ::close(file);
  ::unlink(path.c_str());
  return rate;
}

double thread_cpu_us() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) / 1e3;
}

// What the writers of one round share. One of them looks at the clock, as the floor does once for
// each group.
struct Round {
  Store* store;
  Clock::time_point end;
  std::uint64_t done = 0;
  bool over = false;
};

core::Task<void> write_until(Round* round, unsigned writer) {
  const std::string value(kValueBytes, 'v');
  for (std::uint64_t i = 0; !round->over; ++i) {
    const std::string key = std::to_string(writer) + "/" + std::to_string(i);
    const auto written = co_await round->store->write(as_bytes(key), as_bytes(value));
    if (!written) std::exit((std::fprintf(stderr, "%s\n", written.error().text().c_str()), 1));
    ++round->done;
    if (writer == 0) round->over = Clock::now() >= round->end;
  }
}

struct Figures {
  double rate = 0, per_sync = 0, cpu_us = 0;  // the last for each write, of the store's core
};

core::Task<void> ours(core::Env* env, std::string path, unsigned writers, Figures* figures) {
  StoreOptions options;
  options.durability = Durability::kEach;
  auto store = co_await Store::open(*env, path, options);
  if (!store) std::exit((std::fprintf(stderr, "%s\n", store.error().text().c_str()), 1));
  core::Scope scope;
  const auto start = Clock::now();
  Round round{store->get(), start + kRound};
  const double cpu = thread_cpu_us();
  for (unsigned i = 0; i < writers; ++i) {
    scope.spawn(write_until(&round, i));
  }
  co_await scope.join();
  const auto count = static_cast<double>(round.done);
  *figures = {per_second(round.done, start), count / static_cast<double>((*store)->stats().syncs),
              (thread_cpu_us() - cpu) / count};
  (void)co_await (*store)->close();
  ::unlink(path.c_str());
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool compare(core::UringEnv& env, const std::string& folder, unsigned writers, int rounds) {
  std::vector<double> floors, ring_floors, rates, ratios, ring_ratios, cpu;
  Figures figures;
  SyncRing ring;
  for (int round = 0; round < rounds; ++round) {
    const std::string file = folder + "/kv_sync_bench_floor";
    floors.push_back(floor_of(file, writers, nullptr));
    ring_floors.push_back(floor_of(file, writers, &ring));
    env.run(ours(&env, folder + "/kv_sync_bench_store", writers, &figures));
    rates.push_back(figures.rate);
    cpu.push_back(figures.cpu_us);
    ratios.push_back(figures.rate / floors.back());
    ring_ratios.push_back(figures.rate / ring_floors.back());
  }
  const double ratio = median(ratios);
  std::printf("%7u %12.0f %12.0f %12.0f %9.1f %12.2f %7.2f %7.2f\n", writers, median(floors),
              median(ring_floors), median(rates), figures.per_sync, median(cpu), ratio,
              median(ring_ratios));
  return ratio >= kTarget;
}

}  // namespace
}  // namespace capstan::bench

int main(int argc, char** argv) {
  using namespace capstan;
  std::string folder = "/tmp";
  std::vector<unsigned> writers;
  int rounds = bench::kRounds;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--dir") folder = argv[i + 1];
    if (flag == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
    if (flag == "--writers") writers.push_back(static_cast<unsigned>(std::atoi(argv[i + 1])));
  }
  if (writers.empty()) writers = {1, 16, 64, 256};
  auto env = core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    return 1;
  }
  std::printf("%7s %12s %12s %12s %9s %12s %7s %7s\n", "writers", "floor/s", "by ring/s", "store/s",
              "per sync", "CPU us each", "ratio", "by ring");
  bool good = true;
  for (const unsigned count : writers) good = bench::compare(**env, folder, count, rounds) && good;
  return good ? 0 : 1;
}
