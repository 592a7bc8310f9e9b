// Why this file exists: the services that tell about the node: NodeRpc, HostRpc, BdevRpc, health
// and reflection, through the directory as a wire calls them.
#include "services/node.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>

#include <array>
#include <set>

#include "core/scope.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
namespace n1 = ::capstan::node::v1;
using google::protobuf::Empty;
using HealthRequest = ::grpc::health::v1::HealthCheckRequest;
using HealthResponse = ::grpc::health::v1::HealthCheckResponse;
using ReflectRequest = ReflectionService::Request;
using ReflectResponse = ReflectionService::Response;

class NodeTest : public ServicesTest {
 protected:
  void SetUp() override { start(); }

  // --- devices ---
  Result<v1::CreateBdevResponse> create_device(const std::string& uri) {
    v1::CreateBdevRequest request;
    request.set_uri(uri);
    return call<v1::CreateBdevResponse>("mayastor.v1.BdevRpc/Create", request);
  }
  Result<Empty> destroy_device(const std::string& uri) {
    v1::DestroyBdevRequest request;
    request.set_uri(uri);
    return call<Empty>("mayastor.v1.BdevRpc/Destroy", request);
  }
  // --- streams ---
  static core::Task<void> in_scope(core::Task<Result<void>> task, Result<void>* into) {
    *into = co_await std::move(task);
  }
  ReflectResponse reflect(const ReflectRequest& request) {
    return node_->reflection.answer(request);
  }
};

TEST_F(NodeTest, Version) {
  const auto version =
      call<n1::Version>("capstan.node.v1.NodeRpc/GetVersion", n1::GetVersionRequest());
  ASSERT_TRUE(version);
  EXPECT_EQ(version->node_name(), "n1");
  EXPECT_EQ(version->version(), "v1.2.3");
  EXPECT_GT(version->uptime_ms(), 0U);
}

TEST_F(NodeTest, DescribeListsWhatIsServedAndNothingElse) {
  n1::DescribeOperationsRequest request;
  request.set_prefix("mayastor.v1.PoolRpc/");
  const auto described =
      call<n1::DescribeOperationsResponse>("capstan.node.v1.NodeRpc/DescribeOperations", request);
  ASSERT_TRUE(described);
  ASSERT_EQ(described->operations_size(), 6);
  EXPECT_EQ(described->operations(0).full_name(), "mayastor.v1.PoolRpc/CreatePool");
  EXPECT_EQ(described->operations(0).http(), "PUT /pools/{pool_id}");
  EXPECT_EQ(described->operations(0).drpc_module(), 101U);
}

core::Task<Result<void>> monitor(TestNode& node, core::SimReactor& reactor,
                                 std::vector<n1::Event>* out) {
  core::CancelSource client;
  rpc::Call call;
  call.token = client.token();
  n1::MonitorEventsRequest request;
  request.add_categories("pool");
  Requests<n1::MonitorEventsRequest> source({request});
  Answers<n1::Event> sink;
  sink.after = &client;
  sink.count = 2;
  core::Scope scope;
  Result<void> ended;
  struct Runner {
    static core::Task<void> run(TestNode& n, rpc::Call& c, rpc::MessageSource& from,
                                rpc::MessageSink& to, Result<void>* result) {
      *result = co_await n.directory.run(*n.directory.find("capstan.node.v1.NodeRpc/MonitorEvents"),
                                         c, from, to);
    }
  };
  scope.spawn(Runner::run(node, call, source, sink, &ended));
  co_await reactor.delay(core::kMillisecond);
  node.engine.events().publish("pool", "create", "a");
  node.engine.events().publish("replica", "create", "b");
  node.engine.events().publish("pool", "delete", "c", {{"why", "test"}});
  co_await scope.join();
  *out = sink.messages;
  co_return ended;
}

TEST_F(NodeTest, MonitorEventsUntilTheClientLeaves) {
  std::vector<n1::Event> events;
  const auto ended = run(monitor(*node_, world_.reactor(), &events));
  EXPECT_EQ(code_of(ended), Code::kCancelled);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].target(), "a");
  EXPECT_EQ(events[1].action(), "delete");
  EXPECT_EQ(events[1].details().at("why"), "test");
  EXPECT_NE(events[0].id(), events[1].id());
  EXPECT_EQ(events[0].missed(), 0U);
}

