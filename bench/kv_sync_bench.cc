// Why this file exists: durable writes against the disk. With durability "each" every write is
// answered when it is on stable storage; many writers share one sync. The floor beside it, in turns
// in the same run, is a plain loop that appends as many bytes as one group of these writers and
// calls fdatasync: no store can acknowledge more per second on this disk. Fails below 90 % of it.
//
//     kv_sync_bench [--dir DIR] [--writers N]...
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

double per_second(std::uint64_t count, Clock::time_point start) {
  return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - start).count();
}

// Writes per second that the disk would allow.
double floor_of(const std::string& path, unsigned writers) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) std::exit((std::perror(path.c_str()), 1));
  const std::string group(writers * kEntryBytes, 'v');
  std::uint64_t done = 0;
  off_t at = 0;
  const auto start = Clock::now();
  while (Clock::now() - start < kRound) {
    if (::pwrite(file, group.data(), group.size(), at) != static_cast<ssize_t>(group.size()) ||
        ::fdatasync(file) != 0) {
      std::exit((std::perror(path.c_str()), 1));
    }
    at += static_cast<off_t>(group.size());
    done += writers;
  }
  const double rate = per_second(done, start);
  ::close(file);
  ::unlink(path.c_str());
  return rate;
}

core::Task<void> write_until(Store* store, Clock::time_point end, unsigned writer,
                             std::uint64_t* done) {
  const std::string value(kValueBytes, 'v');
  for (std::uint64_t i = 0; Clock::now() < end; ++i) {
    const std::string key = std::to_string(writer) + "/" + std::to_string(i);
    const auto written = co_await store->write(as_bytes(key), as_bytes(value));
    if (!written) std::exit((std::fprintf(stderr, "%s\n", written.error().text().c_str()), 1));
    ++*done;
  }
}

core::Task<void> ours(core::Env* env, std::string path, unsigned writers, double* rate,
                      double* per_sync) {
  StoreOptions options;
  options.durability = Durability::kEach;
  auto store = co_await Store::open(*env, path, options);
  if (!store) std::exit((std::fprintf(stderr, "%s\n", store.error().text().c_str()), 1));
  std::uint64_t done = 0;
  core::Scope scope;
  const auto start = Clock::now();
  for (unsigned i = 0; i < writers; ++i) {
    scope.spawn(write_until(store->get(), start + kRound, i, &done));
  }
  co_await scope.join();
  *rate = per_second(done, start);
  *per_sync = static_cast<double>(done) / static_cast<double>((*store)->stats().syncs);
  (void)co_await (*store)->close();
  ::unlink(path.c_str());
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool compare(core::UringEnv& env, const std::string& folder, unsigned writers) {
  std::vector<double> floors, rates, ratios;
  double rate = 0, per_sync = 0;
  for (int round = 0; round < kRounds; ++round) {
    floors.push_back(floor_of(folder + "/kv_sync_bench_floor", writers));
    env.run(ours(&env, folder + "/kv_sync_bench_store", writers, &rate, &per_sync));
    rates.push_back(rate);
    ratios.push_back(rate / floors.back());
  }
  const double ratio = median(ratios);
  std::printf("%7u %12.0f %12.0f %10.1f %6.2f\n", writers, median(floors), median(rates), per_sync,
              ratio);
  return ratio >= kTarget;
}

}  // namespace
}  // namespace capstan::bench

int main(int argc, char** argv) {
  using namespace capstan;
  std::string folder = "/tmp";
  std::vector<unsigned> writers;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--dir") folder = argv[i + 1];
    if (flag == "--writers") writers.push_back(static_cast<unsigned>(std::atoi(argv[i + 1])));
  }
  if (writers.empty()) writers = {1, 16, 64, 256};
  auto env = core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    return 1;
  }
  std::printf("%7s %12s %12s %10s %6s\n", "writers", "floor/s", "writes/s", "per sync", "ratio");
  bool good = true;
  for (const unsigned count : writers) good = bench::compare(**env, folder, count) && good;
  return good ? 0 : 1;
}
