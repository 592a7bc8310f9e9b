// Why this file exists: what a gateway is for, in figures of one run: the work that it takes off
// its node, thousands of watchers, and the node's I/O while it is asked. Node and gateway are the
// ones that were built beside this program.
//   gateway_bench [lists] [watchers] [io]     (all of them; `chrt -r 5` keeps other programs away)
// Prints each figure beside its target. Exit code: targets missed.
#include "bench/gateway_bench.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "bench/bench_node.h"
#include "bench/list_load.h"

namespace capstan::bench {

namespace {

constexpr double kSavedMin = 0.90, kWindowMs = 3000, kRateKept = 0.98;
constexpr std::size_t kListsAtOnce = 64;

struct Used {
  double node = 0, gateway = 0, rate = 0;  // microseconds of CPU in a second, lists in a second
  std::uint64_t wrong = 0;
};

Used list_for_a_while(const BenchNode& node, const BenchGateway& gateway, std::uint16_t port,
                      double rate) {
  ListLoad load(port, kListsAtOnce);
  const double begun = now_us();
  Used used{node.cpu_us(), gateway.process().cpu_us(), 0, 0};
  load.run(kWindowMs, rate);
  load.drain();
  const double seconds = (now_us() - begun) / 1e6;
  used.node = (node.cpu_us() - used.node) / seconds;
  used.gateway = (gateway.process().cpu_us() - used.gateway) / seconds;
  used.rate = static_cast<double>(load.answered) / seconds;
  used.wrong = load.wrong;
  return used;
}

}  // namespace

int measure_lists(const GatewayBench& bench) {
  const std::vector<std::string> flags = {"--rest-max-connections", "unlimited"};
  const BenchNode node(flags);
  for (int i = 0; i < bench.pools; ++i) make_pool(node, "p" + std::to_string(i), 16);
  const BenchGateway gateway(node, flags);
  std::vector<double> direct, behind, gateways, rates, idle;
  std::uint64_t wrong = 0;
  for (int i = 0; i < bench.rounds; ++i) {
    for (const bool first : {i % 2 == 0, i % 2 != 0}) {
      const auto used = list_for_a_while(node, gateway, first ? node.port() : gateway.port(),
                                         bench.lists_per_second);
      (first ? direct : behind).push_back(used.node);
      if (!first) gateways.push_back(used.gateway);
      rates.push_back(used.rate);
      wrong += used.wrong;
    }
    idle.push_back(list_for_a_while(node, gateway, gateway.port(), 0.001).node);
  }
  const double saved = 1 - median(behind) / median(direct);
  const double slowest = *std::ranges::min_element(rates);
  const bool kept = slowest >= kRateKept * bench.lists_per_second;
  std::printf(
      "%.0f lists of %d pools in a second over HTTP (at least %.0f were answered, %llu wrongly)\n",
      bench.lists_per_second, bench.pools, slowest, static_cast<unsigned long long>(wrong));
  std::printf(
      "node, asked itself %.1f%% of a core, behind the gateway %.2f%% (without lists %.2f%%), "
      "gateway %.1f%%\n",
      median(direct) / 1e4, median(behind) / 1e4, median(idle) / 1e4, median(gateways) / 1e4);
  const bool missed = saved < kSavedMin || !kept || wrong != 0;
  std::printf("saved at the node: %.1f%% (at least %.0f%%): %s\n", saved * 100, kSavedMin * 100,
              missed ? "missed" : "met");
  return missed;
}

}  // namespace capstan::bench

int main(int argc, char** argv) {
  using namespace capstan::bench;
  raise_descriptor_limit();
  const auto wanted = [&](const char* part) {
    return argc == 1 || std::any_of(argv + 1, argv + argc, [&](const char* given) {
             return std::strcmp(given, part) == 0;
           });
  };
  const GatewayBench bench;
  int missed = 0;
  if (wanted("lists")) missed += measure_lists(bench);
  if (wanted("watchers")) missed += measure_watchers(bench);
  if (wanted("io")) missed += measure_io(bench);
  return missed;
}
