// Why this file exists: the simulation as a program: one seed, many seeds, or every crash point of
// a small story. Prints the first failing seed with the command that repeats it, and ends with 1.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sim/nvme_sim.h"
#include "sim/pool_sim.h"

namespace capstan::sim {
namespace {

struct Arguments {
  std::uint64_t seed = 1, seeds = 1;
  std::string workload = "mixed";
  std::optional<std::uint64_t> cut_at;
  bool enumerate = false, kill = false, strict = false, verbose = false, help = false;
};

constexpr const char* kHelp =
    "sim: runs a pool through power cuts on a simulated disk; as workload nvme (alone, not among "
    "all)\n"
    "it is served to hosts over a network that breaks\n"
    "  --seed N        the first seed (default 1)\n"
    "  --seeds N       how many seeds, one after the other (default 1)\n"
    "  --workload W    what the node does (default mixed); all: they take turns\n"
    "  --enumerate     cut the power once at every I/O of the seed's first generation\n"
    "  --cut-at N      cut it only at I/O N of the first generation\n"
    "  --kill          with those two: kill the process instead\n"
    "  --strict        watch the order of all writes as well (slow; not for 'faults')\n"
    "  --verbose       tell the story\n";

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto number = [&](std::uint64_t& into) {
      char* end = nullptr;
      if (++i >= argc) return false;
      into = std::strtoull(argv[i], &end, 10);
      return end != argv[i] && *end == '\0';
    };
    std::uint64_t value = 0;
    if (flag == "--enumerate") {
      arguments.enumerate = true;
    } else if (flag == "--kill") {
      arguments.kill = true;
    } else if (flag == "--strict") {
      arguments.strict = true;
    } else if (flag == "--verbose") {
      arguments.verbose = true;
    } else if (flag == "--help") {
      arguments.help = true;
    } else if (flag == "--workload" && i + 1 < argc) {
      arguments.workload = argv[++i];
    } else if (flag == "--seed" && number(value)) {
      arguments.seed = value;
    } else if (flag == "--seeds" && number(value)) {
      arguments.seeds = value;
    } else if (flag == "--cut-at" && number(value)) {
      arguments.cut_at = value;
    } else {
      std::fprintf(stderr, "sim: cannot understand '%s'; see --help\n",
                   argv[i < argc ? i : argc - 1]);
      return false;
    }
  }
  return true;
}

PoolSimResult run_once(const Arguments& arguments, std::uint64_t seed,
                       std::optional<std::uint64_t> cut_at) {
  PoolSimOptions options;
  options.seed = seed;
  const auto names = workload_names();
  const std::string workload =
      arguments.workload == "all" ? std::string(names[seed % names.size()]) : arguments.workload;
  options.workload = find_workload(workload);
  options.cut_at = cut_at;
  options.kill = arguments.kill;
  options.strict = arguments.strict;
  options.verbose = arguments.verbose;
  auto result = PoolSim(options).run();
  if (!result.failure.empty()) {
    std::printf(
        "FAILED seed %llu%s: %s\n  %s\n  repeat: sim --workload %s --seed %llu%s --verbose\n",
        static_cast<unsigned long long>(seed),
        cut_at ? (" cut at I/O " + std::to_string(*cut_at)).c_str() : "", result.failure.c_str(),
        result.story.c_str(), workload.c_str(), static_cast<unsigned long long>(seed),
        cut_at
            ? (" --cut-at " + std::to_string(*cut_at) + (arguments.kill ? " --kill" : "")).c_str()
            : "");
    std::fflush(stdout);
  }
  return result;
}