TEST_F(NodeTest, DevicesAreCreatedListedAndDestroyed) {
  const auto created = create_device("malloc:///m0?size_mb=64");
  ASSERT_TRUE(created) << text_of(created);
  const auto& device = created->bdev();
  EXPECT_EQ(device.name(), "m0");
  EXPECT_EQ(device.num_blocks(), 131072U);
  EXPECT_EQ(device.blk_size(), 512U);
  EXPECT_FALSE(device.claimed());
  EXPECT_EQ(device.claimed_by(), "Orphaned");
  EXPECT_EQ(device.aliases(), "malloc:///m0?size_mb=64");
  EXPECT_EQ(device.uri(), "malloc:///m0?size_mb=64&uuid=" + device.uuid());
  EXPECT_EQ(device.share_uri(), "bdev:///m0?uuid=" + device.uuid());
  EXPECT_EQ(code_of(create_device("malloc:///m0?size_mb=64")), Code::kInternal);
  EXPECT_EQ(code_of(create_device("nosuch:///x")), Code::kInvalidArgument);
  EXPECT_EQ(code_of(create_device("aio:///missing")), Code::kNotFound);
  v1::ListBdevOptions options;
  options.mutable_name()->set_value("other");
  EXPECT_EQ(call<v1::ListBdevResponse>("mayastor.v1.BdevRpc/List", options)->bdevs_size(), 0);
  options.mutable_name()->set_value("m0");
  EXPECT_EQ(call<v1::ListBdevResponse>("mayastor.v1.BdevRpc/List", options)->bdevs_size(), 1);
  EXPECT_TRUE(destroy_device("bdev:///m0"));
  EXPECT_TRUE(destroy_device("LoopBack:///m0"));
  EXPECT_TRUE(node_->engine.devices().find("m0")) << "only the reference was dropped";
  EXPECT_TRUE(destroy_device("malloc:///m0?size_mb=64"));
  EXPECT_EQ(code_of(destroy_device("malloc:///m0?size_mb=64")), Code::kNotFound);
}

struct Creation {
  const rpc::Directory::Entry* entry = nullptr;
  v1::CreateBdevRequest request;
  rpc::Call call;
  v1::CreateBdevResponse response;
  Result<void> result;
};

// The second one finds the name taken only when the disk of the first is open.
TEST_F(NodeTest, OfTwoThatCreateADeviceAtOnceOneFindsItsNameTaken) {
  env_.add_disk("/disk0", {.size_bytes = 64U << 20});
  std::array<Creation, 2> creations;
  for (Creation& each : creations) {
    each.entry = node_->directory.find("mayastor.v1.BdevRpc/Create");
    each.request.set_uri("aio:///disk0");
  }
  world_.run([](const rpc::Directory& directory, std::array<Creation, 2>& all) -> core::Task<void> {
    core::Scope scope;
    for (Creation& each : all) {
      scope.spawn(
          keep(directory.run(*each.entry, each.call, each.request, each.response), &each.result));
    }
    co_await scope.join();
  }(node_->directory, creations));
  EXPECT_TRUE(creations[0].result);
  EXPECT_EQ(code_of(creations[1].result), Code::kInternal) << text_of(creations[1].result);
}

TEST_F(NodeTest, SharingDevices) {
  v1::BdevShareRequest request;
  request.set_name("m0");
  const auto share = [&] {
    return call<v1::BdevShareResponse>("mayastor.v1.BdevRpc/Share", request);
  };
  EXPECT_EQ(code_of(share()), Code::kInvalidArgument);
  request.set_protocol(v1::NVMF);
  EXPECT_EQ(code_of(share()), Code::kNotFound);
  ASSERT_TRUE(create_pool("p", "malloc:///m0?size_mb=64"));
  EXPECT_EQ(code_of(share()), Code::kInternal) << "claimed";
  ASSERT_TRUE(create_device("malloc:///m1?size_mb=64"));
  request.set_name("m1");
  EXPECT_EQ(code_of(share()), Code::kFailedPrecondition) << "no target runs";
  v1::BdevUnshareRequest unshare;
  unshare.set_name("nowhere");
  EXPECT_TRUE(call<Empty>("mayastor.v1.BdevRpc/Unshare", unshare));
}

