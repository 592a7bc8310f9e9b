// Why this file exists: the part of gateway_bench about what a gateway's readers take from the I/O
// of the node behind it, with every interceptor of both switched on. Windows with and without a
// thousand lists under way alternate. The node has a core for itself, gateway, readers and clients
// share the other, gateway and clients behind the readers; see export_readers.h.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "bench/bench_node.h"
#include "bench/export_readers.h"
#include "bench/gateway_bench.h"
#include "bench/list_load.h"

namespace capstan::bench {

namespace {

constexpr double kRatioMin = 0.95;

// What a careful operator switches on; nobody is refused.
class EveryInterceptor {
 public:
  EveryInterceptor()
      : path_(std::filesystem::temp_directory_path() /
              ("capstan-bench-" + std::to_string(getpid()) + ".json")) {
    std::ofstream(path_) << R"({"acl":[{"address":"127.0.0.1","blacklist":["DELETE /pools/**"]}]})";
  }
  ~EveryInterceptor() { std::filesystem::remove(path_); }
  EveryInterceptor(const EveryInterceptor&) = delete;
  EveryInterceptor& operator=(const EveryInterceptor&) = delete;
  std::vector<std::string> flags() const {
    std::vector<std::string> all = {"--access",
                                    "any=all",
                                    "--acl",
                                    path_,
                                    "--rate-limit-client",
                                    "10000000",
                                    "--otlp-endpoint",
                                    "http://127.0.0.1:9/v1/traces",
                                    "-L",
                                    "all"};
    for (const char* kind : {"read", "monitor", "write", "data", "admin"}) {
      all.emplace_back("--rate-limit");
      all.push_back(std::string(kind) + "=10000000");
    }
    return all;
  }

 private:
  std::string path_;
};

}  // namespace

int measure_io(const GatewayBench& bench) {
  const EveryInterceptor interceptors;
  stay_on(kNodesCore);
  const BenchNode node(interceptors.flags());
  stay_on(kClientsCore);
  make_export(node);
  std::vector<std::string> flags = interceptors.flags();
  flags.insert(flags.end(), {"--rest-max-connections", "unlimited"});
  const BenchGateway gateway(node, flags, be_nice);
  ListProcess lists(gateway.port(), bench.parallel);
  Readers readers(node.port());
  Series without, with;
  std::vector<double> ratios, lists_per_second, gateway_busy;
  for (int i = 0; i < 2 * bench.rounds; ++i) {
    const bool first = i % 2 == 0;  // each comes first in every second pair
    const auto quiet = [&] { without.add(measure_window(node, readers)); };
    const auto loaded = [&] {
      lists.start();
      const double begun = now_us(), cpu = gateway.process().cpu_us();
      const auto before = static_cast<double>(lists.answered());
      with.add(measure_window(node, readers));
      const double took = now_us() - begun;
      lists_per_second.push_back((static_cast<double>(lists.answered()) - before) / took * 1e6);
      gateway_busy.push_back((gateway.process().cpu_us() - cpu) / took);
      lists.stop();
    };
    first ? quiet() : loaded();
    first ? loaded() : quiet();
    ratios.push_back(with.rates.back() / without.rates.back());
  }
  std::printf("\nI/O of a replica beside %zu lists at a time at the gateway, all interceptors on\n",
              bench.parallel);
  std::printf("%-36s %6s %14s %11s\n", "", "MB/s", "node us/MB", "node's core");
  without.print("without lists");
  std::printf("\n");
  with.print("with lists");
  std::printf("\nlists in a second %.0f, of the gateway's core %.2f, answered wrongly %llu\n",
              median(lists_per_second), median(gateway_busy),
              static_cast<unsigned long long>(lists.wrong()));
  const double ratio = median(ratios);
  const bool missed = ratio < kRatioMin || lists.wrong() != 0;
  std::printf("throughput with lists: %.3f of that without (%.3f to %.3f; at least %.2f): %s\n",
              ratio, *std::ranges::min_element(ratios), *std::ranges::max_element(ratios),
              kRatioMin, missed ? "missed" : "met");
  return missed;
}

}  // namespace capstan::bench
