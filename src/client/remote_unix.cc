// Why this file exists: see remote.h. JSON-RPC and dRPC, where one request gets one reply: an
// answer that other wires stream is collected by the node, and this side hands it out piece by
// piece.
#include <simdjson.h>

#include <utility>

#include "base/limits.h"
#include "client/remote.h"
#include "drpc/reply.pb.h"
#include "rpc/json_reader.h"
#include "rpc/json_writer.h"
#include "rpc/operation.h"
#include "wire/drpc/client.h"
#include "wire/jsonrpc/client.h"

namespace capstan::client {

namespace {

std::unexpected<Error> refuse_streams(const std::string& full_name, const char* wire) {
  return fail(Code::kUnimplemented, full_name + " takes a stream of requests, which " + wire +
                                        " does not carry; use gRPC or Muxio");
}

Result<rpc::Operation> operation_of(const std::string& full_name, const CallOptions& options,
                                    const char* wire) {
  TRY_SET(const auto* method, find_method(full_name));
  if (options.metadata.empty()) return rpc::Operation::from(*method);
  return fail(Code::kUnimplemented, std::string(wire) + " carries no metadata ('" +
                                        options.metadata.front().first + "'); use gRPC");
}

// An answer that is there as a whole; `read` makes a message of one of its pieces.
class CollectedCall final : public RemoteCall {
 public:
  using Read = Result<void> (*)(const std::string& piece, Message& into);
  CollectedCall(const google::protobuf::MethodDescriptor& method, std::vector<std::string> pieces,
                Read read)
      : RemoteCall(method), pieces_(std::move(pieces)), read_(read) {}
  core::Task<Result<void>> send(const Message&) override {
    co_return fail(Code::kAborted, "the call has ended");
  }
  core::Task<Result<bool>> next(Message& into) override {
    if (at_ == pieces_.size()) co_return false;
    CO_TRY(read_(std::exchange(pieces_[at_++], {}), into));
    co_return true;
  }
  void finish_sending() override {}
  void cancel(Code) override { at_ = pieces_.size(); }

 private:
  std::vector<std::string> pieces_;
  Read read_;
  std::size_t at_ = 0;
};

// --- JSON-RPC -----------------------------------------------------------------------------------

Result<void> read_json(const std::string& piece, Message& into) {
  rpc::JsonReader reader;
  rpc::JsonReadOptions options;
  options.ignore_unknown = true;
  options.limit_bytes = limits::kJsonRpcAnswerBytes;
  return reader.read(piece, into, options);
}

class JsonRpcRemote final : public Remote {
 public:
  JsonRpcRemote(core::Env& env, core::Address address) : env_(env), address_(std::move(address)) {}

  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    CO_TRY_SET(const auto operation, operation_of(full_name, options, "JSON-RPC"));
    CO_TRY_SET(std::string result, co_await call(operation, request, std::move(options)));
    response.Clear();
    const auto& shape = operation.jsonrpc;
    if (shape.true_result || shape.null_result) co_return Result<void>();
    if (shape.result) result = "{\"" + shape.result->name() + "\":" + result + "}";
    co_return read_json(result, response);
  }
  core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                       const Message* request,
                                                       CallOptions options) override {
    if (!request) co_return refuse_streams(full_name, "JSON-RPC");
    CO_TRY_SET(const auto operation, operation_of(full_name, options, "JSON-RPC"));
    CO_TRY_SET(const std::string result, co_await call(operation, *request, std::move(options)));
    simdjson::dom::parser parser;
    simdjson::dom::array array;
    if (parser.parse(result).get(array) != simdjson::SUCCESS) {
      co_return fail(Code::kInternal, "the answer of " + operation.jsonrpc_name + " is no array");
    }
    std::vector<std::string> pieces;
    for (const auto element : array) pieces.push_back(simdjson::minify(element));
    co_return std::make_unique<CollectedCall>(operation.method(), std::move(pieces), &read_json);
  }
  bool connected() const override { return client_ != nullptr; }
  bool streams() const override { return false; }
  core::Task<void> close() override {
    if (client_) co_await client_->close();
    co_await scope_.join();
  }

 private:
  static core::Task<void> close_client(wire::jsonrpc::Client* client) { co_await client->close(); }

