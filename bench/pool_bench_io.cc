// Why this file exists: reads and writes through a replica against fio on the same bytes. The
// replica lies in one piece in the pool's file, so fio gets the file with an offset and a length
// and does with O_DIRECT and io_uring what the replica does: same file, same range, same sizes,
// same number of requests in flight, one core for either side. Rounds alternate, and so does who is
// first, because disks and neighbours drift.
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "bench/pool_bench.h"
#include "core/buffer.h"
#include "core/scope.h"
#include "storage/pool/load.h"

namespace capstan::bench {
namespace {

constexpr double kTarget = 0.9;
constexpr std::uint64_t kReplicaBytes = kGiB;

struct Shape {
  const char* name;
  const char* fio;  // its --rw
  bool write, random;
  std::size_t block;
  unsigned depth;
};
constexpr Shape kShapes[] = {{"4 KiB random read", "randread", false, true, 4096, 1},
                             {"4 KiB random read", "randread", false, true, 4096, 32},
                             {"4 KiB random write", "randwrite", true, true, 4096, 1},
                             {"4 KiB random write", "randwrite", true, true, 4096, 32},
                             {"128 KiB sequential read", "read", false, false, 128U << 10, 8},
                             {"128 KiB sequential write", "write", true, false, 128U << 10, 8}};

struct Range {
  std::uint64_t offset = 0, length = 0;
};
struct Measured {
  double per_second = 0, cpu_us = 0;  // requests; processor time of one
};

// --- fio -----------------------------------------------------------------------------------------

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) give_up("cannot run " + command);
  std::string output;
  std::array<char, 4096> part;
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe))
    output.append(part.data(), got);
  if (::pclose(pipe) != 0) give_up(command + " failed: " + output);
  return output;
}

bool have_fio() {
  return std::system("command -v fio > /dev/null 2>&1") == 0;
}

// The number after `key`, searched from the beginning of `section`.
double number_in(const std::string& json, const std::string& section, const std::string& key) {
  const auto begin = json.find("\"" + section + "\" : {");
  const auto at = json.find("\"" + key + "\" : ", begin);
  if (begin == std::string::npos || at == std::string::npos) give_up("fio said: " + json);
  return std::atof(json.c_str() + at + key.size() + 5);
}

Measured run_fio(const std::string& path, Range range, const Shape& shape,
                 const std::string& more) {
  const std::string command =
      "fio --name=floor --ioengine=io_uring --direct=1 --norandommap --output-format=json --rw=" +
      std::string(shape.fio) + " --bs=" + std::to_string(shape.block) +
      " --iodepth=" + std::to_string(shape.depth) + " --filename=" + path +
      " --offset=" + std::to_string(range.offset) + " --size=" + std::to_string(range.length) +
      " " + more;
  const std::string json = output_of(command);
  const std::string section = shape.write ? "write" : "read";
  Measured out;
  out.per_second = number_in(json, section, "iops");
  // Percent of the run time, which is that of one core.
  const double cpu =
      number_in(json, "job options", "usr_cpu") + number_in(json, "job options", "sys_cpu");
  out.cpu_us = cpu / 100 * 1e6 / out.per_second;
  return out;
}

// --- ours ----------------------------------------------------------------------------------------

double cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

struct Load {
  storage::Replica* replica;
  Shape shape;
  double end;
  std::uint64_t next = 0, done = 0;        // `next`: of sequential requests
  std::vector<std::uint64_t> places = {};  // each once, then it ends; empty: until `end`
};

core::Task<void> worker(Load* load, std::uint64_t seed) {
  core::Buffer buffer = core::Buffer::zeroed(load->shape.block);
  const std::uint64_t blocks = load->replica->size_bytes() / load->shape.block;
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  while (load->places.empty() ? seconds_now() < load->end : load->next < load->places.size()) {
    std::uint64_t block = load->next++;
    if (!load->places.empty()) {
      block = load->places[block];
    } else if (load->shape.random) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      block = state;
    }
    const std::uint64_t at = block % blocks * load->shape.block;
    must(load->shape.write ? co_await load->replica->write(at, buffer.view())
                           : co_await load->replica->read(at, buffer.bytes()));
    ++load->done;
  }
}

core::Task<void> run_load(Load* load, Measured* out) {
  core::Scope scope;
  const double start = seconds_now(), cpu = cpu_seconds();
  for (unsigned i = 0; i < load->shape.depth; ++i) scope.spawn(worker(load, i + 1));
  co_await scope.join();
  const auto done = static_cast<double>(load->done);
  out->per_second = done / (seconds_now() - start);
  out->cpu_us = (cpu_seconds() - cpu) / done * 1e6;
}

core::Task<void> fill(storage::Replica* replica) {
  const core::Buffer buffer = core::Buffer::zeroed(kMiB);
  for (std::uint64_t at = 0; at < replica->size_bytes(); at += kMiB)
    must(co_await replica->write(at, buffer.view()));
  must(co_await replica->flush());
}

// Where the replica lies in the file; it must be one piece.
core::Task<void> find_range(BenchPool* pool, storage::Replica* replica, Range* range) {
  const auto image = must(co_await storage::lvs::load_image(pool->device()));
  const auto& blob = image.blobs.at(replica->blob_id()).blob;
  for (std::uint64_t i = 0; i < blob.num_clusters; ++i) {
    if (blob.cluster_at(i) != blob.cluster_at(0) + i) give_up("the replica is not in one piece");
  }
  *range = {image.geometry.cluster(blob.cluster_at(0)), replica->size_bytes()};
}

