// Why this file exists: nothing that a caller sent gets into the log by way of an error's text.
#include "rpc/log_text.h"

#include <gtest/gtest.h>

#include "datastore/datastore.pb.h"
#include "pool.pb.h"
#include "replica.pb.h"
#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

std::string shown(Code code, std::string message) {
  return log_text({code, 0, std::move(message), {}, {}});
}

TEST(LogText, WhatIsQuotedIsLeftOut) {
  struct Row {
    const char* text;
    const char* logged;
  };
  const Row rows[] = {
      {"pool 'p' not found", "pool '\u2026' not found"},
      {"pool 'a' has no 'SECRET' in 'b'; look", "pool '\u2026'; look"},
      {"the disk's size is 'it's SECRET' bytes", "the disk's size is '\u2026' bytes"},
      {"the SECRET", "the SECRET"},  // our own words: values are quoted
      {"member \"SECRET\" and 'SECRET", "member \"\u2026"},
      {"member 'SECRET", "member '\u2026"},
      {"use bdev:///SECRET instead", "use \u2026 instead"},
      {"nvmf://USER:PASS@h", "\u2026"},
      {"", ""},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(shown(Code::kNotFound, row.text), row.logged) << row.text;
    EXPECT_EQ(shown(Code::kInternal, row.text), row.logged) << row.text;
  }
}

TEST(LogText, WhatIsWrongWithARequestIsInItsAnswerAlone) {
  for (const Code code : {Code::kInvalidArgument, Code::kOutOfRange}) {
    EXPECT_EQ(shown(code, "$.SECRET: expected bytes"),
              "the answer says what is wrong with the request");
  }
}

Operation operation(const google::protobuf::FileDescriptor* file, const char* service,
                    const char* method) {
  auto made = Operation::from(*file->FindServiceByName(service)->FindMethodByName(method));
  EXPECT_TRUE(made) << made.error().text();
  return *std::move(made);
}

TEST(LogText, ObjectsAreNamedAndKeysAreNot) {
  const auto destroy =
      operation(::mayastor::v1::DestroyPoolRequest::descriptor()->file(), "PoolRpc", "DestroyPool");
  ::mayastor::v1::DestroyPoolRequest pool;
  EXPECT_EQ(log_object(destroy, pool), "");
  pool.set_name("p-1");
  EXPECT_EQ(log_object(destroy, pool), "p-1");
  for (const std::string& odd : {std::string("p 1"), std::string("p\n1"), std::string(200, 'x')}) {
    pool.set_name(odd);
    EXPECT_EQ(log_object(destroy, pool), "");
  }
  using capstan::datastore::v1::WriteRequest;
  const auto write = operation(WriteRequest::descriptor()->file(), "DataStoreRpc", "Write");
  WriteRequest entry;
  entry.set_store("s"), entry.set_key("SECRETKEY"), entry.set_value("SECRET");
  EXPECT_EQ(log_object(write, entry), "s");
}

// FixedBug: the pool of /pools/<pool_id>/replicas/… is no field of the request, and whoever sent it
// without a UUID ended the node.
TEST(LogText, WhatThePathAloneKnowsIsNoField) {
  using mayastor::v1::ShareReplicaRequest;
  const auto share =
      operation(ShareReplicaRequest::descriptor()->file(), "ReplicaRpc", "ShareReplica");
  ShareReplicaRequest replica;
  EXPECT_EQ(log_object(share, replica), "");
  replica.set_uuid("a b");
  EXPECT_EQ(log_object(share, replica), "");
  replica.set_uuid("r1");
  EXPECT_EQ(log_object(share, replica), "r1");
}

}  // namespace
}  // namespace capstan::rpc
