// Why this file exists: what a client writes is what the server reads: any request of any declared
// operation, taken apart by the binding that the client chose and put together again by the
// server's own functions, is the same request.
#include "wire/rest/request_writer.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "bdev.pb.h"
#include "nexus.pb.h"
#include "replica.pb.h"
#include "rpc/json_testing.h"
#include "spdk/bdev.pb.h"
#include "wire/rest/operation_call.h"
#include "wire/rest/rest_testing.h"

namespace capstan::wire::rest {
namespace {

namespace pb = google::protobuf;
using rpc::Message;

std::string text_of(const Result<OutgoingRequest>& result) {
  return result ? result->method + " " + result->target : result.error().text();
}

CallPaths paths_of(const std::string& name) {
  const auto* method = pb::DescriptorPool::generated_pool()->FindMethodByName(name);
  CAPSTAN_ASSERT(method);
  auto paths = CallPaths::of(*method);
  CAPSTAN_ASSERT(paths.has_value());
  return *std::move(paths);
}

core::Task<Result<void>> nothing(rpc::Call&, const Message&, Message&) {
  co_return Result<void>();
}
core::Task<Result<void>> no_stream(rpc::Call&, rpc::MessageSource&, rpc::MessageSink&) {
  co_return Result<void>();
}

// Every operation of the files that these messages are from.
class Requests : public ::testing::Test {
 protected:
  Requests() {
    namespace v1 = ::mayastor::v1;
    for (const auto* type :
         {v1::Pool::descriptor(), v1::Replica::descriptor(), v1::Nexus::descriptor(),
          v1::Bdev::descriptor(), node::v1::Version::descriptor(),
          node::v1::ImportImageRequest::descriptor(), datastore::v1::Entry::descriptor()}) {
      const auto* file = type->file();
      for (int i = 0; i < file->service_count(); ++i) declare(*file->service(i));
    }
    auto made = Routes::make(directory_);
    CAPSTAN_ASSERT(made.has_value());
    routes_ = *std::move(made);
  }
  void declare(const pb::ServiceDescriptor& service) {
    ASSERT_TRUE(directory_.declare(&service));
    for (int i = 0; i < service.method_count(); ++i) {
      const auto& method = *service.method(i);
      rpc::Handler handler;
      if (method.client_streaming() || method.server_streaming()) {
        handler.stream = no_stream;
      } else {
        handler.unary = nothing;
      }
      const std::string name = service.full_name() + "/" + method.name();
      ASSERT_TRUE(directory_.bind_raw(name, std::move(handler)));
    }
  }
  // As rest/pipeline.h and rest/operation_call.h do it.
  Result<std::unique_ptr<Message>> read(const OutgoingRequest& request) const {
    TRY_SET(const Target target, parse_target(request.target));
    const auto found = routes_->tree().find(target.segments);
    if (!found.node) return fail(Code::kNotFound, found.complaint + " at " + request.target);
    Method method = Method::kGet;
    CAPSTAN_ASSERT(method_named(request.method, method));
    Resolved resolved;
    resolved.route = found.node->service(method);
    if (!resolved.route) return fail(Code::kNotFound, "no such method");
    resolved.arguments = found.arguments;
    TRY(resolved.read_query(target.query));
    if (!request.has_body) return std::move(resolved.parameters);
    auto message = resolved.route->entry->new_request();
    const auto& binding = resolved.route->binding;
    if (!request.media) {
      message->GetReflection()->SetString(message.get(), binding.body, request.body);
    } else {
      rpc::JsonReader reader;
      TRY(rpc::decode_body(*request.media, request.body, *message, resolved.route->request,
                           reader));
    }
    message->MergeFrom(*resolved.parameters);
    return message;
  }

  rpc::Directory directory_;
  std::unique_ptr<Routes> routes_;
};

// Values that the server takes: ids are UUIDs, names have no slash.
void make_plausible(Message& message, std::mt19937_64& random, int depth) {
  const auto* r = message.GetReflection();
  const auto* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const auto& field = *type->field(i);
    if (random() % 4 == 0 || field.is_map()) continue;
    const int count = field.is_repeated() ? static_cast<int>(random() % 3) : 1;
    for (int n = 0; n < count; ++n) {
      if (field.message_type()) {
        if (depth == 0) continue;
        auto* inner = field.is_repeated() ? r->AddMessage(&message, &field)
                                          : r->MutableMessage(&message, &field);
        if (field.message_type()->full_name() != "google.protobuf.Timestamp") {
          make_plausible(*inner, random, depth - 1);
        }
        continue;
      }
      const bool id = field.name().find("uuid") != std::string::npos;
      std::string text = id ? "0e5bf0e4-1a3b-4b3c-9d2e-00000000000" + std::to_string(random() % 10)
                            : "n" + std::to_string(random() % 1000);
      const bool bytes = field.type() == pb::FieldDescriptor::TYPE_BYTES;
      if (bytes) text += std::string("\0/\xFF%?.", 6);
      if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
        field.is_repeated() ? r->AddString(&message, &field, text)
                            : r->SetString(&message, &field, text);
      } else {
        const std::string number = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_BOOL
                                       ? (random() % 2 == 0 ? "true" : "false")
                                       : std::to_string(random() % 2);
        EXPECT_TRUE(set_text(message, {&field}, number));
      }
    }
  }
}

