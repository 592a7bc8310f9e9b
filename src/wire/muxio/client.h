// Why this file exists: the client half of Muxio for programs of ours: connects (WebSocket over
// TCP, or plain frames over a Unix socket), then carries any number of calls over the one
// connection. May serve calls of the server as well.
//
//     Client client(env, {.address = core::Address::tcp("127.0.0.1", 10124)});
//     CO_TRY(co_await client.connect({}));
//     CO_TRY(co_await client.unary("capstan.node.v1.NodeRpc/GetVersion", request, response, {}));
//     co_await client.close();   // before it is destroyed
//
// Muxio has no flow control per call: while more than 1 MiB of a stream's messages wait to be taken
// with next(), nothing of the connection is read, and so no other call of it is answered. Take a
// stream's messages while waiting for a unary call, or give either a connection of its own.
// Thread-safety: one core. Calls must end before close().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/env.h"
#include "core/scope.h"
#include "wire/muxio/client_call.h"
#include "wire/muxio/session.h"

namespace capstan::wire::muxio {

struct ClientOptions {
  core::Address address = {};
  std::string path = "/ws";  // of the WebSocket
  std::string host = {};     // as the server is to hear it; empty: the address
  std::string headers = {};  // of the upgrade request besides its own, as whole lines
  // What is spoken below the WebSocket, as TLS is; null: nothing.
  std::function<std::unique_ptr<core::Stream>(std::unique_ptr<core::Stream>)> wrap = {};
  std::size_t header_bytes = kLongHeaderBytes;
  core::Nanos connect_timeout = limits::kDoorNanos;
  core::Nanos silence_limit = 4 * limits::kMuxioPingNanos;  // a server that says nothing is gone
  Served served = {};                                       // for calls of the server
};

class Client {
 public:
  Client(core::Env& env, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Once. kUnavailable when the server cannot be reached or does not speak this.
  core::Task<Result<void>> connect(core::CancelToken token);
  // Over a stream that exists already, its WebSocket (if any) open.
  void attach(std::unique_ptr<core::Stream> stream, std::string prefix, Link::Framing framing);
  bool connected() const { return session_ && !session_->link().closed(); }

  // `full_name` as in the Directory; protobuf payloads.
  core::Task<Result<void>> unary(std::string full_name, const rpc::Message& request,
                                 rpc::Message& response, core::CancelToken token);
  // Any method by its Muxio name; arguments and result as its codec has them.
  core::Task<Result<std::string>> raw(std::string_view name, std::string arguments,
                                      core::CancelToken token);
  // Streaming calls; with a request for operations that take one.
  Result<std::unique_ptr<ClientCall>> open(std::string_view full_name, const rpc::Message* request);

  // Says goodbye and waits for the end of the connection.
  core::Task<void> close();
  const Counters& counters() const { return counters_; }

 private:
  core::Task<Result<std::string>> upgrade(core::Stream& stream);
  static core::Task<void> write_request(core::Stream* stream, const std::string* request,
                                        Result<void>* done);
  static core::Task<Result<std::string>> read_answer(core::Stream* stream, std::string key);
  core::Task<void> run();
  Result<Session*> session();

  core::Env& env_;
  ClientOptions options_;
  Counters counters_;
  std::unique_ptr<Session> session_;
  core::Scope scope_;
};

}  // namespace capstan::wire::muxio
