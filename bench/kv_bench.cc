// Why this file exists: our store beside RocksDB, LevelDB and LMDB, in one process and one run, so
// that the ratios mean something: 1 million keys of 16 random bytes, one thread, everything in the
// page cache, nothing synced, compression off. What each engine returns for a read is what its
// fastest interface returns (a pointer where it can).
//
// Engines take turns, and of every figure the median of the rounds counts; what other programs take
// from the machine meanwhile hits all of them alike. "us" is processor time per operation, threads
// of the engine's own included.
//
//     kv_bench [--keys N] [--value BYTES] [--rounds N] [--dir DIR] [--engine NAME]...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/kv_engines.h"

namespace capstan::bench {
namespace {

struct Arguments {
  std::size_t keys = 1'000'000, value = 100, rounds = 3;
  std::string folder = "/tmp";
  std::vector<std::string> engines;
};

// xorshift64: the same keys in the same order for everybody.
struct Random {
  std::uint64_t state = 88172645463325252ULL;
  std::uint64_t next() {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return state;
  }
};

std::vector<std::string> make_keys(std::size_t count) {
  Random random;
  std::vector<std::string> keys(count);
  for (auto& key : keys) {
    const std::uint64_t words[] = {random.next(), random.next()};
    key.assign(reinterpret_cast<const char*>(words), sizeof words);
  }
  return keys;
}

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct Spent {
  double wall = 0, processor = 0;
};
Spent spent(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  const double before = processor_seconds();
  work();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  return {wall.count(), processor_seconds() - before};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Rounds of one phase of one engine.
struct Figure {
  std::vector<double> wall, processor;
  void add(Spent time) {
    wall.push_back(time.wall);
    processor.push_back(time.processor);
  }
};

struct Figures {
  Figure write, batch, read, batch_read, open;
  std::uint64_t bytes = 0;
};

std::uint64_t size_of(const std::string& path) {
  std::uint64_t sum = 0;
  if (std::filesystem::is_regular_file(path)) return std::filesystem::file_size(path);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) sum += entry.file_size();
  }
  return sum;
}

void measure(Engine& engine, const Arguments& arguments, const std::vector<std::string>& keys,
             Figures& out) {
  const std::string path = arguments.folder + "/kv_bench_" + engine.name();
  const std::string value(arguments.value, 'v');
  std::filesystem::remove_all(path);
  engine.open(path);
  out.write.add(spent([&] { engine.write(keys, value); }));
  engine.close();
  out.open.add(spent([&] { engine.open(path); }));
  Random random{42};
  std::vector<std::string> asked;
  asked.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) asked.push_back(keys[random.next() % keys.size()]);
  std::size_t bytes = engine.read(asked);  // warm-up
  out.read.add(spent([&] { bytes += engine.read(asked); }));
  out.batch_read.add(spent([&] { bytes += engine.batch_read(asked); }));
  if (bytes != 3 * keys.size() * arguments.value) {
    std::fprintf(stderr, "%s: read %zu bytes\n", engine.name(), bytes);
    std::exit(1);
  }
  engine.close();
  out.bytes = size_of(path);
  std::filesystem::remove_all(path);
  engine.open(path);
  out.batch.add(spent([&] { engine.batch_write(keys, value, 1000); }));
  engine.close();
  std::filesystem::remove_all(path);
}

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--keys") {
      arguments.keys = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--value") {
      arguments.value = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--rounds") {
      arguments.rounds = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--dir") {
      arguments.folder = argv[i + 1];
    } else if (flag == "--engine") {
      arguments.engines.emplace_back(argv[i + 1]);
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && arguments.keys > 0 && arguments.value > 1 && arguments.rounds > 0;
}

void print(const Arguments& arguments, const std::vector<std::string>& names,
           const std::vector<Figures>& all) {
  const auto count = static_cast<double>(arguments.keys);
  std::printf("%zu keys of 16 bytes, values of %zu bytes, medians of %zu rounds\n", arguments.keys,
              arguments.value, arguments.rounds);
  std::printf("%-13s %14s %14s %14s %14s %8s %7s\n", "engine", "write k/s us", "batch k/s us",
              "read k/s us", "bread k/s us", "open s", "MB");
  const auto cell = [&](const Figure& figure) {
    std::printf(" %8.0f %5.2f", count / median(figure.wall) / 1e3,
                median(figure.processor) / count * 1e6);
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::printf("%-13s", names[i].c_str());
    for (const auto* figure : {&all[i].write, &all[i].batch, &all[i].read, &all[i].batch_read}) {
      cell(*figure);
    }
    std::printf(" %8.3f %7.0f\n", median(all[i].open.wall),
                static_cast<double>(all[i].bytes) / 1e6);
  }
  for (std::size_t i = 1; i < all.size(); ++i) {
    const auto ratio = [&](const Figure& ours, const Figure& theirs) {
      std::printf(" %.2f (%.2f)", median(theirs.wall) / median(ours.wall),
                  median(theirs.processor) / median(ours.processor));
    };
    std::printf("%s / %s, by processor time in brackets:", names[0].c_str(), names[i].c_str());
    std::printf(" write"), ratio(all[0].write, all[i].write);
    std::printf(" batch"), ratio(all[0].batch, all[i].batch);
    std::printf(" read"), ratio(all[0].read, all[i].read);
    std::printf("\n");
  }
}

int run(const Arguments& arguments) {
  const auto keys = make_keys(arguments.keys);
  std::vector<std::unique_ptr<Engine>> wanted;
  for (auto& engine : engines()) {
    const auto& names = arguments.engines;
    if (names.empty() || std::ranges::find(names, engine->name()) != names.end()) {
      wanted.push_back(std::move(engine));
    }
  }
  std::vector<Figures> all(wanted.size());
  std::vector<std::string> names;
  for (const auto& engine : wanted) names.emplace_back(engine->name());
  for (std::size_t round = 0; round < arguments.rounds; ++round) {
    for (std::size_t i = 0; i < wanted.size(); ++i) measure(*wanted[i], arguments, keys, all[i]);
  }
  print(arguments, names, all);
  return 0;
}

}  // namespace
}  // namespace capstan::bench

int main(int argc, char** argv) {
  capstan::bench::Arguments arguments;
  if (!capstan::bench::parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: kv_bench [--keys N] [--value BYTES] [--rounds N] [--dir DIR] "
                 "[--engine NAME]...\n");
    return 2;
  }
  return capstan::bench::run(arguments);
}
