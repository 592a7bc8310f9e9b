// Why this file exists: what node_clients_test.py has grpc++ do to a node: HOST:PORT DISK
// FOREIGN-DISK [CA]. Prints "ok <case>" for each; whatever goes wrong ends it. grpc++ is installed
// for this alone.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "node/node.grpc.pb.h"
#include "pool.grpc.pb.h"

namespace {

namespace v1 = mayastor::v1;
namespace node = capstan::node::v1;
using Clock = std::chrono::steady_clock;

void expect(bool good, const char* what, const grpc::Status& status = {}) {
  if (good) return;
  std::fprintf(stderr, "%s: %d %s\n", what, static_cast<int>(status.error_code()),
               status.error_message().c_str());
  std::exit(EXIT_FAILURE);
}
void ok(const char* name) {
  std::printf("ok %s\n", name);
}

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

v1::CreatePoolRequest pool(const std::string& disk) {
  v1::CreatePoolRequest request;
  request.set_name("p");
  request.add_disks(disk);
  return request;
}

class Client {
 public:
  explicit Client(const std::shared_ptr<grpc::Channel>& channel)
      : pools_(v1::PoolRpc::NewStub(channel)), nodes_(node::NodeRpc::NewStub(channel)) {}

  void list(int count) {
    grpc::ClientContext context;
    v1::ListPoolsResponse response;
    const auto status = pools_->ListPools(&context, {}, &response);
    expect(status.ok() && response.pools_size() == count, "list", status);
  }

  void error() {
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_name("p");
    v1::Pool response;
    const auto status = pools_->CreatePool(&context, request, &response);
    expect(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT, "error", status);
    google::rpc::Status rich;
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    expect(rich.ParseFromString(status.error_details()) && rich.details_size() == 2, "details");
    expect(rich.details(0).UnpackTo(&info) && rich.details(1).UnpackTo(&bad), "their kinds");
    expect(rich.message() == status.error_message(), "the message");
    expect(info.reason() == "INVALID_ARGUMENT" && info.metadata().at("name") == "p", "reason");
    expect(bad.field_violations(0).field() == "disks", "field");
  }

  grpc::Status create(const std::string& disk, bool insist) {
    grpc::ClientContext context;
    if (insist) {
      context.AddMetadata("capstan-force", "true");
      context.AddMetadata("some-bin", std::string("\0\xFF", 2));
    }
    v1::Pool response;
    return pools_->CreatePool(&context, pool(disk), &response);
  }

  void destroy() {
    grpc::ClientContext context;
    v1::DestroyPoolRequest request;
    request.set_name("p");
    google::protobuf::Empty response;
    const auto status = pools_->DestroyPool(&context, request, &response);
    expect(status.ok(), "destroy", status);
  }

  void events(const std::string& disk) {
    grpc::ClientContext context;
    node::MonitorEventsRequest request;
    request.add_categories("pool");
    const auto reader = nodes_->MonitorEvents(&context, request);
    reader->WaitForInitialMetadata();  // the stream is open
    const auto created = create(disk, false);
    expect(created.ok(), "create", created);
    node::Event event;
    expect(reader->Read(&event) && event.category() == "pool" && event.action() == "create",
           "event");
    list(1);
    context.TryCancel();
    while (reader->Read(&event)) {
    }
    const auto status = reader->Finish();
    expect(status.error_code() == grpc::StatusCode::CANCELLED, "cancel", status);
    destroy();
  }

  void deadline() {
    grpc::ClientContext context;
    const auto began = Clock::now();
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
    node::MonitorEventsRequest request;
    request.add_categories("store");
    const auto reader = nodes_->MonitorEvents(&context, request);
    node::Event event;
    while (reader->Read(&event)) {
    }
    const auto status = reader->Finish();
    expect(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED, "deadline", status);
    expect(Clock::now() - began >= std::chrono::milliseconds(250), "too early");
  }

  void gzip() {
    grpc::ClientContext context;
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    node::DescribeOperationsRequest request;
    request.set_prefix(std::string(4096, 'x'));
    node::DescribeOperationsResponse response;
    const auto status = nodes_->DescribeOperations(&context, request, &response);
    expect(status.ok() && response.operations_size() == 0, "gzip", status);
  }

 private:
  std::unique_ptr<v1::PoolRpc::Stub> pools_;
  std::unique_ptr<node::NodeRpc::Stub> nodes_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  grpc::SslCredentialsOptions tls;
  if (argc > 4) tls.pem_root_certs = read_file(argv[4]);
  const auto credentials =
      argc > 4 ? grpc::SslCredentials(tls) : grpc::InsecureChannelCredentials();
  Client client(grpc::CreateChannel(argv[1], credentials));
  client.list(0);
  ok("list");
  client.error();
  ok("error");
  expect(!client.create(argv[3], false).ok(), "a foreign disk");
  const auto forced = client.create(argv[3], true);
  expect(forced.ok(), "insisting", forced);
  client.destroy();
  ok("metadata");
  client.events(argv[2]);
  ok("events");
  client.deadline();
  ok("deadline");
  client.gzip();
  ok("gzip");
  for (int i = 0; i < 200; ++i) client.list(0);
  ok("many");
  return EXIT_SUCCESS;
}