TEST_F(Requests, AreReadAsTheyWereWritten) {
  std::mt19937_64 random(7);
  int same = 0, refused = 0;
  for (const auto* operation : directory_.operations()) {
    const CallPaths paths =
        paths_of(std::string(operation->service()) + "." + std::string(operation->name()));
    int written = 0;
    for (int i = 0; i < 300; ++i) {
      const auto request = directory_.find(operation->full_name())->new_request();
      make_plausible(*request, random, 2);
      const auto media = static_cast<rpc::Media>(random() % 3);
      const auto outgoing = write_request(paths, *request, media);
      if (!outgoing) {
        EXPECT_EQ(outgoing.error().code, Code::kInvalidArgument);
        ++refused;
        continue;
      }
      ++written;
      const auto back = read(*outgoing);
      ASSERT_TRUE(back) << operation->full_name() << " " << text_of(outgoing) << ": "
                        << back.error().text();
      // A message of which nothing is set may be there or not.
      pb::util::MessageDifferencer differ;
      differ.set_message_field_comparison(pb::util::MessageDifferencer::EQUIVALENT);
      EXPECT_TRUE(differ.Compare(*request, **back))
          << operation->full_name() << " " << text_of(outgoing) << "\n"
          << request->DebugString() << "\n"
          << (*back)->DebugString();
      ++same;
    }
    EXPECT_GT(written, 0) << operation->full_name();
  }
  EXPECT_GT(same, 5000);
  EXPECT_GT(refused, 0);
}

TEST_F(Requests, TheBindingThatSaysAllIsChosen) {
  ::mayastor::v1::ListReplicaOptions list;
  const auto paths = paths_of("mayastor.v1.ReplicaRpc.ListReplicas");
  EXPECT_EQ(text_of(write_request(paths, list, rpc::Media::kJson)), "GET /replicas");
  list.mutable_poolname()->set_value("p 1/%");
  EXPECT_EQ(text_of(write_request(paths, list, rpc::Media::kJson)),
            "GET /replicas?poolname=p%201/%25");
  ::mayastor::v1::ChildOperationRequest child;
  child.set_nexus_uuid("0e5bf0e4-1a3b-4b3c-9d2e-000000000000");
  child.set_uri("aio:///tmp/x");
  child.set_action(::mayastor::v1::Offline);
  const auto acted =
      write_request(paths_of("mayastor.v1.NexusRpc.ChildOperation"), child, rpc::Media::kJson);
  EXPECT_TRUE(text_of(acted).ends_with("/children/aio:%2F%2F%2Ftmp%2Fx/offline")) << text_of(acted);
}

TEST_F(Requests, WhatNoPathCanSayIsAnErrorThatNamesIt) {
  datastore::v1::ReadRequest request;
  const auto paths = paths_of("capstan.datastore.v1.DataStoreRpc.Read");
  request.set_key("k");
  EXPECT_NE(text_of(write_request(paths, request, rpc::Media::kJson)).find("needs 'store'"),
            std::string::npos);
  request.set_store("main");
  for (const char* key : {"", ".", ".."}) {
    request.set_key(key);
    const auto refused = write_request(paths, request, rpc::Media::kJson);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().text().find("needs 'key'"), std::string::npos);
  }
}

TEST_F(Requests, OfAStreamOnlyTheFirstHasWhatThePathSays) {
  const auto paths = paths_of("capstan.datastore.v1.DataStoreRpc.WriteStream");
  datastore::v1::WriteStreamRequest part;
  part.set_store("main");
  part.set_key("k");
  part.set_data("abc");
  const auto first = write_request(paths, part, rpc::Media::kJson);
  ASSERT_TRUE(first) << text_of(first);
  EXPECT_EQ(text_of(first), "PUT /kv/main/raw/k");
  EXPECT_EQ(first->body, "abc");
  EXPECT_FALSE(first->media);
  EXPECT_FALSE(write_element(*first->path, part, rpc::Media::kJson));
  part.clear_store();
  part.clear_key();
  const auto further = write_element(*first->path, part, rpc::Media::kJson);
  ASSERT_TRUE(further);
  EXPECT_EQ(*further, "abc");

  node::v1::ImportImageRequest header;
  header.mutable_header()->set_replica("r");
  header.mutable_header()->set_size_bytes(7);
  const auto imports = paths_of("capstan.node.v1.ImageRpc.ImportImage");
  const auto image = write_request(imports, header, rpc::Media::kJson);
  EXPECT_EQ(text_of(image), "PUT /images/r");
  EXPECT_EQ(image->body, "{\"header\":{\"size_bytes\":\"7\"}}\n");
  EXPECT_FALSE(write_element(*image->path, header, rpc::Media::kJson));
}

}  // namespace
}  // namespace capstan::wire::rest
