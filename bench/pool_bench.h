// Why this file exists: what the two halves of pool_bench share: a pool on a file of its own,
// opened and closed as often as a measurement wants, and how results are printed and judged. What
// does not work ends the program: a benchmark has nobody to report an error to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/uring_env.h"
#include "storage/device/file_device.h"
#include "storage/pool/pool.h"

namespace capstan::bench {

inline constexpr std::uint64_t kMiB = 1ULL << 20, kGiB = 1ULL << 30, kTiB = 1ULL << 40;

[[noreturn]] void give_up(const std::string& why);
double seconds_now();
double median(std::vector<double> values);

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error().text());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// A sparse file with a pool on it. The file is removed with this object.
class BenchPool {
 public:
  BenchPool(core::UringEnv& env, std::string path, std::uint64_t size_bytes);
  ~BenchPool();
  BenchPool(const BenchPool&) = delete;
  BenchPool& operator=(const BenchPool&) = delete;

  core::Task<void> create();
  core::Task<void> import();
  core::Task<void> unload();
  // As if the process had been killed: nothing is written.
  void drop();
  core::Task<std::shared_ptr<storage::Replica>> add(std::string name, std::uint64_t size_bytes,
                                                    bool thin);
  storage::Pool& operator*() { return *pool_; }
  storage::Pool* operator->() { return pool_.get(); }
  const std::string& path() const { return path_; }
  storage::Device& device() { return *device_; }

 private:
  core::Task<void> open();
  core::UringEnv& env_;
  std::string path_;
  std::shared_ptr<storage::FileDevice> device_;
  std::unique_ptr<storage::Pool> pool_;
};

struct PoolBenchOptions {
  std::string folder = "/tmp";
  double seconds = 1.5;  // of one measurement
  int rounds = 5;
  bool io = true, manage = true;
};

// Both print tables and answer whether every target was met.
bool bench_pool_io(core::UringEnv& env, const PoolBenchOptions& options);
bool bench_pool_management(core::UringEnv& env, const PoolBenchOptions& options);

}  // namespace capstan::bench
