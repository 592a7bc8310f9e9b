// Why this file exists: changes on a condition (rpc/condition.h) as handlers keep them: whoever
// comes second with what both had read is refused, whatever the object is, and no operation that
// HTTP lets a condition through to forgets to ask.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/scope.h"
#include "rpc/condition.h"
#include "rpc/etag.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
namespace d1 = datastore::v1;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kPools[] = "mayastor.v1.PoolRpc/";
constexpr char kReplicas[] = "mayastor.v1.ReplicaRpc/";
constexpr char kStores[] = "capstan.datastore.v1.DataStoreRpc/";

template <class T>
bool refused_by_condition(const Result<T>& result) {
  return !result && result.error().code == Code::kFailedPrecondition && result.error().details &&
         result.error().details->reason == rpc::kConditionReason;
}

class Conditions : public ServicesTest {
 protected:
  void SetUp() override {
    env_.add_disk("/disk0", {.size_bytes = 64 * kMiB});
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address()});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
    storage::kv::StoreOptions options;
    options.map_bytes = 1U << 20;
    ASSERT_TRUE(run(node_->stores.start({{"main", "/main", options}})));
  }
  void TearDown() override {
    world_.run(node_->stores.stop());
    ServicesTest::TearDown();
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }

  template <class Response, class Request>
  Result<Response> when(const char* header, std::string value, const std::string& operation,
                        const Request& request) {
    call_.metadata.request = {{header, std::move(value)}};
    auto result = call<Response>(operation, request);
    call_.metadata.request.clear();
    return result;
  }

  std::string pool_tag(rpc::Media media = rpc::Media::kJson) {
    v1::ListPoolOptions which;
    which.mutable_name()->set_value("p");
    return rpc::etag_of(*call<v1::ListPoolsResponse>(std::string(kPools) + "ListPools", which),
                        media, "pools");
  }
  std::string replica_tag() {
    v1::ListReplicaOptions which;
    which.mutable_uuid()->set_value(uuid());
    return rpc::etag_of(
        *call<v1::ListReplicasResponse>(std::string(kReplicas) + "ListReplicas", which),
        rpc::Media::kJson, "replicas");
  }
  std::string value_tag(const std::string& key) {
    d1::ReadRequest request;
    request.set_key(key);
    return rpc::etag_of(*call<d1::ReadResponse>(std::string(kStores) + "Read", request),
                        rpc::Media::kJson, "value");
  }
  static std::string uuid() { return Uuid::from_name("r").text(); }
  static d1::WriteRequest value_of(const std::string& key, const std::string& value) {
    d1::WriteRequest request;
    request.set_key(key);
    request.set_value(value);
    return request;
  }
  static v1::ResizeReplicaRequest size_of(std::uint64_t bytes) {
    v1::ResizeReplicaRequest request;
    request.set_uuid(uuid());
    request.set_requested_size(bytes);
    return request;
  }
  static v1::DestroyPoolRequest the_pool() {
    v1::DestroyPoolRequest request;
    request.set_name("p");
    return request;
  }

  // Both calls at once, each with If-Match of this tag.
  template <class Response, class Request>
  std::vector<Result<void>> race(const std::string& operation, std::vector<Request> requests,
                                 const std::string& tag) {
    std::vector<Result<void>> results(requests.size(), fail(Code::kInternal, "did not run"));
    world_.run(run_all<Response>(node_->directory.find(operation), &node_->directory, &requests,
                                 tag, &results));
    return results;
  }
  template <class Response, class Request>
  static core::Task<void> run_all(const rpc::Directory::Entry* entry, rpc::Directory* directory,
                                  std::vector<Request>* requests, std::string tag,
                                  std::vector<Result<void>>* results) {
    core::Scope scope;
    for (std::size_t i = 0; i < requests->size(); ++i) {
      scope.spawn(run_one<Response>(entry, directory, &(*requests)[i], tag, &(*results)[i]));
    }
    co_await scope.join();
  }
  template <class Response, class Request>
  static core::Task<void> run_one(const rpc::Directory::Entry* entry, rpc::Directory* directory,
                                  const Request* request, std::string tag, Result<void>* result) {
    rpc::Call call;
    call.metadata.request = {{rpc::kIfMatch, tag}};
    Response response;
    *result = co_await directory->run(*entry, call, *request, response);
  }
  static void expect_one_winner(const std::vector<Result<void>>& results) {
    EXPECT_EQ(std::ranges::count_if(results, [](const auto& one) { return one.has_value(); }), 1);
    EXPECT_EQ(std::ranges::count_if(results, refused_by_condition<void>),
              static_cast<std::ptrdiff_t>(results.size() - 1));
  }
};

