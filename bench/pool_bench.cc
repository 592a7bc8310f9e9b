// Why this file exists: what a pool costs over the bare file, and how long its management takes.
// Reads and writes through a replica are compared, in turns in one run, with fio's io_uring engine
// on the same bytes of the same file (pool_bench_io.cc); creating, listing, importing and the
// memory of a thousand replicas have targets of their own (pool_bench_management.cc).
//
//     pool_bench [--dir DIR] [--seconds S] [--rounds N] [--only io|manage]
//
// Needs 3 GiB on DIR. Prints tables; exit code 1 when a target is missed.
#include "bench/pool_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace capstan::bench {

void give_up(const std::string& why) {
  std::fprintf(stderr, "pool_bench: %s\n", why.c_str());
  std::exit(100);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

BenchPool::BenchPool(core::UringEnv& env, std::string path, std::uint64_t size_bytes)
    : env_(env), path_(std::move(path)) {
  ::unlink(path_.c_str());
  const int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(size_bytes)) != 0)
    give_up(path_ + ": " + std::strerror(errno));
  ::close(file);
}

BenchPool::~BenchPool() {
  drop();
  ::unlink(path_.c_str());
}

core::Task<void> BenchPool::open() {
  storage::FileDeviceOptions options;
  options.path = path_;
  options.block_size = 4096;
  device_ = must(co_await storage::FileDevice::open(env_, options));
}

core::Task<void> BenchPool::create() {
  co_await open();
  pool_ = must(co_await storage::Pool::create(env_, device_, "bench", Uuid{}, {}));
}

core::Task<void> BenchPool::import() {
  co_await open();
  pool_ = must(co_await storage::Pool::load(env_, device_));
}

core::Task<void> BenchPool::unload() {
  must(co_await pool_->unload());
  drop();
}

void BenchPool::drop() {
  pool_.reset();
  device_.reset();
}

core::Task<std::shared_ptr<storage::Replica>> BenchPool::add(std::string name,
                                                             std::uint64_t size_bytes, bool thin) {
  storage::ReplicaOptions options;
  options.name = std::move(name);
  options.size_bytes = size_bytes;
  options.thin = thin;
  co_return must(co_await pool_->create_replica(std::move(options)));
}

}  // namespace capstan::bench

int main(int argc, char** argv) {
  using namespace capstan;
  bench::PoolBenchOptions options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--dir" && !value.empty()) {
      options.folder = value;
    } else if (flag == "--seconds" && std::atof(value.c_str()) > 0) {
      options.seconds = std::atof(value.c_str());
    } else if (flag == "--rounds" && std::atoi(value.c_str()) > 0) {
      options.rounds = std::atoi(value.c_str());
    } else if (flag == "--only" && (value == "io" || value == "manage")) {
      options.io = value == "io", options.manage = value == "manage";
    } else {
      std::fprintf(stderr,
                   "pool_bench: no use for '%s %s'\n"
                   "usage: pool_bench [--dir DIR] [--seconds S] [--rounds N] [--only io|manage]\n",
                   flag.c_str(), value.c_str());
      return 2;
    }
  }
  auto env = bench::must(core::UringEnv::create({}));
  bool good = true;
  if (options.manage) good = bench::bench_pool_management(*env, options) && good;
  if (options.io) good = bench::bench_pool_io(*env, options) && good;
  return good ? 0 : 1;
}