int run_nvme(const Arguments& arguments) {
  NvmeSimResult sum;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.seeds; ++seed) {
    NvmeSimOptions options;
    options.seed = seed;
    options.verbose = arguments.verbose;
    const auto result = NvmeSim(options).run();
    sum.cuts += result.cuts, sum.kills += result.kills, sum.restarts += result.restarts;
    sum.breaks += result.breaks, sum.partitions += result.partitions;
    sum.reconnects += result.reconnects, sum.writes += result.writes, sum.reads += result.reads;
    sum.flushes += result.flushes, sum.swaps += result.swaps;
    sum.unknown_swaps += result.unknown_swaps, sum.reservations += result.reservations;
    sum.conflicts += result.conflicts;
    sum.trace_hash = (sum.trace_hash ^ result.trace_hash) * 0x100000001B3ULL;
    if (result.failure.empty()) continue;
    ++failed;
    std::printf("FAILED seed %llu: %s\n  %s\n  repeat: sim --workload nvme --seed %llu --verbose\n",
                static_cast<unsigned long long>(seed), result.failure.c_str(), result.story.c_str(),
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  std::printf(
      "%llu runs, %llu failed; %u power cuts, %u kills, %u restarts, %u broken and %u split "
      "connections, %llu reconnects, %u writes, %u reads, %u flushes, %u swaps (%u unknown), %u "
      "reservations, %u conflicts; stories %016llx\n",
      static_cast<unsigned long long>(arguments.seeds), static_cast<unsigned long long>(failed),
      sum.cuts, sum.kills, sum.restarts, sum.breaks, sum.partitions,
      static_cast<unsigned long long>(sum.reconnects), sum.writes, sum.reads, sum.flushes,
      sum.swaps, sum.unknown_swaps, sum.reservations, sum.conflicts,
      static_cast<unsigned long long>(sum.trace_hash));
  return failed == 0 ? 0 : 1;
}

int run(const Arguments& arguments) {
  if (arguments.workload == "nvme") return run_nvme(arguments);
  if (arguments.workload != "all" && !find_workload(arguments.workload)) {
    std::string names;
    for (const auto name : workload_names()) names += " " + std::string(name);
    std::fprintf(stderr, "sim: unknown workload '%s'; there are:%s nvme\n",
                 arguments.workload.c_str(), names.c_str());
    return 2;
  }
  std::uint64_t runs = 0, failed = 0, cuts = 0, kills = 0, loads = 0, writes = 0, created = 0,
                resized = 0, grown = 0, full = 0, unreadable = 0, failed_loads = 0, stories = 0;
  const auto count = [&](const PoolSimResult& result) {
    ++runs, failed += !result.failure.empty(), cuts += result.cuts, kills += result.kills,
        loads += result.loads;
    writes += result.writes, created += result.created, resized += result.resized;
    grown += result.grown, full += result.refused_full;
    unreadable += result.unreadable, failed_loads += result.failed_loads;
    stories = (stories ^ result.trace_hash) * 0x100000001B3ULL;
  };
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.seeds; ++seed) {
    if (!arguments.enumerate) {
      count(run_once(arguments, seed, arguments.cut_at));
      continue;
    }
    const auto whole = run_once(arguments, seed, 1'000'000'000);
    count(whole);
    for (std::uint64_t cut = 1; cut <= whole.first_generation_ios; ++cut) {
      count(run_once(arguments, seed, cut));
    }
  }
  std::printf(
      "%llu runs, %llu failed; %llu power cuts, %llu kills, %llu loads, %llu writes, %llu "
      "replicas, %llu resized, pool grown %llu times, %llu times full, %llu reads of bad sectors, "
      "%llu loads stopped by one; stories %016llx\n",
      static_cast<unsigned long long>(runs), static_cast<unsigned long long>(failed),
      static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(kills),
      static_cast<unsigned long long>(loads), static_cast<unsigned long long>(writes),
      static_cast<unsigned long long>(created), static_cast<unsigned long long>(resized),
      static_cast<unsigned long long>(grown), static_cast<unsigned long long>(full),
      static_cast<unsigned long long>(unreadable), static_cast<unsigned long long>(failed_loads),
      static_cast<unsigned long long>(stories));
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace capstan::sim

int main(int argc, char** argv) {
  // Disks and buffers of one seed serve the next; giving them back between costs a fifth of all.
  (void)::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  (void)::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  capstan::sim::Arguments arguments;
  if (!capstan::sim::parse(argc, argv, arguments)) return 2;
  if (arguments.help) {
    std::fputs(capstan::sim::kHelp, stdout);
    std::fputs("workloads:", stdout);
    for (const auto name : capstan::sim::workload_names())
      std::printf(" %.*s", static_cast<int>(name.size()), name.data());
    std::fputs(" nvme\n", stdout);
    return 0;
  }
  return capstan::sim::run(arguments);
}
