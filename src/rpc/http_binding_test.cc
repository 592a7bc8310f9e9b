// Why this file exists: HTTP bindings read as declared, and every contradiction refused with words
// that name it.
#include "rpc/http_binding.h"

#include <gtest/gtest.h>

#include "node/image.pb.h"
#include "pool.pb.h"
#include "replica.pb.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {
namespace {

using Http = OperationOptions::Http;

const google::protobuf::MethodDescriptor& list_replicas() {
  const auto* file = ::mayastor::v1::ListReplicaOptions::descriptor()->file();
  return *file->FindServiceByName("ReplicaRpc")->FindMethodByName("ListReplicas");
}
const google::protobuf::MethodDescriptor& create_pool() {
  const auto* file = ::mayastor::v1::CreatePoolRequest::descriptor()->file();
  return *file->FindServiceByName("PoolRpc")->FindMethodByName("CreatePool");
}

Http declared(const char* method, const char* path) {
  Http http;
  http.set_method(method);
  http.set_path(path);
  return http;
}

std::string refusal(const google::protobuf::MethodDescriptor& method, const Http& http) {
  const auto made = HttpBinding::from(method, http);
  return made ? "" : made.error().message;
}

TEST(HttpBinding, ReadsItsPath) {
  const auto made = HttpBinding::from(create_pool(), declared("PUT", "/pools/{pool_id=name}/x"));
  ASSERT_TRUE(made) << made.error().text();
  ASSERT_EQ(made->steps.size(), 3U);
  EXPECT_EQ(made->steps[0].kind, HttpStep::Kind::kLiteral);
  EXPECT_EQ(made->steps[0].name, "pools");
  EXPECT_EQ(made->steps[1].kind, HttpStep::Kind::kArgument);
  EXPECT_EQ(made->steps[1].name, "pool_id");
  ASSERT_EQ(made->steps[1].field.size(), 1U);
  EXPECT_EQ(made->steps[1].field[0]->name(), "name");
  EXPECT_EQ(made->pattern(), "/pools/{pool_id}/x");
  EXPECT_EQ(made->text(), "PUT /pools/{pool_id=name}/x");
  EXPECT_TRUE(made->has_body());
  const auto root = HttpBinding::from(create_pool(), declared("GET", "/"));
  ASSERT_TRUE(root);
  EXPECT_TRUE(root->steps.empty());
  EXPECT_EQ(root->pattern(), "/");
}

TEST(HttpBinding, TailsTakeARepeatedField) {
  const auto made = HttpBinding::from(create_pool(), declared("GET", "/d/{disk=disks...}"));
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->steps[1].kind, HttpStep::Kind::kTail);
  EXPECT_NE(refusal(create_pool(), declared("GET", "/d/{disks...}/x")).find("goes on after"),
            std::string::npos);
  EXPECT_NE(refusal(create_pool(), declared("GET", "/d/{name...}")).find("not repeated"),
            std::string::npos);
  EXPECT_NE(refusal(create_pool(), declared("GET", "/d/{disks}")).find("is repeated"),
            std::string::npos);
}

TEST(HttpBinding, FieldsOfFields) {
  const auto* images = node::v1::ImportImageRequest::descriptor()->file();
  const auto& import = *images->FindServiceByName("ImageRpc")->FindMethodByName("ImportImage");
  const auto made = HttpBinding::from(import, declared("PUT", "/i/{replica=header.replica}"));
  ASSERT_TRUE(made) << made.error().text();
  ASSERT_EQ(made->steps[1].field.size(), 2U);
  EXPECT_EQ(made->steps[1].field[1]->name(), "replica");
  EXPECT_NE(refusal(import, declared("PUT", "/i/{header}")).find("is a message"),
            std::string::npos);
  EXPECT_NE(refusal(import, declared("PUT", "/i/{header.nope}")).find("'nope', which is no field"),
            std::string::npos);
}

