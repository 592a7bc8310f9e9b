// Why this file exists: see operations.h.
#include "wire/drpc/operations.h"

#include <google/protobuf/io/coded_stream.h>

#include <set>
#include <utility>

#include "drpc/reply.pb.h"
#include "rpc/error_text.h"
#include "wire/drpc/error_map.h"

namespace capstan::wire::drpc {
namespace {

namespace v1 = ::capstan::drpc::v1;
using google::protobuf::io::CodedOutputStream;

constexpr std::uint8_t kReplyTag = 0x1a;  // field 3, length-delimited

// The Reply of a success, encoded as its responses come: nothing but field 3, repeated.
class ReplyWriter {
 public:
  explicit ReplyWriter(MemoryBudget& budget) : memory_(&budget) {}

  Result<void> add(const google::protobuf::Message& response) {
    const std::size_t bytes = response.ByteSizeLong();
    const std::size_t needed = used_ + 1 + CodedOutputStream::VarintSize64(bytes) + bytes;
    if (needed > limits::kDrpcMessageBytes || ++messages_ > limits::kDrpcBatchMessages) {
      return fail(Code::kResourceExhausted, "the answer is too large for one dRPC reply (limits: " +
                                                std::to_string(limits::kDrpcMessageBytes) +
                                                " bytes, " +
                                                std::to_string(limits::kDrpcBatchMessages) +
                                                " messages); ask for less, or use gRPC");
    }
    TRY(reserve(needed));
    std::uint8_t* to = memory_.data() + used_;
    *to++ = kReplyTag;
    to = CodedOutputStream::WriteVarint64ToArray(bytes, to);
    response.SerializeWithCachedSizesToArray(to);
    used_ = needed;
    return {};
  }
  Body finish() && {
    const ByteView part = memory_.view().first(used_);
    return Body(std::move(memory_), part);
  }

 private:
  Result<void> reserve(std::size_t needed) {
    if (needed <= memory_.size()) return {};
    // The first response is often the only one.
    const std::size_t wanted = used_ == 0 ? needed : std::max(needed, 2 * memory_.size());
    if (memory_.resize(wanted)) return {};
    return fail(Code::kResourceExhausted,
                "no room for a dRPC reply of " + std::to_string(needed) +
                    " bytes beside those of the other sessions; try again later");
  }
  Memory memory_;
  std::size_t used_ = 0, messages_ = 0;
};

class OneRequest final : public rpc::MessageSource {
 public:
  explicit OneRequest(const rpc::Message& request) : request_(&request) {}
  core::Task<Result<bool>> next(rpc::Message& into) override {
    if (!request_) co_return false;
    into.CopyFrom(*std::exchange(request_, nullptr));
    co_return true;
  }

 private:
  const rpc::Message* request_;
};

class CollectingSink final : public rpc::MessageSink {
 public:
  explicit CollectingSink(ReplyWriter& writer) : writer_(writer) {}
  core::Task<Result<void>> send(const rpc::Message& message) override {
    co_return writer_.add(message);
  }

 private:
  ReplyWriter& writer_;
};

Answer answer_of(const Error& error) {
  v1::Reply reply;
  reply.set_status(drpc_status_number(error.code));
  reply.set_message(rpc::error_text(error));
  reply.set_code(static_cast<std::int32_t>(error.code));
  reply.set_sys_errno(error.sys_errno);
  return marshal(reply);
}

class OperationModule final : public Module {
 public:
  OperationModule(std::uint32_t id, const rpc::Directory& directory, MemoryBudget& budget)
      : id_(id),
        name_("operations " + std::to_string(id)),
        directory_(directory),
        budget_(budget) {}

  std::int32_t id() const override { return static_cast<std::int32_t>(id_); }
  std::string_view name() const override { return name_; }
  std::optional<Method> method(std::int32_t id) const override {
    const auto* entry =
        id > 0 ? directory_.find_drpc(id_, static_cast<std::uint32_t>(id)) : nullptr;
    if (!entry) return std::nullopt;
    return Method{id, this->id(), entry->operation.full_name()};
  }

  core::Task<Answer> handle(Session& session, const Method& method, ByteView body) override {
    const auto* entry = directory_.find_drpc(id_, static_cast<std::uint32_t>(method.id));
    CAPSTAN_ASSERT(entry);  // method() has found it
    const auto request = entry->new_request();
    if (auto parsed = unmarshal(body, *request); !parsed) {
      co_return std::unexpected(std::move(parsed).error());
    }
    rpc::Call call;
    call.peer = session.peer();
    call.token = session.token();
    call.wire = "drpc";
    ReplyWriter writer(budget_);
    const auto done = co_await run(*entry, call, *request, writer);
    if (!done) co_return answer_of(done.error());
    co_return std::move(writer).finish();
  }

 private:
  core::Task<Result<void>> run(const rpc::Directory::Entry& entry, rpc::Call& call,
                               const rpc::Message& request, ReplyWriter& writer) {
    switch (entry.operation.kind) {
      case rpc::Kind::kUnary: {
        const auto response = entry.new_response();
        CO_TRY(co_await directory_.run(entry, call, request, *response));
        co_return writer.add(*response);
      }
      case rpc::Kind::kLarge: {
        OneRequest source(request);
        CollectingSink sink(writer);
        co_return co_await directory_.run(entry, call, source, sink);
      }
      default:
        co_return fail(Code::kUnimplemented, "operation '" + entry.operation.full_name() +
                                                 "' streams, which dRPC cannot; use gRPC");
    }
  }

  std::uint32_t id_;
  std::string name_;
  const rpc::Directory& directory_;
  MemoryBudget& budget_;
};

}  // namespace

Result<void> register_operations(DomainSocketServer& server, const rpc::Directory& directory) {
  std::set<std::uint32_t> modules;
  for (const auto* operation : directory.operations()) {
    if (operation->drpc_module != 0) modules.insert(operation->drpc_module);
  }
  for (const std::uint32_t id : modules) {
    TRY(server.register_module(std::make_unique<OperationModule>(id, directory, server.budget())));
  }
  return {};
}

Result<void> read_reply(ByteView body, google::protobuf::Message& response) {
  v1::Reply reply;
  if (!reply.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return fail(Code::kInternal, "the dRPC reply is no capstan.drpc.v1.Reply");
  }
  if (reply.status() != 0) {
    const bool known = reply.code() > 0 && reply.code() <= static_cast<int>(Code::kUnauthenticated);
    return fail(known ? static_cast<Code>(reply.code()) : drpc_code_of_status(reply.status()),
                reply.message(), reply.sys_errno());
  }
  if (reply.reply_size() != 1 || !response.ParseFromString(reply.reply(0))) {
    return fail(Code::kInternal,
                "the dRPC reply holds no " + response.GetDescriptor()->full_name());
  }
  return {};
}

}  // namespace capstan::wire::drpc
