// Why this file exists: the server that grpc_bench measures ours against: grpc++ with its callback
// API, as it comes, echoing on the address given.
#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>

#include "grpc_testing.grpc.pb.h"

namespace {

class Echo final : public grpc::testing::TestService::CallbackService {
  grpc::ServerUnaryReactor* UnaryCall(grpc::CallbackServerContext* context,
                                      const grpc::testing::SimpleRequest* request,
                                      grpc::testing::SimpleResponse* response) override {
    response->mutable_payload()->set_body(request->payload().body());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Echo service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::puts("ready");
  std::fflush(stdout);
  server->Wait();  // SIGTERM ends the process
  return 0;
}
