// Why this file exists: `describe` as Octez's clients read it: member names and their order, which
// paths answer and which are 404, arguments by value (http-rpc sections 13.1 and 13.2).
#include "rpc/describe_tree.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "rpc/media_testing.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {
namespace {

constexpr const char* kProtos = R"(
message Pool { string name = 1; }
message List { int32 limit = 1; optional string after = 2; bool verbose = 3;
               repeated string tag = 4; Filter filter = 5; google.protobuf.StringValue uuid = 6; }
message Filter { uint64 above = 1; }
message Pools { repeated Pool pools = 1; }
message Keys { repeated string keys = 1; bytes value = 2; }
message Nothing {}
service Demo {
  rpc ListPools(List) returns (Pools);
  rpc CreatePool(Pool) returns (Pool);
  rpc GetPool(Pool) returns (Pools);
  rpc DestroyPool(Pool) returns (Nothing);
  rpc ReadKeys(Keys) returns (Keys);
  rpc GetNvmeANAState(Nothing) returns (Nothing);
}
)";

class DescribeTreeTest : public ::testing::Test {
 protected:
  DescribeTreeTest() {
    for (int i = 0; i < protos_.service("Demo").method_count(); ++i) {
      operations_.push_back(Operation::from(*protos_.service("Demo").method(i)).value());
    }
  }
  const Operation& operation(std::string_view name) {
    for (const auto& one : operations_) {
      if (one.name() == name) return one;
    }
    CAPSTAN_ASSERT(false);
    return operations_[0];
  }
  Result<void> add(const char* name, const char* method, const char* path, const char* result = "",
                   OperationOptions::Http::Answer answer = OperationOptions::Http::OK) {
    OperationOptions::Http declared;
    declared.set_method(method);
    declared.set_path(path);
    declared.set_result(result);
    declared.set_answer(answer);
    const auto binding = HttpBinding::from(operation(name).method(), declared);
    CAPSTAN_ASSERT(binding.has_value());
    return tree_.add(operation(name), *binding);
  }
  void add_demo() {
    ASSERT_TRUE(add("ListPools", "GET", "/pools", "pools"));
    ASSERT_TRUE(add("CreatePool", "POST", "/pools"));
    ASSERT_TRUE(add("GetPool", "GET", "/pools/{pool_id=name}"));
    ASSERT_TRUE(add("DestroyPool", "DELETE", "/pools/{pool_id=name}", "",
                    OperationOptions::Http::NO_CONTENT));
    ASSERT_TRUE(add("ReadKeys", "GET", "/kv/{string=keys...}", "keys"));
  }
  std::string at(const std::vector<std::string>& path, bool recurse = false) {
    return tree_.describe(path, recurse).value_or("404");
  }

  testing::Protos protos_{kProtos};
  std::vector<Operation> operations_;
  DescribeTree tree_{[](const HttpStep& step, std::string_view text) {
    return step.name != "pool_id" || text.find(' ') == std::string_view::npos;
  }};
};

TEST_F(DescribeTreeTest, QueryKindsAreThoseOfTheFields) {
  add_demo();
  const std::string text = at({"pools"});
  EXPECT_TRUE(text.starts_with(
      R"({"static":{"get_service":{"meth":"GET","path":["pools"],"description":"List pools",)"
      R"("query":[{"name":"limit","kind":{"single":{"id":"single","name":"int32"}}},)"
      R"({"name":"after","kind":{"optional":{"id":"single","name":"string"}}},)"
      R"({"name":"verbose","kind":{"flag":{}}},)"
      R"({"name":"tag","kind":{"multi":{"id":"single","name":"string"}}},)"
      R"({"name":"above","kind":{"single":{"id":"single","name":"uint64"}}},)"
      R"({"name":"uuid","kind":{"optional":{"id":"single","name":"string"}}}],)"
      R"("output":{"json_schema":{"$schema":)"))
      << text;
  EXPECT_NE(text.find(R"("post_service":{"meth":"POST","path":["pools"],)"
                      R"("description":"Create pool","query":[],"input":{"json_schema":)"),
            std::string::npos);
  EXPECT_EQ(text.find("subdirs"), std::string::npos);
}