  core::Task<Result<std::string>> call(const rpc::Operation& operation, const Message& request,
                                       CallOptions options) {
    if (operation.jsonrpc_name.empty()) {
      co_return fail(Code::kUnimplemented, operation.full_name() + " has no JSON-RPC name");
    }
    rpc::JsonStyle style = rpc::JsonStyle::spdk();
    style.show_defaults = false;  // what was not said is not sent
    std::string params;
    CO_TRY(rpc::write_json(request, style, params));
    if (params.size() + 256 > limits::kJsonRpcTextBytes) {
      co_return fail(Code::kResourceExhausted, "a request of " + std::to_string(params.size()) +
                                                   " bytes of JSON; JSON-RPC takes at most " +
                                                   std::to_string(limits::kJsonRpcTextBytes) +
                                                   ". Use gRPC or Muxio");
    }
    CO_TRY(co_await ready(options.token));
    // An interrupted caller leaves nothing behind: the connection goes, and the call with it.
    const core::CancelCallback leave(options.token,
                                     [this] { scope_.spawn(close_client(client_.get())); });
    auto reply =
        co_await client_->call(operation.jsonrpc_name, std::move(params), options.deadline);
    CO_TRY(options.token.check());
    if (!reply) co_return std::unexpected(std::move(reply).error());
    if (reply->failed) co_return std::unexpected(wire::jsonrpc::error_of(*reply));
    co_return std::move(reply->result);
  }
  core::Task<Result<void>> ready(core::CancelToken token) {
    const auto guard = co_await connecting_.lock();
    if (client_) co_return Result<void>();
    auto client = co_await wire::jsonrpc::Client::connect(env_, address_, std::move(token));
    if (!client) {
      Error error = std::move(client).error();
      // The system's own errors name the address already.
      if (error.sys_errno == 0) error = std::move(error).within("connect to " + address_.text());
      if (error.code != Code::kCancelled) error.code = Code::kUnavailable;
      co_return std::unexpected(std::move(error));
    }
    client_ = *std::move(client);
    co_return Result<void>();
  }

  core::Env& env_;
  core::Address address_;
  core::Mutex connecting_;
  core::Scope scope_;
  std::unique_ptr<wire::jsonrpc::Client> client_;
};

// --- dRPC ---------------------------------------------------------------------------------------

Result<void> read_proto(const std::string& piece, Message& into) {
  if (into.ParseFromString(piece)) return {};
  return fail(Code::kInternal, "the answer is not a valid " + into.GetTypeName());
}

class DrpcRemote final : public Remote {
 public:
  DrpcRemote(core::Env& env, core::Address address)
      : client_(env, address.path), address_(std::move(address)) {}

  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    CO_TRY_SET(const auto operation, operation_of(full_name, options, "dRPC"));
    CO_TRY_SET(const auto reply, co_await call(operation, request, std::move(options)));
    if (reply.reply_size() == 1) co_return read_proto(reply.reply(0), response);
    co_return fail(Code::kInternal, "the node answered " + operation.full_name() + " with " +
                                        std::to_string(reply.reply_size()) + " messages");
  }
  core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                       const Message* request,
                                                       CallOptions options) override {
    if (!request) co_return refuse_streams(full_name, "dRPC");
    CO_TRY_SET(const auto operation, operation_of(full_name, options, "dRPC"));
    CO_TRY_SET(const auto reply, co_await call(operation, *request, std::move(options)));
    std::vector<std::string> pieces(reply.reply().begin(), reply.reply().end());
    co_return std::make_unique<CollectedCall>(operation.method(), std::move(pieces), &read_proto);
  }
  bool connected() const override { return client_.is_connected(); }
  bool streams() const override { return false; }
  core::Task<void> close() override {
    client_.close();
    co_return;
  }

 private:
  core::Task<Result<drpc::v1::Reply>> call(const rpc::Operation& operation, const Message& request,
                                           CallOptions options) {
    if (operation.drpc_module == 0) {
      co_return fail(Code::kUnimplemented, operation.full_name() + " has no dRPC number");
    }
    if (auto done = co_await client_.connect(options.token); !done) {
      Error error = std::move(done).error();
      if (error.code != Code::kCancelled) error.code = Code::kUnavailable;
      co_return std::unexpected(std::move(error));
    }
    wire::drpc::CallOptions patience;
    patience.token = options.token;
    if (options.deadline != 0) {
      const core::Nanos now = core::Reactor::current()->now();
      patience.timeout = options.deadline > now ? options.deadline - now : 1;
    }
    drpc::v1::Reply reply;
    CO_TRY(co_await client_.call_messages(static_cast<std::int32_t>(operation.drpc_module),
                                          static_cast<std::int32_t>(operation.drpc_method), request,
                                          reply, std::move(patience)));
    if (reply.status() == 0) co_return reply;
    const bool known = reply.code() > 0 && reply.code() <= static_cast<int>(Code::kUnauthenticated);
    co_return fail(known ? static_cast<Code>(reply.code()) : Code::kUnknown, reply.message(),
                   reply.sys_errno());
  }

  wire::drpc::Client client_;
  core::Address address_;
};

}  // namespace

std::unique_ptr<Remote> make_jsonrpc_remote(core::Env& env, core::Address address) {
  return std::make_unique<JsonRpcRemote>(env, std::move(address));
}
std::unique_ptr<Remote> make_drpc_remote(core::Env& env, core::Address address) {
  return std::make_unique<DrpcRemote>(env, std::move(address));
}

}  // namespace capstan::client