TEST_F(Conditions, OfTwoThatReadTheSameValueOneWrites) {
  ASSERT_TRUE(call<d1::WriteResponse>(std::string(kStores) + "Write", value_of("k", "old")));
  const auto results = race<d1::WriteResponse>(
      std::string(kStores) + "Write",
      std::vector{value_of("k", "1"), value_of("k", "2"), value_of("k", "3")}, value_tag("k"));
  expect_one_winner(results);
}

// A change without a condition has begun when one with a condition comes: that one waits, and sees
// what it wrote.
TEST_F(Conditions, WaitForWritesUnderWay) {
  const std::string write = std::string(kStores) + "Write";
  ASSERT_TRUE(call<d1::WriteResponse>(write, value_of("k", "old")));
  const std::string tag = value_tag("k");
  const auto* entry = node_->directory.find(write);
  const auto other = value_of("k", "other"), mine = value_of("k", "mine");
  Result<void> first = fail(Code::kInternal, "did not run"), second = first;
  struct Both {
    static core::Task<void> plain(const rpc::Directory::Entry* entry, rpc::Directory* directory,
                                  const d1::WriteRequest* request, Result<void>* result) {
      rpc::Call call;
      d1::WriteResponse response;
      *result = co_await directory->run(*entry, call, *request, response);
    }
    static core::Task<void> run(const rpc::Directory::Entry* entry, rpc::Directory* directory,
                                const d1::WriteRequest* other, const d1::WriteRequest* mine,
                                std::string tag, Result<void>* first, Result<void>* second) {
      core::Scope scope;
      scope.spawn(plain(entry, directory, other, first));
      scope.spawn(run_one<d1::WriteResponse>(entry, directory, mine, std::move(tag), second));
      co_await scope.join();
    }
  };
  world_.run(Both::run(entry, &node_->directory, &other, &mine, tag, &first, &second));
  EXPECT_TRUE(first) << text_of(first);
  EXPECT_TRUE(refused_by_condition(second)) << text_of(second);
}

TEST_F(Conditions, ValuesThatAreThereOrNot) {
  const std::string write = std::string(kStores) + "Write", erase = std::string(kStores) + "Delete";
  d1::DeleteRequest gone;
  gone.set_key("k");
  using Answer = d1::WriteResponse;
  EXPECT_TRUE(refused_by_condition(when<Answer>(rpc::kIfMatch, "*", write, value_of("k", "1"))));
  EXPECT_TRUE(when<Answer>(rpc::kIfNoneMatch, "*", write, value_of("k", "1")));
  EXPECT_TRUE(
      refused_by_condition(when<Answer>(rpc::kIfNoneMatch, "*", write, value_of("k", "2"))));
  const std::string tag = value_tag("k");
  EXPECT_TRUE(when<Answer>(rpc::kIfMatch, "\"x\", " + tag, write, value_of("k", "3")));
  // Nothing is read into a weak tag, and an empty list names nothing.
  const std::string now = value_tag("k");
  for (const std::string& other : {"W/" + now, std::string(), tag}) {
    EXPECT_TRUE(refused_by_condition(when<Answer>(rpc::kIfMatch, other, erase, gone))) << other;
  }
  EXPECT_TRUE(when<Answer>(rpc::kIfMatch, now, erase, gone));
  EXPECT_TRUE(refused_by_condition(when<Answer>(rpc::kIfMatch, now, erase, gone)));
}

