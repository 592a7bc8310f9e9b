// Why this file exists: what a command works with: the way to the node, the printer, the
// environment, and the limits the user set. Errors of calls are the server's own; errors of the
// user's input are marked as usage errors, so that main() gives each its exit code.
// Lifetime: one per run of the program; everything it refers to outlives it.
#pragma once

#include <google/protobuf/empty.pb.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "apps/capstan/printer.h"
#include "base/result.h"
#include "client/remote.h"
#include "core/env.h"
#include "core/os_file.h"

namespace capstan::apps {

// Marks errors that are the user's to correct (exit code 2). The server never sends this errno.
inline constexpr int kUsageErrno = -2;
// Marks errors that are told in the words of http-rpc section 14.1, with exit code 1.
inline constexpr int kFatalErrno = -4;

class Session {
 public:
  // A new way to the same node.
  using Connect = std::function<std::unique_ptr<client::Remote>()>;
  Session(core::Env& env, const client::RemoteOptions& way, client::Remote& remote, Connect connect,
          Printer& out, core::Nanos timeout, core::CancelToken token, core::Terminal terminal)
      : env_(env),
        way_(way),
        remote_(remote),
        connect_(std::move(connect)),
        out_(out),
        timeout_(timeout),
        token_(std::move(token)),
        terminal_(terminal) {}

  core::Env& env() { return env_; }
  Printer& out() { return out_; }
  const core::CancelToken& token() const { return token_; }
  core::Terminal terminal() const { return terminal_; }
  // How the node is reached.
  const client::RemoteOptions& way() const { return way_; }
  bool over_http() const { return way_.wire == client::Wire::kHttp; }
  client::Remote& remote() { return remote_; }
  // For commands that outlive a connection. Closed by its user.
  std::unique_ptr<client::Remote> connect_again() const { return connect_(); }

  // One unary call, "mayastor.v1.PoolRpc/ListPools", within the user's timeout. `metadata` says
  // what the API's message has no field for.
  template <class Response, class Request>
  core::Task<Result<Response>> call(std::string method, Request request,
                                    client::MetadataList metadata = {}) {
    Response response;
    client::CallOptions options = within_timeout();
    options.metadata = std::move(metadata);
    const core::Nanos deadline = options.deadline;
    auto done = co_await remote_.unary(std::move(method), request, response, std::move(options));
    if (!done) co_return std::unexpected(timed_out(std::move(done).error(), deadline));
    heard_ = true;
    co_return response;
  }
  // The same for calls that answer google.protobuf.Empty.
  template <class Request>
  core::Task<Result<void>> order(std::string method, Request request) {
    CO_TRY(co_await call<google::protobuf::Empty>(std::move(method), std::move(request)));
    co_return Result<void>();
  }
  // Calls that take as long as they take: until they end or the user interrupts.
  template <class Response, class Request>
  core::Task<Result<client::RemoteStream<Request, Response>>> open(std::string method,
                                                                   Request request) {
    CO_TRY_SET(auto call, co_await remote_.open(std::move(method), &request, without_timeout()));
    co_return client::RemoteStream<Request, Response>(std::move(call));
  }
  template <class Request, class Response>
  core::Task<Result<client::RemoteStream<Request, Response>>> open_upload(std::string method) {
    CO_TRY_SET(auto call, co_await remote_.open(std::move(method), nullptr, without_timeout()));
    co_return client::RemoteStream<Request, Response>(std::move(call));
  }
  // Whether requests and answers may travel one by one on this wire.
  bool streams() const { return remote_.streams(); }
  // Whether the server is reached now.
  bool connected() const { return remote_.connected(); }
  // The server has answered something.
  void heard() { heard_ = true; }
  bool has_heard() const { return heard_; }
  bool quiet() const { return out_.quiet(); }

  client::CallOptions within_timeout() const;
  client::CallOptions without_timeout() const;
  // Names --timeout when it is what ran out, at `deadline`: a node or a gateway may have a limit of
  // its own, which its error names. Any other error stays what it is.
  Error timed_out(Error error, core::Nanos deadline) const;

  // The sentence that ends an order; `null` as JSON, nothing with -q.
  void done(std::string_view sentence);

  static std::unexpected<Error> usage_error(std::string message) {
    return fail(Code::kInvalidArgument, std::move(message), kUsageErrno);
  }
  // What the user named does not exist, exists already or cannot be read as what it should be.
  template <class T>
  static Result<T> usage(Result<T> result) {
    if (result) return result;
    const Code code = result.error().code;
    if (code == Code::kInvalidArgument || code == Code::kNotFound || code == Code::kAlreadyExists) {
      result.error().sys_errno = kUsageErrno;
    }
    return result;
  }

 private:
  core::Env& env_;
  const client::RemoteOptions& way_;
  client::Remote& remote_;
  Connect connect_;
  Printer& out_;
  core::Nanos timeout_;
  core::CancelToken token_;
  core::Terminal terminal_;
  bool heard_ = false;
};

}  // namespace capstan::apps
