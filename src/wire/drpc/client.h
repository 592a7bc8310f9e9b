// Why this file exists: the client half of dRPC: one connection, one call at a time (later ones
// wait their turn), replies held against the call's sequence. Unlike DAOS's Go client it is not
// connected any more after any error of framing, sequence or I/O, so a late reply is never taken
// for another call's (drpc sections 6 and 9).
//
//     Client client(env, "/run/x.sock");
//     CO_TRY(co_await client.connect());
//     CO_TRY_SET(Response reply, co_await client.call(77, 1, as_bytes("hello"), {}));
//     if (reply.status != Status::kSuccess) …
// Thread-safety: one core.
#pragma once

#include <google/protobuf/message_lite.h>

#include <memory>
#include <string>

#include "core/env.h"
#include "core/sync.h"
#include "wire/drpc/message_io.h"

namespace capstan::wire::drpc {

struct ClientOptions {
  bool legacy = false;  // speak as DAOS before 2.8
  std::size_t message_bytes = limits::kDrpcMessageBytes;
};

struct CallOptions {
  core::Nanos timeout = 0;  // from when the call is sent; 0 = none
  core::CancelToken token;
};

// Any status is a response; only its own errors are errors of the call.
struct Response {
  std::int64_t sequence = 0;
  Status status = Status::kSuccess;
  Body body;
};

class Client {
 public:
  // No I/O; not connected. `env` outlives the client.
  Client(core::Env& env, std::string path, const ClientOptions& options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Success when it is connected already. Sequences start again.
  core::Task<Result<void>> connect(core::CancelToken token = {});
  // Whether there is a connection, not whether its other side lives.
  bool is_connected() const { return connection_ != nullptr && !closing_; }
  // A call in flight ends with kCancelled. Success when it is not connected.
  void close();

  // `body` lives until the call returns. kFailedPrecondition: not connected. kCancelled and
  // kDeadlineExceeded come from the options.
  core::Task<Result<Response>> call(std::int32_t module, std::int32_t method, ByteView body,
                                    CallOptions options);
  // Messages instead of bytes. A status other than SUCCESS and a reply that does not parse are
  // errors; `request` and `reply` live until the call returns.
  core::Task<Result<void>> call_messages(std::int32_t module, std::int32_t method,
                                         const google::protobuf::MessageLite& request,
                                         google::protobuf::MessageLite& reply, CallOptions options);

 private:
  struct Connection;
  core::Task<Result<Response>> exchange(std::int32_t module, std::int32_t method, ByteView body,
                                        CallOptions options);
  core::Task<Result<Response>> receive(std::int64_t sequence);

  core::Env& env_;
  std::string path_;
  ClientOptions options_;
  std::unique_ptr<Connection> connection_;
  core::Mutex busy_;
  std::int64_t sequence_ = 0;
  bool closing_ = false;  // close() came while a call was in flight
};

}  // namespace capstan::wire::drpc
