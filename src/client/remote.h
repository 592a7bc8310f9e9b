// Why this file exists: a node on whatever wire it is reached: calls by full name with protobuf
// messages over gRPC, Muxio, HTTP, JSON-RPC or dRPC, the same for whoever makes them. It connects
// when it is first needed. What a wire cannot carry is an error that says so: metadata and streamed
// requests do not travel over JSON-RPC and dRPC, and a streamed answer is there all at once at its
// end; streams() tells beforehand.
//
//     auto remote = make_remote(env, {Wire::kMuxio, {.address = core::Address::tcp("::1",
//     10124)}}); CO_TRY(co_await remote->unary("capstan.node.v1.NodeRpc/GetVersion", request,
//     answer, {})); co_await remote->close();   // before it is destroyed
//
// Over Muxio a stream whose messages are not taken holds up every other call of the same Remote
// (wire/muxio/client.h): take them while waiting for another call, or use a Remote for each.
// Errors: the node's own with their code; kUnavailable when it cannot be reached.
// Thread-safety: one core. Calls must end before close().
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "client/channel.h"
#include "wire/rest/negotiation.h"

namespace capstan::client {

enum class Wire : std::uint8_t { kGrpc, kMuxio, kJsonRpc, kDrpc, kHttp };

// A streaming call of any shape. Ends when it is destroyed.
class RemoteCall : public rpc::MessageSource, public rpc::MessageSink {
 public:
  virtual void finish_sending() = 0;
  // Waits for the end; answers further than those taken are an error.
  virtual core::Task<Result<void>> finish();
  virtual void cancel(Code reason) = 0;

 protected:
  explicit RemoteCall(const google::protobuf::MethodDescriptor& method) : method_(method) {}
  const google::protobuf::MethodDescriptor& method_;
};

class Remote {
 public:
  virtual ~Remote() = default;
  // `full_name` is "package.Service/Method". The messages must outlive the call.
  virtual core::Task<Result<void>> unary(std::string full_name, const Message& request,
                                         Message& response, CallOptions options) = 0;
  // With `request` (which must outlive the await) a call that takes one; without it requests are
  // sent one by one.
  virtual core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                               const Message* request,
                                                               CallOptions options) = 0;
  virtual bool connected() const = 0;
  virtual bool streams() const = 0;  // requests one by one, answers as they come
  virtual core::Task<void> close() = 0;
};

// A request that was answered with 502 (http-rpc section 15.4).
struct HttpAttempt {
  int number = 1;         // of this attempt
  bool last = false;      // it is not asked again
  core::Nanos pause = 0;  // until the next one
  std::string text;       // what the server said, as one line
};

// Told what goes over the wire: a log of calls (http-rpc section 14.4).
class HttpLog {
 public:
  virtual ~HttpLog() = default;
  struct Body {
    std::string_view bytes, type;  // the media type; "" when nothing says it
    bool secret = false;           // bytes of users, not to be shown
  };
  // The number of the exchange. `uri` is whole.
  virtual unsigned asked(const std::string& uri, const Body& body) = 0;
  // Once with the whole body, or of an endless answer with each piece.
  virtual void answered(unsigned number, unsigned status, const Body& body) = 0;
  virtual void failed(unsigned number, const Error& error) = 0;
};

struct HttpOptions {
  // What answers may be in; the first one is what requests are written in.
  wire::rest::MediaTypes media = {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary};
  std::string base_path = {};  // before every path: "", "/base"
  HttpLog* log = nullptr;      // outlives the remote
  std::function<void(const HttpAttempt&)> on_attempt = {};
};

struct RemoteOptions {
  Wire wire = Wire::kGrpc;
  ChannelOptions channel = {};  // address and TLS are of every wire, the rest is gRPC's
  HttpOptions http = {};
};
std::unique_ptr<Remote> make_remote(core::Env& env, RemoteOptions options);

// The parts of it.
std::unique_ptr<Remote> make_grpc_remote(core::Env& env, ChannelOptions options);
std::unique_ptr<Remote> make_muxio_remote(core::Env& env, ChannelOptions options);
std::unique_ptr<Remote> make_http_remote(core::Env& env, ChannelOptions options,
                                         HttpOptions http = {});
std::unique_ptr<Remote> make_jsonrpc_remote(core::Env& env, core::Address address);
std::unique_ptr<Remote> make_drpc_remote(core::Env& env, core::Address address);
// kUnimplemented when this program knows no such method.
Result<const google::protobuf::MethodDescriptor*> find_method(const std::string& full_name);

// A call with types.
template <class Request, class Response>
class RemoteStream {
 public:
  explicit RemoteStream(std::unique_ptr<RemoteCall> call) : call_(std::move(call)) {}
  core::Task<Result<void>> send(const Request& message) { return call_->send(message); }
  // False at the end with OK.
  core::Task<Result<bool>> next(Response& into) { return call_->next(into); }
  // For calls with one answer: ends sending, takes the answer and the status.
  core::Task<Result<Response>> answer() {
    call_->finish_sending();
    Response response;
    CO_TRY_SET(const bool got, co_await call_->next(response));
    if (!got) co_return fail(Code::kInternal, "the server ended the call without an answer");
    CO_TRY(co_await call_->finish());
    co_return response;
  }
  core::Task<Result<void>> finish() { return call_->finish(); }

 private:
  std::unique_ptr<RemoteCall> call_;
};

}  // namespace capstan::client
