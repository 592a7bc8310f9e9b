// Why this file exists: the OpenAPI document is whole: every reference leads somewhere, operation
// ids are unique, path templates and path parameters agree. That the document is valid OpenAPI is
// an external validator's word (tests/interop/openapi_test.py).
#include "rpc/openapi.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <set>

#include "datastore/datastore.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"
#include "replica.pb.h"
#include "rest/v0.pb.h"
#include "rpc/api_comments.h"
#include "rpc/media_testing.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Every "$ref" in the document.
void references(const element& value, std::set<std::string>& found) {
  if (value.type() == element_type::ARRAY) {
    for (const auto item : value.get_array().value_unsafe()) references(item, found);
  }
  if (value.type() != element_type::OBJECT) return;
  for (const auto& [name, member] : value.get_object().value_unsafe()) {
    if (name == "$ref") {
      found.emplace(member.get_string().value_unsafe());
    } else {
      references(member, found);
    }
  }
}

class OpenApiTest : public ::testing::Test {
 protected:
  void add(const google::protobuf::ServiceDescriptor& service) {
    for (int i = 0; i < service.method_count(); ++i) {
      operations_.push_back(
          std::make_unique<Operation>(Operation::from(*service.method(i)).value()));
      for (const auto& binding : operations_.back()->http) {
        routes_.push_back({operations_.back().get(), &binding});
      }
    }
  }
  void add_all() {
    for (const auto* file :
         {::mayastor::v1::Pool::descriptor()->file(), ::mayastor::v1::Replica::descriptor()->file(),
          node::v1::Event::descriptor()->file(), node::v1::ImportImageRequest::descriptor()->file(),
          datastore::v1::ListKeysRequest::descriptor()->file()}) {
      for (int i = 0; i < file->service_count(); ++i) add(*file->service(i));
    }
    ASSERT_GT(routes_.size(), 20U);
  }
  element parse(const std::string& text) {
    text_ = text;
    const auto result = parser_.parse(text_);
    CAPSTAN_ASSERT(result.error() == simdjson::SUCCESS);
    return result.value_unsafe();
  }

  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<OpenApiRoute> routes_;
  simdjson::dom::parser parser_;
  std::string text_;
};

// The path of "#/a/b" as a JSON pointer.
bool leads_somewhere(const element& root, const std::string& reference) {
  return reference.starts_with("#/") &&
         root.at_pointer(reference.substr(1)).error() == simdjson::SUCCESS;
}

TEST_F(OpenApiTest, EveryReferenceLeadsSomewhere) {
  add_all();
  for (const bool v0 : {false, true}) {
    OpenApiOptions options{"Capstan", "1", v0 ? JsonStyle::v0() : JsonStyle::octez(), v0};
    const auto root = parse(openapi(routes_, options));
    std::set<std::string> found;
    references(root, found);
    EXPECT_GT(found.size(), 3U);
    for (const auto& reference : found) EXPECT_TRUE(leads_somewhere(root, reference)) << reference;
    EXPECT_EQ(found.contains("#/components/schemas/RestJsonError"), v0);
  }
}

TEST_F(OpenApiTest, IdsAreUniqueAndParametersAreThoseOfTheTemplate) {
  add_all();
  const auto root = parse(openapi(routes_, {"Capstan", "1"}));
  std::set<std::string> ids;
  std::size_t operations = 0;
  for (const auto& [path, methods] : root["paths"].get_object().value()) {
    for (const auto& [method, operation] : methods.get_object().value_unsafe()) {
      ++operations;
      ids.emplace(operation["operationId"].get_string().value());
      std::set<std::string> in_path;
      simdjson::dom::array parameters;
      if (operation["parameters"].get_array().get(parameters) == simdjson::SUCCESS) {
        for (const auto parameter : parameters) {
          if (parameter["in"].get_string().value() != "path") continue;
          EXPECT_TRUE(parameter["required"].get_bool().value());
          in_path.emplace(parameter["name"].get_string().value());
        }
      }
      EXPECT_EQ(std::ranges::count(path, '{'), static_cast<std::ptrdiff_t>(in_path.size())) << path;
      for (const auto& name : in_path) {
        EXPECT_NE(path.find("{" + name + "}"), std::string_view::npos) << path;
      }
    }
  }
  EXPECT_EQ(ids.size(), operations);
  EXPECT_GT(operations, 20U);
}