TEST(HttpBinding, RefusesWhatContradicts) {
  EXPECT_NE(refusal(create_pool(), declared("FETCH", "/m")).find("http.method 'FETCH'"),
            std::string::npos);
  for (const auto* path : {"m", "", "/a//b", "/a/", "/{", "/{}", "/a{name}", "/{nope}"}) {
    EXPECT_FALSE(refusal(create_pool(), declared("GET", path)).empty()) << path;
  }
  Http http = declared("GET", "/m");
  http.set_body("disks");
  EXPECT_NE(refusal(create_pool(), http).find("has no body"), std::string::npos);
  http = declared("GET", "/m");
  http.set_result("nope");
  EXPECT_NE(refusal(create_pool(), http).find("http.result 'nope'"), std::string::npos);
  http.set_result("name");
  http.set_only(true);
  EXPECT_NE(refusal(create_pool(), http).find("http.only"), std::string::npos);
  http = declared("PUT", "/m");
  http.add_set("name");
  EXPECT_NE(refusal(create_pool(), http).find("field=value"), std::string::npos);
  http = declared("PUT", "/m");
  http.set_answer(Http::RAW);
  EXPECT_NE(refusal(create_pool(), http).find("RAW"), std::string::npos);
  http.set_answer(Http::CREATED);
  EXPECT_NE(refusal(create_pool(), http).find("http.location"), std::string::npos);
}

TEST(HttpBinding, ReadsResultQueryAndFixedFields) {
  Http http = declared("GET", "/r/{replica_id=uuid}");
  http.set_result("replicas");
  http.set_only(true);
  http.add_query("called=name");
  http.add_set("poolname=p");
  const auto made = HttpBinding::from(list_replicas(), http);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->result->name(), "replicas");
  EXPECT_TRUE(made->only);
  EXPECT_TRUE(made->query.empty());
  ASSERT_EQ(made->query_names.size(), 1U);
  EXPECT_EQ(made->query_names[0].name, "called");
  EXPECT_EQ(made->query_names[0].field[0]->name(), "name");
  ASSERT_EQ(made->set.size(), 1U);
  EXPECT_EQ(made->set[0].value, "p");
}

TEST(HttpBinding, MetadataBesideTheFields) {
  Http http = declared("PUT", "/pools/{pool_id=@capstan-pool}/{pool_type=name}");
  http.add_set("@capstan-existing=equal");
  http.set_needs_body(true);
  const auto made = HttpBinding::from(create_pool(), http);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->steps[1].metadata, "capstan-pool");
  EXPECT_TRUE(made->steps[1].field.empty());
  EXPECT_EQ(made->steps[2].field.size(), 1U);
  ASSERT_EQ(made->metadata.size(), 1U);
  EXPECT_EQ(made->metadata[0], std::pair(std::string("capstan-existing"), std::string("equal")));
  EXPECT_TRUE(made->set.empty());
  EXPECT_TRUE(made->needs_body);
  EXPECT_FALSE(refusal(create_pool(), declared("PUT", "/{pool_id=@}")).empty());
  EXPECT_FALSE(refusal(create_pool(), declared("PUT", "/{pool_id=@name...}")).empty());
  http = declared("GET", "/m");
  http.set_needs_body(true);
  EXPECT_NE(refusal(create_pool(), http).find("http.needs_body"), std::string::npos);
}

TEST(HttpBinding, LocationsAreOfTheAnswerOrTheRequest) {
  Http http = declared("POST", "/replicas");
  http.set_answer(Http::CREATED);
  for (const char* good : {"/pools/{name}", "/x/{md_info.md_pages}", "/{name}/{nope}", "/{name"}) {
    http.set_location(good);
    EXPECT_EQ(refusal(create_pool(), http).empty(), std::string_view(good) == "/pools/{name}")
        << good;
  }
}

}  // namespace
}  // namespace capstan::rpc
