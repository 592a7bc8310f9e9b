// Why this file exists: an HTTP server as calls see it, whatever they ask of it: where it is, what
// stands before every path, where a redirect may lead, and how often a 502 is asked again (http-rpc
// sections 15.2 and 15.4). Lifetime: env outlives it. Thread-safety: one core.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/remote.h"
#include "wire/rest/client_connection.h"

namespace capstan::client {

class HttpOrigin {
 public:
  HttpOrigin(core::Env& env, ChannelOptions channel, HttpOptions http);

  const ChannelOptions& channel() const { return channel_; }
  const HttpOptions& http() const { return http_; }
  const std::string& accept() const { return accept_; }
  // A new connection; its run() is its user's. kUnavailable when there is none.
  core::Task<Result<std::shared_ptr<wire::rest::ClientConnection>>> connect(
      core::CancelToken token) const;
  // Why a connection of this server's gave no answer, with the server's name.
  Error unanswered(Error error) const;
  // A path and query below the base path.
  std::string target(std::string_view path) const { return http_.base_path + std::string(path); }
  std::string uri(std::string_view target) const;
  // Where a redirect leads; counts it. Only to this server: the headers hold what says who is
  // calling, which is no other server's business. kUnavailable says what is wrong with it.
  Result<std::string> redirected(const wire::Http1Response& head, int& redirects) const;

 private:
  std::string origin() const;

  core::Env& env_;
  ChannelOptions channel_;
  HttpOptions http_;
  std::string accept_;
};

// What follows attempt `number` (from 1) that was answered with 502.
HttpAttempt attempt_answered_502(int number, bool may_be_repeated, std::string text);

// What an answer says that is none; its body is waited for until `connection` fails.
core::Task<std::string> refusal_body(std::shared_ptr<wire::rest::ClientConnection> connection);

}  // namespace capstan::client