TEST_F(OpenApiTest, SaysWhatEachAnswerLooksLike) {
  testing::Protos protos(R"(
    message Pair { int32 a = 1; int32 b = 2; repeated string tag = 3; bytes raw = 4; }
    service Demo {
      rpc Put(Pair) returns (Pair);
      rpc Get(Pair) returns (Pair);
      rpc Watch(Pair) returns (stream Pair);
    })");
  const auto& service = protos.service("Demo");
  std::vector<std::unique_ptr<HttpBinding>> bindings;
  const auto bind = [&](const char* name, const char* method, const char* path, auto... more) {
    OperationOptions::Http declared;
    declared.set_method(method);
    declared.set_path(path);
    (more(declared), ...);
    const auto& descriptor = *service.FindMethodByName(name);
    operations_.push_back(std::make_unique<Operation>(Operation::from(descriptor).value()));
    bindings.push_back(
        std::make_unique<HttpBinding>(HttpBinding::from(descriptor, declared).value()));
    routes_.push_back({operations_.back().get(), bindings.back().get()});
  };
  using Http = OperationOptions::Http;
  bind("Put", "PUT", "/sum/{int=a}/{int=b}", [](Http& http) {
    http.set_answer(Http::CREATED);
    http.set_location("/sum/{raw}");
  });
  bind("Put", "DELETE", "/sum", [](Http& http) { http.set_answer(Http::NO_CONTENT); });
  bind("Get", "GET", "/raw", [](Http& http) {
    http.set_answer(Http::RAW);
    http.set_result("raw");
  });
  bind("Watch", "GET", "/watch/{all=tag...}");
  const auto root = parse(openapi(routes_, {"Demo", "2"}));
  const auto text = [&](const char* pointer) {
    auto found = root.at_pointer(pointer);
    return found.error() ? "nothing at " + std::string(pointer) : simdjson::minify(found.value());
  };
  EXPECT_EQ(text("/openapi"), "\"3.1.0\"");
  EXPECT_EQ(text("/info"), R"({"title":"Demo","version":"2"})");
  EXPECT_EQ(text("/paths/~1sum~1{int}~1{int_2}/put/requestBody/content/application~1json/schema"),
            R"({"type":"object","properties":{"tag":{"type":"array","items":{"type":"string"}},)"
            R"("raw":{"type":"string","pattern":"^([a-zA-Z0-9][a-zA-Z0-9])*$"}},)"
            R"("additionalProperties":false})");
  EXPECT_EQ(text("/paths/~1sum~1{int}~1{int_2}/put/responses/201"),
            R"({"description":"created","headers":{"Location":{"schema":{"type":"string"}}}})");
  EXPECT_EQ(text("/paths/~1sum/delete/responses/204"), R"({"description":"done"})");
  EXPECT_EQ(text("/paths/~1sum/delete/operationId"), "\"demo_Demo_Put_2\"");
  EXPECT_EQ(text("/paths/~1raw/get/responses/200/content"), R"({"application/octet-stream":{}})");
  EXPECT_EQ(text("/paths/~1raw/get/parameters/2"),
            R"({"name":"tag","in":"query","explode":true,)"
            R"("schema":{"type":"array","items":{"type":"string"}}})");
  EXPECT_EQ(text("/paths/~1watch~1{all}/get/responses/200/content/application~1json"),
            R"({"schema":{"$ref":"#/components/schemas/demo.Pair"},"x-capstan-stream":true})");
}

// What the comments of api/*.proto say stands in the document.
TEST_F(OpenApiTest, CommentsAreDescriptions) {
  add_all();
  const element root = parse(openapi(routes_, {"Capstan", "1"}));
  const auto text = [&](const char* pointer) {
    const auto found = root.at_pointer(pointer).get_string();
    return found.error() == simdjson::SUCCESS ? std::string(found.value_unsafe()) : "none";
  };
  EXPECT_EQ(text("/paths/~1pools~1{pool_id}/put/description"),
            "Formats a disk as a pool, or opens the pool of that name which is on it already.");
  EXPECT_EQ(text("/paths/~1pools~1{pool_id}~1export/post/description"),
            "Closes the pool; its data stays on the disk.");
  const ApiComments comments;
  EXPECT_EQ(comments.of(*::mayastor::v1::Pool::descriptor()->FindFieldByName("capacity")),
            "bytes that replicas can own");
  EXPECT_EQ(comments.of(*::mayastor::v1::Pool::descriptor()->FindFieldByName("name")), "");
}

TEST_F(OpenApiTest, V0OperationsAreCalledAsTheControlPlanesClientsCallThem) {
  const auto* file = rest::v0::Pool::descriptor()->file();
  for (int i = 0; i < file->service_count(); ++i) add(*file->service(i));
  OpenApiOptions options{"Capstan", "v0", JsonStyle::v0(), true};
  const element root = parse(openapi(routes_, options));
  const auto id = [&](const std::string& pointer) {
    return std::string(root.at_pointer("/paths/" + pointer + "/operationId").get_string().value());
  };
  EXPECT_EQ(id("~1v0~1nodes/get"), "get_nodes");
  EXPECT_EQ(id("~1v0~1nodes~1{node_id}~1pools~1{pool_id}/put"), "put_node_pool");
  const std::string share =
      "~1v0~1nodes~1{node_id}~1pools~1{pool_id}~1replicas~1{replica_id}~1share";
  EXPECT_EQ(id(share + "/delete"), "del_node_pool_replica_share");
  EXPECT_EQ(id(share + "~1nvmf/put"), "put_node_pool_replica_share");
  EXPECT_TRUE(root.at_pointer("/paths/" + share + "~1nvmf/put/requestBody").error());
  EXPECT_EQ(id("~1v0~1nodes~1{node_id}~1nexuses~1{nexus_id}~1children~1{child}/get"),
            "get_node_nexus_child");
}

}  // namespace
}  // namespace capstan::rpc