TEST_F(NodeTest, DestroyingTheDeviceOfAPoolClosesThePool) {
  env_.add_disk("/disk0", {.size_bytes = 64U << 20});
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  ASSERT_TRUE(create_replica("r1", "p", 1 << 20, true));
  ASSERT_TRUE(destroy_device("aio:///disk0"));
  EXPECT_TRUE(list_pools().empty());
  EXPECT_FALSE(node_->engine.devices().find("r1"));
  const auto health = call<n1::Health>("capstan.node.v1.NodeRpc/GetHealth", n1::GetHealthRequest());
  ASSERT_TRUE(health);
  EXPECT_FALSE(health->healthy());
  EXPECT_TRUE(create_pool("p", "aio:///disk0")) << "nothing was lost";
  EXPECT_TRUE(node_->engine.devices().find("r1"));
}

TEST_F(NodeTest, LettingGoOfAReferenceLeavesThePoolAlone) {
  env_.add_disk("/disk0", {.size_bytes = 64U << 20});
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  for (const char* uri : {"bdev:////disk0", "BDEV:////disk0", "Loopback:////disk0"}) {
    EXPECT_TRUE(destroy_device(uri)) << uri;
    EXPECT_EQ(list_pools().size(), 1U) << uri;
  }
}

TEST_F(NodeTest, HostInfo) {
  node_->info.grpc_endpoint = "10.0.0.1:10124";
  node_->info.ana = true;
  const auto info = call<v1::MayastorInfoResponse>("mayastor.v1.HostRpc/GetMayastorInfo", Empty());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->version(), "v1.2.3");
  EXPECT_TRUE(info->previous_features().asymmetricnamespaceaccess());
  const auto& registration = info->registration_info();
  EXPECT_EQ(registration.id(), "n1");
  EXPECT_EQ(registration.grpc_endpoint(), "10.0.0.1:10124");
  EXPECT_FALSE(registration.has_instance_uuid()) << "only with registration";
  EXPECT_EQ(registration.api_version_size(), 2);
  EXPECT_TRUE(registration.features().has_logicalvolumemanager());
  EXPECT_FALSE(registration.features().logicalvolumemanager());
  EXPECT_TRUE(registration.bugfixes().nexusrebuildreplicaancestry());
  node_->info.registers = true;
  EXPECT_TRUE(registration_of(node_->info).has_instance_uuid());

  const auto usage = call<v1::GetMayastorResourceUsageResponse>(
      "mayastor.v1.HostRpc/GetMayastorResourceUsage", Empty());
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->usage().soft_faults(), 0);
  EXPECT_EQ(code_of(call<v1::StatNvmeControllerResponse>("mayastor.v1.HostRpc/StatNvmeController",
                                                         v1::StatNvmeControllerRequest())),
            Code::kInternal);
}

TEST_F(NodeTest, HealthCheck) {
  HealthRequest request;
  const auto check = [&] { return call<HealthResponse>("grpc.health.v1.Health/Check", request); };
  EXPECT_EQ(check()->status(), HealthResponse::SERVING);
  request.set_service("mayastor.v1.PoolRpc");
  EXPECT_EQ(check()->status(), HealthResponse::SERVING);
  request.set_service("mayastor.v1.NexusRpc");
  EXPECT_EQ(code_of(check()), Code::kNotFound) << "nothing of it is served";
  node_ = std::make_unique<TestNode>(env_, "");
  request.clear_service();
  EXPECT_EQ(check()->status(), HealthResponse::NOT_SERVING) << "not started yet";
}

core::Task<Result<void>> watch_a_life(TestNode& node, core::SimReactor& reactor,
                                      std::vector<HealthResponse>* out) {
  core::CancelSource client;
  rpc::Call call;
  call.token = client.token();
  Requests<HealthRequest> source({HealthRequest()});
  Answers<HealthResponse> sink;
  struct Runner {
    static core::Task<void> run(TestNode& n, rpc::Call& c, rpc::MessageSource& from,
                                rpc::MessageSink& to, Result<void>* result) {
      *result =
          co_await n.directory.run(*n.directory.find("grpc.health.v1.Health/Watch"), c, from, to);
    }
  };
  core::Scope scope;
  Result<void> ended;
  scope.spawn(Runner::run(node, call, source, sink, &ended));
  co_await reactor.delay(core::kMillisecond);
  CO_TRY(co_await node.engine.start(true));
  co_await reactor.delay(core::kMillisecond);
  co_await node.engine.stop();
  co_await reactor.delay(core::kMillisecond);
  client.fire();
  co_await scope.join();
  *out = sink.messages;
  co_return ended;
}

