// Why this file exists: the server of ours that grpc_bench measures: gRPC's test service and a list
// of pools, with nothing behind them, on one reactor, with the options that a node has. See
// grpc_bench.h.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "bench/bench_node.h"
#include "bench/grpc_bench.h"
#include "bench/some_pools.h"
#include "core/os_heap.h"
#include "core/os_signal.h"
#include "core/uring_env.h"
#include "grpc_testing.pb.h"
#include "pool.pb.h"
#include "wire/grpc/server.h"

namespace capstan::bench {
namespace {

using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

class Services {
 public:
  Services() : pools_(some_pools()) {}
  core::Task<Result<SimpleResponse>> echo(rpc::Call&, const SimpleRequest& request) {
    SimpleResponse response;
    response.mutable_payload()->set_body(request.payload().body());
    co_return response;
  }
  core::Task<Result<mayastor::v1::ListPoolsResponse>> list(rpc::Call&,
                                                           const mayastor::v1::ListPoolOptions&) {
    co_return pools_;
  }
  core::Task<Result<void>> stream(rpc::Call&, const StreamingOutputCallRequest& request,
                                  rpc::Sink<StreamingOutputCallResponse> sink) {
    StreamingOutputCallResponse response;
    const auto& wanted = request.response_parameters(0);
    response.mutable_payload()->set_body(std::string(static_cast<std::size_t>(wanted.size()), 's'));
    for (int i = 0; i < wanted.interval_us(); ++i) CO_TRY(co_await sink.send(response));
    co_return Result<void>();
  }

 private:
  mayastor::v1::ListPoolsResponse pools_;
};

core::Task<void> serve(core::Env* env, core::SignalSet* signals, rpc::Directory* directory,
                       core::Log* log, core::Address address,
                       std::shared_ptr<const wire::TlsContext> tls) {
  wire::GrpcServer server(*env, *directory, *log, {});
  if (auto listening = server.listen(address, tls); !listening) give_up(listening.error().text());
  core::Scope scope;
  scope.spawn(server.run());
  std::puts("ready");
  std::fflush(stdout);
  (void)co_await signals->wait();
  server.stop(core::kSecond);
  co_await scope.join();
}

Result<void> bind(rpc::Directory& directory, Services& services) {
  const auto* test = SimpleRequest::descriptor()->file()->FindServiceByName("TestService");
  const auto* pools = mayastor::v1::Pool::descriptor()->file()->FindServiceByName("PoolRpc");
  TRY(directory.declare(test));
  TRY(directory.declare(pools));
  TRY(rpc::bind_unary(directory, kEcho, services, &Services::echo));
  TRY(rpc::bind_server_stream(directory, kStream, services, &Services::stream));
  return rpc::bind_unary(directory, kListPools, services, &Services::list);
}

}  // namespace

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

core::Address address_of(const std::string& text) {
  if (text.starts_with("unix:")) return core::Address::unix_path(text.substr(5));
  const auto colon = text.rfind(':');
  return core::Address::tcp(text.substr(0, colon),
                            static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
}

int serve_on(const std::string& address, const std::string& certificates) {
  core::keep_freed_memory();  // as a node does
  auto signals = core::SignalSet::create();
  auto env = core::UringEnv::create({});
  if (!signals || !env) give_up("no signals or no io_uring here");
  Services services;
  rpc::Directory directory;
  if (auto bound = bind(directory, services); !bound) give_up(bound.error().text());
  std::shared_ptr<const wire::TlsContext> tls;
  if (!certificates.empty()) {
    wire::TlsServerConfig config;
    config.certificate_pem = file_text(certificates + "/cert.pem");
    config.private_key_pem = file_text(certificates + "/key.pem");
    auto made = wire::TlsContext::server(config);
    if (!made) give_up(made.error().text());
    tls = *std::move(made);
  }
  const auto sink = core::make_stderr_sink({}, "bench");
  core::Log log(*sink, core::LogLevel::kWarn, &core::UringEnv::wall_clock, nullptr);
  (*env)->run(serve(env->get(), signals->get(), &directory, &log, address_of(address), tls));
  return EXIT_SUCCESS;
}

}  // namespace capstan::bench
