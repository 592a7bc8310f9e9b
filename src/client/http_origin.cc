// Why this file exists: see http_origin.h.
#include "client/http_origin.h"

#include <utility>

#include "client/http_headers.h"
#include "wire/grpc/tls_stream.h"

namespace capstan::client {

namespace {

using Connection = std::shared_ptr<wire::rest::ClientConnection>;

constexpr int kAttempts = 10;  // of a request that is answered with 502
constexpr core::Nanos kAttemptPause = 100 * core::kMillisecond;
constexpr int kRedirects = 20;
constexpr std::size_t kRefusalBytes = 64U << 10;  // of an answer that says why it is none

}  // namespace

HttpOrigin::HttpOrigin(core::Env& env, ChannelOptions channel, HttpOptions http)
    : env_(env),
      channel_(std::move(channel)),
      http_(std::move(http)),
      accept_(accept_header(http_.media)) {
  if (!channel_.authority.empty()) return;
  const bool tcp = channel_.address.kind == core::Address::Kind::kTcp;
  channel_.authority = tcp ? channel_.address.text() : "localhost";
}

core::Task<Result<Connection>> HttpOrigin::connect(core::CancelToken token) const {
  auto stream = co_await env_.network().connect(channel_.address, std::move(token));
  if (!stream) {
    Error error = std::move(stream).error();
    // The system's own errors name the address already.
    if (error.sys_errno == 0)
      error = std::move(error).within("connect to " + channel_.address.text());
    if (error.code != Code::kCancelled) error.code = Code::kUnavailable;
    co_return std::unexpected(std::move(error));
  }
  std::unique_ptr<core::Stream> wrapped = *std::move(stream);
  if (channel_.tls) {
    wrapped = wire::make_tls_stream(
        std::move(wrapped), *channel_.tls,
        channel_.tls_host.empty() ? channel_.address.host : channel_.tls_host);
  }
  co_return std::make_shared<wire::rest::ClientConnection>(std::move(wrapped));
}

Error HttpOrigin::unanswered(Error error) const {
  if (error.code != Code::kUnavailable) return error;
  return std::move(error).within("no answer from " + origin());
}

std::string HttpOrigin::origin() const {
  return (channel_.tls ? "https://" : "http://") + channel_.authority;
}

std::string HttpOrigin::uri(std::string_view target) const {
  return origin() + std::string(target);
}

Result<std::string> HttpOrigin::redirected(const wire::Http1Response& head, int& redirects) const {
  const auto location = head.last("location");
  if (!location) return fail(Code::kUnavailable, "the node redirects without saying where");
  if (++redirects > kRedirects) {
    return fail(Code::kUnavailable,
                "more than 20 redirects, the last one to " + std::string(*location));
  }
  std::string_view target = *location;
  const std::string here = origin();
  if (target.starts_with(here)) target.remove_prefix(here.size());
  if (!target.starts_with('/') || target.starts_with("//")) {
    return fail(Code::kUnavailable, "the call is redirected to " + std::string(*location) +
                                        ", which is another server. Give that one as the address");
  }
  return std::string(target.substr(0, target.find('#')));
}

HttpAttempt attempt_answered_502(int number, bool may_be_repeated, std::string text) {
  HttpAttempt attempt;
  attempt.number = number;
  attempt.last = number >= kAttempts || !may_be_repeated;
  if (!attempt.last) attempt.pause = kAttemptPause * static_cast<core::Nanos>(number - 1);
  attempt.text = std::move(text);
  return attempt;
}

core::Task<std::string> refusal_body(Connection connection) {
  std::string body;
  while (true) {
    body += connection->take();
    if (connection->failure() || connection->body_ended() || body.size() > kRefusalBytes) break;
    co_await connection->changed().wait();
  }
  co_return body;
}

}  // namespace capstan::client