TEST_F(NodeTest, HealthWatchTellsEveryChange) {
  node_ = std::make_unique<TestNode>(env_, "");
  std::vector<HealthResponse> seen;
  EXPECT_EQ(code_of(run(watch_a_life(*node_, world_.reactor(), &seen))), Code::kCancelled);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].status(), HealthResponse::NOT_SERVING);
  EXPECT_EQ(seen[1].status(), HealthResponse::SERVING);
  EXPECT_EQ(seen[2].status(), HealthResponse::NOT_SERVING);
  node_.reset();
}

TEST_F(NodeTest, ReflectionListsServices) {
  ReflectRequest request;
  request.set_host("h");
  request.set_list_services("");
  const auto answer = reflect(request);
  EXPECT_EQ(answer.valid_host(), "h");
  EXPECT_EQ(answer.original_request().host(), "h");
  std::set<std::string> names;
  for (const auto& service : answer.list_services_response().service())
    names.insert(service.name());
  for (const char* name :
       {"mayastor.v1.PoolRpc", "mayastor.v1.NexusRpc", "mayastor.Mayastor", "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection", "capstan.node.v1.ImageRpc"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

// What a client that has nothing else does: rebuild the files from the answers.
TEST_F(NodeTest, ReflectedFilesBuildADescriptorPool) {
  for (const char* symbol : {"mayastor.v1.SnapshotRpc", "mayastor.v1.PoolRpc.CreatePool",
                             "mayastor.v1.ListReplicaOptions.Query", "mayastor.v1.POOL_ONLINE"}) {
    ReflectRequest request;
    request.set_file_containing_symbol(symbol);
    const auto answer = reflect(request);
    ASSERT_TRUE(answer.has_file_descriptor_response()) << symbol;
    google::protobuf::SimpleDescriptorDatabase database;
    for (const auto& bytes : answer.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      ASSERT_TRUE(file.ParseFromString(bytes));
      ASSERT_TRUE(database.Add(file));
    }
    google::protobuf::DescriptorPool pool(&database);
    std::vector<std::string> files;
    ASSERT_TRUE(database.FindAllFileNames(&files));
    for (const auto& file : files) ASSERT_TRUE(pool.FindFileByName(file)) << file;
    EXPECT_TRUE(pool.FindFileContainingSymbol(symbol)) << symbol;
  }
}

TEST_F(NodeTest, ReflectionOfFilesAndExtensions) {
  ReflectRequest request;
  request.set_file_by_filename("snapshot-rebuild.proto");
  EXPECT_TRUE(reflect(request).has_file_descriptor_response());
  request.set_file_by_filename("node/state.proto");
  EXPECT_EQ(reflect(request).error_response().error_code(), 5) << "linked in, but not served";
  request.set_file_containing_symbol("no.Such");
  EXPECT_EQ(reflect(request).error_response().error_code(), 5);
  auto* extension = request.mutable_file_containing_extension();
  extension->set_containing_type("google.protobuf.MethodOptions");
  extension->set_extension_number(50124);
  EXPECT_TRUE(reflect(request).has_file_descriptor_response());
  extension->set_extension_number(1);
  EXPECT_EQ(reflect(request).error_response().error_code(), 5);
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto numbers = reflect(request).all_extension_numbers_response();
  ASSERT_EQ(numbers.extension_number_size(), 1);
  EXPECT_EQ(numbers.extension_number(0), 50124);
  request.set_all_extension_numbers_of_type("no.Such");
  EXPECT_EQ(reflect(request).error_response().error_code(), 5);
  EXPECT_EQ(reflect(ReflectRequest()).error_response().error_code(), 3);
}

TEST_F(NodeTest, ReflectionStreamsAnswerEachQuestion) {
  ReflectRequest list, bad;
  list.set_list_services("*");
  const auto answers = stream<ReflectResponse>(
      "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", std::vector{bad, list, bad});
  ASSERT_TRUE(answers);
  ASSERT_EQ(answers->size(), 3U);
  EXPECT_TRUE(answers->at(0).has_error_response());
  EXPECT_TRUE(answers->at(1).has_list_services_response());
  ReflectionService::RequestAlpha old;
  old.set_list_services("");
  const auto alpha = stream<ReflectionService::ResponseAlpha>(
      "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::vector{old});
  ASSERT_TRUE(alpha);
  EXPECT_EQ(alpha->at(0).list_services_response().service_size(),
            answers->at(1).list_services_response().service_size());
}

}  // namespace
}  // namespace capstan::services
