// Why this file exists: pins what clients and the generated page read about an operation.
#include "rpc/describe.h"

#include <gtest/gtest.h>

#include "node/image.pb.h"

namespace capstan::rpc {
namespace {

Operation read(const google::protobuf::FileDescriptor* file, const char* method) {
  return *Operation::from(*file->service(0)->FindMethodByName(method));
}

TEST(Describe, FillsOperationInfo) {
  node::v1::OperationInfo info;
  describe(read(node::v1::ImportImageRequest::descriptor()->file(), "ExportImage"), info);
  EXPECT_EQ(info.full_name(), "capstan.node.v1.ImageRpc/ExportImage");
  EXPECT_EQ(info.request_type(), "capstan.node.v1.ExportImageRequest");
  EXPECT_EQ(info.response_type(), "capstan.node.v1.ExportImageResponse");
  EXPECT_EQ(info.kind(), "large");
  EXPECT_EQ(info.access(), "data");
  EXPECT_TRUE(info.idempotent());
  EXPECT_EQ(info.http(), "GET /images/{replica}");
  EXPECT_EQ(info.jsonrpc(), "");
  EXPECT_EQ(info.drpc_module(), 100U);
  EXPECT_EQ(info.drpc_method(), 10021U);
}

TEST(Describe, PageHasOneTablePerService) {
  const auto import = read(node::v1::ImportImageRequest::descriptor()->file(), "ImportImage");
  const auto events = read(node::v1::Version::descriptor()->file(), "MonitorEvents");
  auto version = read(node::v1::Version::descriptor()->file(), "GetVersion");
  version.default_deadline = 250 * core::kMillisecond;
  const std::string page = operations_page({&import, &version, &events});
  EXPECT_TRUE(page.starts_with("# Operations\n"));
  EXPECT_NE(page.find("\n## capstan.node.v1.ImageRpc\n"), std::string::npos);
  EXPECT_EQ(page.find("## capstan.node.v1.NodeRpc"), page.rfind("## capstan.node.v1.NodeRpc"));
  EXPECT_NE(page.find("| `ImportImage` | client_stream | data |  |  | `PUT /images/{replica}` |  | "
                      "100.10020 |  |\n"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("| `GetVersion` | unary | monitor | yes | 250 ms | `GET /version` | "
                      "`node_get_version` | 100.10001 |  |\n"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("| `MonitorEvents` | endless | monitor |  |  |"), std::string::npos);
}

}  // namespace
}  // namespace capstan::rpc