TEST_F(Conditions, Pools) {
  v1::CreatePoolRequest create;
  create.set_name("p");
  create.add_disks("aio:///disk0");
  const std::string operation = std::string(kPools) + "CreatePool";
  EXPECT_TRUE(refused_by_condition(when<v1::Pool>(rpc::kIfMatch, "*", operation, create)));
  EXPECT_TRUE(when<v1::Pool>(rpc::kIfNoneMatch, "*", operation, create));
  EXPECT_TRUE(refused_by_condition(when<v1::Pool>(rpc::kIfNoneMatch, "*", operation, create)));
  const std::string before = pool_tag();
  ASSERT_TRUE(create_replica("r", "p", 8 * kMiB, false));
  const std::string destroy = std::string(kPools) + "DestroyPool";
  EXPECT_TRUE(refused_by_condition(when<Empty>(rpc::kIfMatch, before, destroy, the_pool())));
  EXPECT_EQ(list_pools().size(), 1U);
  // In whichever media type it was read.
  expect_one_winner(
      race<Empty>(destroy, std::vector{the_pool(), the_pool()}, pool_tag(rpc::Media::kBson)));
  EXPECT_EQ(list_pools().size(), 0U);
}

TEST_F(Conditions, Replicas) {
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  ASSERT_TRUE(create_replica("r", "p", 8 * kMiB, true));
  const std::string resize = std::string(kReplicas) + "ResizeReplica";
  const std::string before = replica_tag();
  expect_one_winner(
      race<v1::Replica>(resize, std::vector{size_of(12 * kMiB), size_of(16 * kMiB)}, before));
  v1::DestroyReplicaRequest destroy;
  destroy.set_uuid(uuid());
  const std::string operation = std::string(kReplicas) + "DestroyReplica";
  EXPECT_TRUE(refused_by_condition(when<Empty>(rpc::kIfMatch, before, operation, destroy)));
  // Elsewhere there is no such replica.
  destroy.set_pool_name("q");
  EXPECT_TRUE(refused_by_condition(when<Empty>(rpc::kIfMatch, "*", operation, destroy)));
  destroy.set_pool_name("p");
  EXPECT_TRUE(when<Empty>(rpc::kIfMatch, replica_tag(), operation, destroy));
}

// An object for each kind of argument that a path has.
std::string argument(std::string_view type) {
  if (type == "pool_id") return "p";
  if (type == "replica_id") return Uuid::from_name("r").text();
  if (type == "store_id") return "main";
  if (type == "key") return "k";
  if (type == "bdev") return "malloc:///m0?size_mb=8";
  ADD_FAILURE() << "no object of the type " << type << " is made by this test";
  return {};
}

TEST_F(Conditions, EveryOperationThatMayHaveOneAsks) {
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  ASSERT_TRUE(create_replica("r", "p", 8 * kMiB, true));
  ASSERT_TRUE(call<d1::WriteResponse>(std::string(kStores) + "Write", value_of("k", "1")));
  const auto operations = node_->directory.operations();
  const rpc::Conditions conditions(operations);
  int asked = 0;
  for (const auto* operation : operations) {
    for (const auto& binding : operation->http) {
      if (binding.path.starts_with("/v0/") || !conditions.taken_by(*operation, binding)) continue;
      const auto* entry = node_->directory.find(operation->full_name());
      const auto request = entry->new_request(), response = entry->new_response();
      for (const auto& step : binding.steps) {
        if (step.field.empty()) continue;
        ASSERT_EQ(step.field.size(), 1U) << binding.text();
        request->GetReflection()->SetString(request.get(), step.field[0], argument(step.name));
      }
      rpc::Call call;
      call.metadata.request = {{rpc::kIfMatch, "\"of another time\""}};
      const auto result = run(node_->directory.run(*entry, call, *request, *response));
      EXPECT_TRUE(refused_by_condition(result)) << binding.text() << ": " << text_of(result);
      ++asked;
    }
  }
  // Pools: 2; replicas: 3 ways to make or destroy, 8 to change; devices: 3; values: 2; logging.
  EXPECT_EQ(asked, 19);
}

}  // namespace
}  // namespace capstan::services
