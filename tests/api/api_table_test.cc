// Why this file exists: the compiled contract is exactly the table tests/vectors/mayastor_api.txt:
// every file, import, rpc, enum value, message and field with number, type and label, in the order
// of declaration; nothing missing, nothing more. And our options on the methods are sound: every
// method has them, and no two methods share a name on any wire.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bdev.pb.h"
#include "capstan_test_paths.h"
#include "common.pb.h"
#include "event.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "host.pb.h"
#include "json.pb.h"
#include "mayastor.pb.h"
#include "nexus.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"
#include "registration.pb.h"
#include "replica.pb.h"
#include "rest/v0.pb.h"
#include "rpc/operation.h"
#include "rpc/options.pb.h"
#include "snapshot-rebuild.pb.h"
#include "snapshot.pb.h"
#include "spdk/bdev.pb.h"
#include "spdk/bdev_modules.pb.h"
#include "spdk/bdev_nvme.pb.h"
#include "spdk/framework.pb.h"
#include "spdk/log.pb.h"
#include "spdk/lvol.pb.h"
#include "spdk/mayastor.pb.h"
#include "spdk/notify.pb.h"
#include "stats.pb.h"
#include "test.pb.h"
#include "v1-alpha/registration.pb.h"

namespace capstan {
namespace {

namespace pb = google::protobuf;
namespace v1 = ::mayastor::v1;
using Lines = std::vector<std::string>;

constexpr char kOurOptions[] = "rpc/options.proto";

// Folder of api/mayastor/ and descriptor of every file, in the order of the table.
std::vector<std::pair<std::string, const pb::FileDescriptor*>> mayastor_files() {
  return {{"v1", v1::MayastorFeatures::descriptor()->file()},
          {"v1", v1::Pool::descriptor()->file()},
          {"v1", v1::Replica::descriptor()->file()},
          {"v1", v1::Nexus::descriptor()->file()},
          {"v1", v1::SnapshotInfo::descriptor()->file()},
          {"v1", v1::SnapshotRebuild::descriptor()->file()},
          {"v1", v1::Bdev::descriptor()->file()},
          {"v1", v1::BlockDevice::descriptor()->file()},
          {"v1", v1::RegisterRequest::descriptor()->file()},
          {"v1", v1::IoStats::descriptor()->file()},
          {"v1", v1::JsonRpcRequest::descriptor()->file()},
          {"v1", v1::TestFeatures::descriptor()->file()},
          {"v0", ::mayastor::Null::descriptor()->file()},
          {"v1-alpha", ::v1::registration::RegisterRequest::descriptor()->file()},
          {"events", ::v1::event::EventMessage::descriptor()->file()}};
}

std::string file_name(const std::string& folder, const pb::FileDescriptor& file) {
  return file.name().starts_with(folder + "/") ? file.name() : folder + "/" + file.name();
}

std::string type_text(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    return "map<" + type_text(*field.message_type()->map_key()) + "," +
           type_text(*field.message_type()->map_value()) + ">";
  }
  if (field.message_type()) return field.message_type()->full_name();
  if (field.enum_type()) return field.enum_type()->full_name();
  return field.type_name();
}

std::string label_text(const pb::FieldDescriptor& field) {
  if (field.is_map()) return "map";
  if (field.is_repeated()) return "repeated";
  if (field.real_containing_oneof()) return "oneof:" + field.real_containing_oneof()->name();
  return field.has_optional_keyword() ? "optional" : "singular";
}

void dump_enum(const pb::EnumDescriptor& type, Lines& out) {
  for (int i = 0; i < type.value_count(); ++i) {
    const auto& value = *type.value(i);
    out.push_back("enum " + type.full_name() + " " + value.name() + " " +
                  std::to_string(value.number()));
  }
}

void dump_message(const pb::Descriptor& type, Lines& out) {
  if (type.options().map_entry()) return;
  out.push_back("message " + type.full_name());
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    out.push_back("field " + type.full_name() + " " + std::to_string(field.number()) + " " +
                  field.name() + " " + type_text(field) + " " + label_text(field));
  }
  for (int i = 0; i < type.nested_type_count(); ++i) dump_message(*type.nested_type(i), out);
  for (int i = 0; i < type.enum_type_count(); ++i) dump_enum(*type.enum_type(i), out);
}

std::string shape_text(const pb::MethodDescriptor& method) {
  if (method.client_streaming())
    return method.server_streaming() ? "bidirectional" : "client_stream";
  return method.server_streaming() ? "server_stream" : "unary";
}

Lines dump_file(const std::string& folder, const pb::FileDescriptor& file) {
  Lines out;
  out.push_back("file " + file_name(folder, file) + " " + file.package());
  for (int i = 0; i < file.dependency_count(); ++i) {
    if (file.dependency(i)->name() != kOurOptions)
      out.push_back("import " + file.dependency(i)->name());
  }
  for (int s = 0; s < file.service_count(); ++s) {
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      const auto& method = *file.service(s)->method(m);
      out.push_back("rpc " + method.service()->full_name() + " " + method.name() + " " +
                    method.input_type()->full_name() + " " + method.output_type()->full_name() +
                    " " + shape_text(method));
    }
  }
  for (int i = 0; i < file.enum_type_count(); ++i) dump_enum(*file.enum_type(i), out);
  for (int i = 0; i < file.message_type_count(); ++i) dump_message(*file.message_type(i), out);
  return out;
}

// The table's lines by file.
std::map<std::string, Lines> load_table() {
  std::ifstream in(CAPSTAN_SOURCE_DIR "/tests/vectors/mayastor_api.txt");
  std::map<std::string, Lines> table;
  std::string line, current;
  while (std::getline(in, line)) {
    if (line.empty() || line.starts_with("#")) continue;
    if (line.starts_with("file ")) current = line.substr(5, line.find(' ', 5) - 5);
    table[current].push_back(line);
  }
  return table;
}