TEST_F(DescribeTreeTest, ValuesStandForArguments) {
  add_demo();
  const std::string pool = at({"pools", "p1"});
  EXPECT_TRUE(pool.starts_with(R"({"static":{"get_service":{"meth":"GET","path":["pools",)"
                               R"({"id":"single","name":"pool_id"}],"description":"Get pool",)"
                               R"("query":[],"output":{)"))
      << pool;
  EXPECT_NE(pool.find(R"("delete_service":{"meth":"DELETE")"), std::string::npos);
  EXPECT_NE(pool.find(R"("error":{"json_schema":{"$schema":)"), std::string::npos);
  EXPECT_EQ(at({"pools", "p 1"}), "404") << "no value of pool_id";
  EXPECT_EQ(at({"pools", "p1", "more"}), "404");
  EXPECT_EQ(at({"nothing"}, true), "404");
}

TEST_F(DescribeTreeTest, TailsAreTransparent) {
  add_demo();
  const std::string kv = at({"kv"});
  EXPECT_TRUE(kv.starts_with(R"({"static":{"get_service":{"meth":"GET","path":["kv",)"
                             R"({"id":"multiple","name":"string"}],)"))
      << kv;
  EXPECT_NE(kv.find(R"("query":[{"name":"value",)"), std::string::npos);
  EXPECT_EQ(at({"kv", "a", "b"}), kv);
  EXPECT_NE(at({}, true).find(R"({"name":"kv","tree":)" + kv + "}"), std::string::npos);
}

TEST_F(DescribeTreeTest, OnlyRecursionGoesThroughEmptyNodes) {
  EXPECT_EQ(at({}), "404");
  EXPECT_EQ(at({}, true), R"("empty")");
  add_demo();
  ASSERT_TRUE(tree_.add_view(
      {{HttpStep::Kind::kLiteral, "health", {}}, {HttpStep::Kind::kLiteral, "ready", {}}},
      "Whether the node is ready"));
  EXPECT_EQ(at({}), "404");
  EXPECT_EQ(at({"health"}), "404");
  EXPECT_TRUE(
      at({"health"}, true)
          .starts_with(R"({"static":{"subdirs":{"suffixes":[{"name":"ready","tree":{"static":{)"));
  const std::string all = at({}, true);
  EXPECT_TRUE(all.starts_with(R"({"static":{"subdirs":{"suffixes":[{"name":"health","tree":)"));
  EXPECT_NE(all.find(R"("subdirs":{"dynamic_dispatch":{"arg":{"id":"single","name":"pool_id"},)"
                     R"("tree":{"static":{"get_service":)"),
            std::string::npos);
  simdjson::dom::parser parser;
  EXPECT_EQ(parser.parse(all).error(), simdjson::SUCCESS);
}

TEST_F(DescribeTreeTest, ConflictsAreRefused) {
  add_demo();
  const auto refused = [&](const char* method, const char* path) {
    const auto added = add("GetPool", method, path);
    return added ? "added" : added.error().text();
  };
  EXPECT_EQ(refused("GET", "/pools"), "GET /pools is taken");
  EXPECT_EQ(refused("GET", "/pools/literal"),
            "describe /pools/literal: 'literal' stands beside the argument <pool_id>");
  EXPECT_EQ(refused("GET", "/pools/{other=name}"),
            "describe /pools/{other}: the argument <other> stands beside something else");
  EXPECT_EQ(refused("GET", "/kv"), "GET /kv is taken");
  EXPECT_EQ(refused("GET", "/{x=name}"),
            "describe /{x}: the argument <x> stands beside something else");
}

TEST_F(DescribeTreeTest, TitlesAreWords) {
  EXPECT_EQ(operation_title(operation("GetNvmeANAState")), "Get nvme ANA state");
  EXPECT_EQ(operation_title(operation("ListPools")), "List pools");
}

}  // namespace
}  // namespace capstan::rpc
