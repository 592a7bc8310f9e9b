// Why this file exists: the client half of JSON-RPC: one connection, any number of calls at once,
// answers matched to calls by id in whatever order they come.
//
//     CO_TRY_SET(auto client, co_await Client::connect(env, address, token));
//     const auto reply = co_await client->call("log_set_level", "{\"level\":\"INFO\"}");
//     …
//     co_await client->close();   // before the client is destroyed
//
// A failed call is a Reply with `failed`; an Error means that there is no answer: the connection
// broke (kUnavailable), the server spoke something else (kInternal), the deadline passed.
// Thread-safety: one core. The client outlives its calls.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/jsonrpc/jsonrpc_codec.h"

namespace capstan::wire::jsonrpc {

struct Reply {
  bool failed = false;
  std::int64_t code = 0;  // of a failed one, with its message
  std::string message;
  std::string result;  // JSON
};

// A failed reply as an Error: the text, the errno of a code that is one, and the canonical code
// that jsonrpc section C.2 or the errno gives.
Error error_of(const Reply& reply);

struct ClientCall {
  std::string method;
  std::string params;  // JSON object or array; empty: none
};

class Client {
 public:
  static core::Task<Result<std::unique_ptr<Client>>> connect(core::Env& env, core::Address address,
                                                             core::CancelToken token = {});
  explicit Client(std::unique_ptr<core::Stream> stream);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `deadline` is of the reactor's clock; 0 = none. An answer that comes later is dropped.
  core::Task<Result<Reply>> call(std::string method, std::string params = {},
                                 core::Nanos deadline = 0);
  // One text; the replies in the order of the calls.
  core::Task<Result<std::vector<Reply>>> batch(std::vector<ClientCall> calls,
                                               core::Nanos deadline = 0);
  // The server answers nothing unless it fails; see complaint().
  core::Task<Result<void>> notify(std::string method, std::string params = {});
  // The last answer without an id: what became of a notification that failed.
  const std::optional<Reply>& complaint() const { return complaint_; }
  // No more calls will be made; answers still come.
  void half_close() { stream_->shutdown_write(); }
  // Calls in flight fail; returns once nothing runs any more.
  core::Task<void> close();

 private:
  struct Waiter;

  core::Task<void> read_loop();
  void take(const ReplyView& view);
  void fail_all(Error error);
  core::Task<Result<void>> write(std::string text);
  core::Task<Result<std::vector<Reply>>> wait(Waiter& waiter, core::Nanos deadline);

  std::unique_ptr<core::Stream> stream_;
  core::Mutex writing_;
  core::Scope scope_;
  TextDecoder decoder_;
  std::map<std::uint64_t, std::pair<Waiter*, std::size_t>> waiting_;  // by id: whose, which
  std::uint64_t next_id_ = 1;
  std::optional<Reply> complaint_;
  std::optional<Error> error_;  // why there will be no more answers
};

}  // namespace capstan::wire::jsonrpc
