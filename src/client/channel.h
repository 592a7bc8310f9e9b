// Why this file exists: how programs of ours call a node: a Channel names an address, connects when
// it is first needed, reconnects with growing pauses, and carries any number of calls over one
// connection. With client/forward.h it is a service itself, which is what a gateway is made of.
//
//     Channel channel(env, {.address = core::Address::tcp("127.0.0.1", 10124)});
//     ListPoolsResponse pools;
//     auto listed = co_await channel.unary("mayastor.v1.PoolRpc/ListPools", {}, pools, {});
//     co_await channel.close();   // before it is destroyed
//
// A call that certainly was not processed (refused stream, GOAWAY) is repeated once by itself.
// Thread-safety: one core. Calls must end before close().
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/env.h"
#include "core/scope.h"
#include "core/sync.h"
#include "rpc/directory.h"
#include "wire/grpc/client_session.h"
#include "wire/tls/tls_engine.h"

namespace capstan::client {

using rpc::Message;
using wire::CallOptions;
using wire::MetadataList;

struct ChannelOptions {
  core::Address address = {};
  std::string authority = {};  // empty: the address
  std::string user_agent = "capstan";
  std::shared_ptr<const wire::TlsContext> tls = nullptr;  // null: plain text
  std::string tls_host = {};  // what the certificate must name; empty: the address's host
  std::size_t receive_message_bytes = limits::kGrpcClientReceiveMessageBytes;
  // Said with every call: authorization, traceparent. Over Muxio with the upgrade request, whose
  // headers hold for all calls; wires of Unix sockets that have no headers leave it out.
  MetadataList metadata = {};
  core::Nanos backoff_max = limits::kChannelBackoffNanosMax;  // between attempts to connect
};

// What came with an answer.
struct CallEnd {
  MetadataList headers, trailers;
  bool reached = false;    // there was a connection to send the call on
  bool by_server = false;  // the server ended the call, well or with an error of its own
};

// A streaming call of any shape: what its kind does not stream is used once. Ends when destroyed.
template <class Request, class Response>
class StreamCall {
 public:
  explicit StreamCall(std::unique_ptr<wire::ClientCall> call) : call_(std::move(call)) {}
  core::Task<Result<void>> send(const Request& message) { return call_->send(message); }
  void finish_sending() { call_->finish_sending(); }
  // False at the end with OK.
  core::Task<Result<bool>> next(Response& into) { return call_->next(into); }
  // For calls with one answer: ends sending, takes the answer and the status.
  core::Task<Result<Response>> answer();
  core::Task<Result<void>> finish() { return call_->finish(); }
  void cancel() { call_->cancel(Code::kCancelled); }
  const MetadataList& trailers() const { return call_->trailers(); }

 private:
  std::unique_ptr<wire::ClientCall> call_;
};

class Channel {
 public:
  Channel(core::Env& env, ChannelOptions options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // `full_name` is "package.Service/Method". `trailers`, if given, is filled also on errors.
  // The messages must outlive the call.
  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options, MetadataList* trailers = nullptr);
  // The same with all that came with the answer, also on errors.
  core::Task<Result<void>> unary_call(std::string full_name, const Message& request,
                                      Message& response, CallOptions options, CallEnd& end);
  // A streaming call whose requests are sent one by one.
  core::Task<Result<std::unique_ptr<wire::ClientCall>>> open(std::string full_name,
                                                             CallOptions options);
  // Typed: client streams and bidirectional ones.
  template <class Request, class Response>
  core::Task<Result<StreamCall<Request, Response>>> stream(std::string full_name,
                                                           CallOptions options);
  // Typed: one request, streamed answers.
  template <class Request, class Response>
  core::Task<Result<StreamCall<Request, Response>>> server_stream(std::string full_name,
                                                                  Request request,
                                                                  CallOptions options);

  // `duration` from now, for CallOptions::deadline.
  core::Nanos deadline_in(core::Nanos duration) const;
  bool connected() const { return session_ && session_->usable(); }
  // The server is known to be there (again): the next call connects without waiting.
  void retry_now();
  const ChannelOptions& options() const { return options_; }
  core::Task<void> close();

 private:
  core::Task<Result<std::shared_ptr<wire::ClientSession>>> ready(CallOptions options);
  core::Task<void> connect();
  core::Task<void> run_session(std::shared_ptr<wire::ClientSession> session);
  std::unique_ptr<core::Stream> wrap(std::unique_ptr<core::Stream> stream) const;
  void add_metadata(CallOptions& options) const;
  void connect_failed(Error error);

  core::Env& env_;
  core::Reactor& reactor_;
  ChannelOptions options_;
  core::Scope scope_;
  std::shared_ptr<wire::ClientSession> session_;
  core::Event changed_;  // an attempt ended, or a waiting call has to look again
  bool connecting_ = false, closed_ = false;
  std::uint64_t attempts_ = 0;  // that ended
  core::Nanos retry_at_ = 0, backoff_;
  Error last_error_;
};

// --- templates ----------------------------------------------------------------------------------

template <class Request, class Response>
core::Task<Result<Response>> StreamCall<Request, Response>::answer() {
  call_->finish_sending();
  Response response;
  CO_TRY_SET(const bool got, co_await call_->next(response));
  if (!got) co_return fail(Code::kInternal, "the server ended the call without an answer");
  CO_TRY(co_await call_->finish());
  co_return response;
}

template <class Request, class Response>
core::Task<Result<StreamCall<Request, Response>>> Channel::stream(std::string full_name,
                                                                  CallOptions options) {
  CO_TRY_SET(auto call, co_await open(std::move(full_name), std::move(options)));
  co_return StreamCall<Request, Response>(std::move(call));
}

template <class Request, class Response>
core::Task<Result<StreamCall<Request, Response>>> Channel::server_stream(std::string full_name,
                                                                         Request request,
                                                                         CallOptions options) {
  CO_TRY_SET(auto call, co_await open(std::move(full_name), std::move(options)));
  CO_TRY(co_await call->send(request));
  call->finish_sending();
  co_return StreamCall<Request, Response>(std::move(call));
}

}  // namespace capstan::client
