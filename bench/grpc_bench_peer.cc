// Why this file exists: what grpc_bench measures ours against: grpc++'s server with its callback
// API, as it comes, with the same services on the address given; and grpc++'s client, which calls
// either server.
//
//     grpc-bench-peer ADDRESS                serves until SIGTERM
//     grpc-bench-peer --call ADDRESS COUNT   echoes, one after another; prints p50 and p99 in us
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "bench/some_pools.h"
#include "grpc_testing.grpc.pb.h"
#include "pool.grpc.pb.h"

namespace {

using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

class Writer final : public grpc::ServerWriteReactor<StreamingOutputCallResponse> {
 public:
  Writer(int size, int count) : left_(count) {
    message_.mutable_payload()->set_body(std::string(static_cast<std::size_t>(size), 's'));
    next();
  }
  void OnWriteDone(bool good) override {
    if (good) return next();
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  void next() {
    if (left_-- == 0) return Finish(grpc::Status::OK);
    StartWrite(&message_);
  }
  StreamingOutputCallResponse message_;
  int left_;
};

class Echo final : public grpc::testing::TestService::CallbackService {
  grpc::ServerUnaryReactor* UnaryCall(grpc::CallbackServerContext* context,
                                      const grpc::testing::SimpleRequest* request,
                                      grpc::testing::SimpleResponse* response) override {
    response->mutable_payload()->set_body(request->payload().body());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<StreamingOutputCallResponse>* StreamingOutputCall(
      grpc::CallbackServerContext*, const StreamingOutputCallRequest* request) override {
    const auto& wanted = request->response_parameters(0);
    return new Writer(wanted.size(), wanted.interval_us());
  }
};

class Pools final : public mayastor::v1::PoolRpc::CallbackService {
  grpc::ServerUnaryReactor* ListPools(grpc::CallbackServerContext* context,
                                      const mayastor::v1::ListPoolOptions*,
                                      mayastor::v1::ListPoolsResponse* response) override {
    *response = pools_;
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  const mayastor::v1::ListPoolsResponse pools_ = capstan::bench::some_pools();
};

int call(const std::string& address, std::size_t count) {
  const auto service = grpc::testing::TestService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::vector<double> times;
  for (std::size_t i = 0; i < count + count / 10; ++i) {
    grpc::ClientContext context;
    grpc::testing::SimpleResponse response;
    const auto begun = std::chrono::steady_clock::now();
    const auto status = service->UnaryCall(&context, grpc::testing::SimpleRequest(), &response);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begun;
    if (!status.ok()) return 1;
    if (i >= count / 10) times.push_back(took.count());  // the first ones warm up
  }
  std::ranges::sort(times);
  std::printf("%f %f\n", times[count / 2], times[count * 99 / 100]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--call") {
    return call(argv[2], static_cast<std::size_t>(std::atoi(argv[3])));
  }
  if (argc != 2) return 2;
  Echo service;
  Pools pools;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.RegisterService(&pools);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::puts("ready");
  std::fflush(stdout);
  server->Wait();  // SIGTERM ends the process
  return 0;
}
