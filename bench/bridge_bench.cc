// Why this file exists: what the bridge costs by which gRPC clients call JSON-RPC methods
// (JsonRpc/JsonRpcCall). One run against a real node compares, call after call: the operation
// called directly over gRPC; through the bridge, which calls it in process; and what a bridge of
// its own process would do, the gRPC call and then a connection to the JSON-RPC socket with the
// request, a half-close and the answer. Prints medians, the node's CPU time, and what each adds to
// the direct call.
//   bridge_bench [CALLS]
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "bench/bench_node.h"
#include "client/channel.h"
#include "core/uring_env.h"
#include "json.pb.h"
#include "spdk/framework.pb.h"

using namespace capstan;
using namespace capstan::bench;

namespace {

constexpr int kRounds = 9;
constexpr char kDirect[] = "spdk.Framework/GetVersion";
constexpr char kBridge[] = "mayastor.v1.JsonRpc/JsonRpcCall";
constexpr char kRequest[] = R"({"method":"spdk_get_version","id":0,"jsonrpc":"2.0"})";

core::Task<void> direct(client::Channel& channel) {
  google::protobuf::Empty request;
  spdk::Version response;
  const auto done = co_await channel.unary(kDirect, request, response, {});
  if (!done || response.fields().major() != 26) give_up(kDirect);
}

core::Task<void> bridged(client::Channel& channel) {
  mayastor::v1::JsonRpcRequest request;
  mayastor::v1::JsonRpcResponse response;
  request.set_method("spdk_get_version");
  const auto done = co_await channel.unary(kBridge, request, response, {});
  if (!done || response.result().find("\"major\": 26") == std::string::npos) give_up(kBridge);
}

// As Mayastor's bridge does it for every call.
void over_socket(const BenchNode& bench) {
  const int socket = connect_stream(bench.rpc_socket());
  std::string answer;
  if (socket < 0 || !ask(socket, kRequest, answer)) give_up("the JSON-RPC socket");
  shutdown(socket, SHUT_WR);
  char end = 0;
  if (recv(socket, &end, 1, 0) != 0) give_up("more than one answer");
  close(socket);
}

struct Way {
  const char* name;
  std::vector<double> times, cpu;
};

core::Task<void> one_call(const BenchNode& bench, client::Channel& channel, std::size_t way) {
  if (way == 1) co_return co_await bridged(channel);
  co_await direct(channel);
  if (way == 2) over_socket(bench);
}

core::Task<void> measure(core::Env& env, const BenchNode& bench, int calls) {
  client::Channel channel(env, {.address = core::Address::tcp("127.0.0.1", bench.port())});
  Way ways[] = {
      {"direct", {}, {}}, {"bridge, in process", {}, {}}, {"by way of the socket", {}, {}}};
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t way = 0; way < std::size(ways); ++way) {
      std::vector<double> times;
      const double cpu = bench.cpu_us();
      for (int i = 0; i < calls; ++i) {
        const double start = now_us();
        co_await one_call(bench, channel, way);
        times.push_back(now_us() - start);
      }
      ways[way].cpu.push_back((bench.cpu_us() - cpu) / calls);
      ways[way].times.push_back(median(std::move(times)));
    }
  }
  co_await channel.close();
  const double base = median(ways[0].times), base_cpu = median(ways[0].cpu);
  std::printf("%-21s %9s %9s %12s %9s\n", "spdk_get_version", "call us", "added", "node CPU us",
              "added");
  for (const Way& way : ways) {
    std::printf("%-21s %9.1f %9.1f %12.1f %9.1f\n", way.name, median(way.times),
                median(way.times) - base, median(way.cpu), median(way.cpu) - base_cpu);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : 2000;
  const BenchNode bench;
  const auto env = core::UringEnv::create({});
  if (!env) give_up(env.error().text());
  (*env)->run(measure(**env, bench, calls));
  return 0;
}