// --- tables --------------------------------------------------------------------------------------

void print_head(const std::string& title) {
  std::printf(
      "\n%s\n\n| what | in flight | fio/s | replica/s | ratio | fio CPU us | ours |\n"
      "|---|---|---|---|---|---|---|\n",
      title.c_str());
}

struct Pairs {
  std::vector<double> floor, ours, ratio, floor_cpu, our_cpu;
  void add(const Measured& fio, const Measured& replica) {
    floor.push_back(fio.per_second), ours.push_back(replica.per_second);
    ratio.push_back(replica.per_second / fio.per_second);
    floor_cpu.push_back(fio.cpu_us), our_cpu.push_back(replica.cpu_us);
  }
  void print(const char* name, unsigned depth) const {
    std::printf("| %s | %u | %.0f | %.0f | %.2f | %.1f | %.1f |\n", name, depth, median(floor),
                median(ours), median(ratio), median(floor_cpu), median(our_cpu));
    std::fflush(stdout);
  }
};

bool compare(core::UringEnv& env, const PoolBenchOptions& options, BenchPool& pool,
             storage::Replica& replica) {
  Range range;
  env.run(find_range(&pool, &replica, &range));
  const std::string timed =
      "--time_based --runtime=" + std::to_string(static_cast<int>(options.seconds * 1000)) + "ms";
  bool good = true;
  for (const Shape& shape : kShapes) {
    Pairs pairs;
    for (int round = 0; round < options.rounds; ++round) {
      Measured ours, floor;
      const auto measure = [&] {
        Load load{&replica, shape, seconds_now() + options.seconds};
        env.run(run_load(&load, &ours));
      };
      if (round % 2 == 0) measure();
      floor = run_fio(pool.path(), range, shape, timed);
      if (round % 2 == 1) measure();
      pairs.add(floor, ours);
    }
    pairs.print(shape.name, shape.depth);
    good = median(pairs.ratio) >= kTarget && good;
  }
  return good;
}

// Every request is the first one to its cluster, on a new replica; fio writes to as many places of
// the hole that the removed replica left.
void compare_first_writes(core::UringEnv& env, const PoolBenchOptions& options, BenchPool& pool) {
  const std::uint64_t cluster = pool->info().cluster_size_bytes;
  const Shape shapes[] = {{"4 KiB, one for each cluster", "write:4092k", true, false, 4096, 1},
                          {"4 KiB, one for each cluster", "write:4092k", true, false, 4096, 32},
                          {"128 KiB sequential", "write", true, false, 128U << 10, 8}};
  for (const Shape& shape : shapes) {
    Pairs pairs;
    for (int round = 0; round < options.rounds; ++round) {
      std::shared_ptr<storage::Replica> replica;
      env.run([](BenchPool* on, std::shared_ptr<storage::Replica>* into) -> core::Task<void> {
        *into = co_await on->add("first", kReplicaBytes, true);
      }(&pool, &replica));
      Load load{replica.get(), shape, 0};
      const std::uint64_t step = shape.block == 4096 ? cluster : shape.block;
      for (std::uint64_t at = 0; at < kReplicaBytes; at += step)
        load.places.push_back(at / shape.block);
      Measured ours;
      env.run(run_load(&load, &ours));
      Range range;
      env.run(find_range(&pool, replica.get(), &range));
      env.run([](BenchPool* on, std::shared_ptr<storage::Replica> gone) -> core::Task<void> {
        must(co_await (**on).destroy_replica(gone->uuid()));
      }(&pool, replica));
      pairs.add(run_fio(pool.path(), range, shape, ""), ours);
    }
    pairs.print(shape.name, shape.depth);
  }
}

void stay_on_one_core() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(0, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) give_up("cannot stay on one core");
}

}  // namespace

bool bench_pool_io(core::UringEnv& env, const PoolBenchOptions& options) {
  if (!have_fio()) {
    std::printf("\nfio is not installed (apt-get install fio): I/O is not compared\n");
    return true;
  }
  stay_on_one_core();  // fio inherits it
  BenchPool pool(env, options.folder + "/pool_bench_io.img", 3 * kGiB);
  std::shared_ptr<storage::Replica> thick, thin;
  const auto prepare = [](BenchPool* on, std::shared_ptr<storage::Replica>* first,
                          std::shared_ptr<storage::Replica>* second) -> core::Task<void> {
    co_await on->create();
    *first = co_await on->add("thick", kReplicaBytes, false);
    co_await fill(first->get());
    *second = co_await on->add("thin", kReplicaBytes, true);
    co_await fill(second->get());
  };
  env.run(prepare(&pool, &thick, &thin));
  print_head("Thick replica");
  bool good = compare(env, options, pool, *thick);
  print_head("Thin replica, allocated");
  good = compare(env, options, pool, *thin) && good;
  const auto remove = [](BenchPool* on,
                         std::shared_ptr<storage::Replica> gone) -> core::Task<void> {
    must(co_await (**on).destroy_replica(gone->uuid()));
  };
  env.run(remove(&pool, std::move(thin)));
  print_head("Thin replica, first write");
  compare_first_writes(env, options, pool);
  thick.reset();
  return good;
}

}  // namespace capstan::bench
