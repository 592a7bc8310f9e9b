// Why this file exists: a program that talks to a node, whatever the wire: the same typed calls, a
// stream, and errors with the code that the node gave.
//
//     ninja -C build/asan any_wire
//     build/asan/bin/any_wire http 127.0.0.1 10124        # or grpc, muxio
//     build/asan/bin/any_wire jsonrpc run/rpc.sock        # or drpc
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "client/remote.h"
#include "core/uring_env.h"
#include "monitor/monitor.pb.h"
#include "pool.pb.h"

using namespace capstan;
using client::CallOptions;
using client::Remote;
using client::Wire;

namespace {

core::Task<Result<void>> use_node(Remote& node) {
  const mayastor::v1::ListPoolOptions all;
  mayastor::v1::ListPoolsResponse listed;
  CallOptions options;
  options.deadline = core::Reactor::current()->now() + 30 * core::kSecond;
  CO_TRY(co_await node.unary("mayastor.v1.PoolRpc/ListPools", all, listed, options));
  for (const auto& pool : listed.pools()) {
    std::printf("%s: %llu bytes\n", pool.name().c_str(),
                static_cast<unsigned long long>(pool.capacity()));
  }
  mayastor::v1::DestroyPoolRequest wrong;
  wrong.set_name("no-such-pool");
  google::protobuf::Empty nothing;
  const auto refused =
      co_await node.unary("mayastor.v1.PoolRpc/DestroyPool", wrong, nothing, options);
  if (!refused) std::printf("refused: %s\n", std::string(code_name(refused.error().code)).c_str());
  if (!node.streams()) co_return Result<void>();
  // A stream ends when its call is destroyed; this one would go on for ever.
  const capstan::monitor::v1::MonitorPoolsRequest every;
  CO_TRY_SET(auto call,
             co_await node.open("capstan.monitor.v1.MonitorRpc/MonitorPools", &every, options));
  capstan::monitor::v1::PoolChange change;
  do {
    CO_TRY_SET(const bool more, co_await call->next(change));
    if (!more) break;
    std::printf("%s %s\n", change.event().c_str(), change.pool().name().c_str());
  } while (!change.synced());
  co_return Result<void>();
}

core::Task<void> run(core::Env& env, client::RemoteOptions options, int& exit_code) {
  const auto node = client::make_remote(env, std::move(options));
  const auto done = co_await use_node(*node);
  if (!done) std::fprintf(stderr, "%s\n", done.error().text().c_str());
  exit_code = done ? 0 : 1;
  co_await node->close();
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Wire> wires = {{"grpc", Wire::kGrpc},
                                             {"http", Wire::kHttp},
                                             {"muxio", Wire::kMuxio},
                                             {"jsonrpc", Wire::kJsonRpc},
                                             {"drpc", Wire::kDrpc}};
  const auto wire = argc > 1 ? wires.find(argv[1]) : wires.end();
  if (argc < 3 || wire == wires.end()) {
    std::fprintf(stderr, "usage: any_wire grpc|http|muxio|jsonrpc|drpc HOST PORT | PATH\n");
    return 2;
  }
  client::RemoteOptions options;
  options.wire = wire->second;
  options.channel.address =
      argc > 3 ? core::Address::tcp(argv[2], static_cast<std::uint16_t>(std::atoi(argv[3])))
               : core::Address::unix_path(argv[2]);
  auto env = core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    return 1;
  }
  int exit_code = 1;
  (*env)->run(run(**env, std::move(options), exit_code));
  return exit_code;
}