Lines difference(Lines a, Lines b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  Lines out;
  std::ranges::set_difference(a, b, std::back_inserter(out));
  return out;
}

// Only the lines about one owner ("field mayastor.v1.Pool"), in order: nested types stand at
// another place in the table than in the descriptors, the order inside each of them must agree.
std::map<std::string, Lines> by_owner(const Lines& lines) {
  std::map<std::string, Lines> out;
  for (const auto& line : lines) {
    const auto first = line.find(' ');
    const auto second = line.find(' ', first + 1);
    out[line.starts_with("import") ? "import" : line.substr(0, second)].push_back(line);
  }
  return out;
}

TEST(ApiTable, DescriptorsAreTheTable) {
  const auto table = load_table();
  const auto files = mayastor_files();
  EXPECT_EQ(table.size(), files.size());
  std::size_t facts = 0;
  for (const auto& [folder, file] : files) {
    const auto name = file_name(folder, *file);
    SCOPED_TRACE(name);
    ASSERT_TRUE(table.contains(name));
    const auto& wanted = table.at(name);
    const auto found = dump_file(folder, *file);
    EXPECT_EQ(difference(wanted, found), Lines{}) << "missing";
    EXPECT_EQ(difference(found, wanted), Lines{}) << "not in the table";
    EXPECT_EQ(by_owner(found), by_owner(wanted)) << "order of declaration";
    facts += found.size();
  }
  EXPECT_GT(facts, 1000U);
}

TEST(ApiTable, EveryProtoFileIsInTheTable) {
  const auto table = load_table();
  const std::filesystem::path root = CAPSTAN_SOURCE_DIR "/api/mayastor";
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".proto") continue;
    ++count;
    EXPECT_TRUE(table.contains(std::filesystem::relative(entry.path(), root).string()))
        << entry.path();
  }
  EXPECT_EQ(count, table.size());
}

TEST(ApiTable, FileOptionsAreUpstreams) {
  for (const auto& [folder, file] : mayastor_files()) {
    const auto& options = file->options();
    if (folder == "v0") {
      EXPECT_TRUE(options.java_multiple_files());
      EXPECT_EQ(options.java_package(), "io.openebs.mayastor");
      EXPECT_EQ(options.java_outer_classname(), "MayastorProto");
    } else {
      EXPECT_EQ(options.ByteSizeLong(), 0U) << file->name();
    }
    EXPECT_EQ(file->syntax(), pb::FileDescriptor::SYNTAX_PROTO3);
  }
}

std::vector<const pb::MethodDescriptor*> all_methods() {
  std::vector<const pb::FileDescriptor*> files = {
      ::grpc::health::v1::HealthCheckRequest::descriptor()->file(),
      ::grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
      ::grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file(),
      node::v1::Version::descriptor()->file(),
      node::v1::Extent::descriptor()->file(),
      rest::v0::Pool::descriptor()->file(),
      ::spdk::Version::descriptor()->file(),
      ::spdk::LogLevel::descriptor()->file(),
      ::spdk::Notification::descriptor()->file(),
      ::spdk::Bdevs::descriptor()->file(),
      ::spdk::BdevName::descriptor()->file(),
      ::spdk::BdevNvmeNames::descriptor()->file(),
      ::spdk::Lvols::descriptor()->file(),
      ::spdk::NexusShareRequest::descriptor()->file()};
  for (const auto& [folder, file] : mayastor_files()) files.push_back(file);
  std::vector<const pb::MethodDescriptor*> methods;
  for (const auto* file : files) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

TEST(ApiTable, EveryMethodHasOptionsAndUniqueNames) {
  std::set<std::string> jsonrpc, drpc, http;
  for (const auto* method : all_methods()) {
    SCOPED_TRACE(method->full_name());
    ASSERT_TRUE(method->options().HasExtension(rpc::operation));
    const auto& operation = method->options().GetExtension(rpc::operation);
    if (operation.kind() != rpc::OperationOptions::UNARY) EXPECT_TRUE(method->server_streaming());
    if (operation.has_jsonrpc()) {
      EXPECT_TRUE(jsonrpc.insert(operation.jsonrpc().name()).second) << operation.jsonrpc().name();
    }
    EXPECT_TRUE(operation.has_drpc());
    if (operation.has_drpc()) {
      EXPECT_GE(operation.drpc().module(), 100U);
      EXPECT_EQ(operation.drpc().method() / 100, operation.drpc().module());
      EXPECT_NE(operation.drpc().method() % 100, 0U);
      EXPECT_TRUE(drpc.insert(std::to_string(operation.drpc().module()) + "." +
                              std::to_string(operation.drpc().method()))
                      .second);
    }
    if (operation.has_http()) {
      EXPECT_TRUE(http.insert(operation.http().method() + " " + operation.http().path()).second);
    }
    for (const auto& more : operation.more_http()) {
      EXPECT_TRUE(http.insert(more.method() + " " + more.path()).second) << more.path();
    }
  }
  EXPECT_GT(jsonrpc.size(), 100U);
}

// Every path, query, body and result names fields that exist.
TEST(ApiTable, HttpBindingsFitTheirMessages) {
  std::size_t bindings = 0;
  for (const auto* method : all_methods()) {
    const auto operation = rpc::Operation::from(*method);
    ASSERT_TRUE(operation) << operation.error().text();
    bindings += operation->http.size();
  }
  EXPECT_GT(bindings, 100U);
}

}  // namespace
}  // namespace capstan
