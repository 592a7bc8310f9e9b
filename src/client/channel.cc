// Why this file exists: connecting once for many callers, and calls on whatever connection there
// is.
#include "client/channel.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "wire/grpc/tls_stream.h"

namespace capstan::client {

Channel::Channel(core::Env& env, ChannelOptions options)
    : env_(env),
      reactor_(*core::Reactor::current()),
      options_(std::move(options)),
      backoff_(limits::kChannelBackoffNanosMin) {
  if (options_.authority.empty()) {
    options_.authority =
        options_.address.kind == core::Address::Kind::kTcp ? options_.address.text() : "localhost";
  }
}

Channel::~Channel() {
  CAPSTAN_ASSERT(scope_.children() == 0);
}  // close() first

core::Nanos Channel::deadline_in(core::Nanos duration) const {
  return reactor_.now() + duration;
}

void Channel::retry_now() {
  retry_at_ = 0;
  backoff_ = limits::kChannelBackoffNanosMin;
  changed_.notify_all();
}

core::Task<void> Channel::close() {
  closed_ = true;
  scope_.cancel();
  changed_.notify_all();
  co_await scope_.join();
}

// --- connecting ---------------------------------------------------------------------------------

std::unique_ptr<core::Stream> Channel::wrap(std::unique_ptr<core::Stream> stream) const {
  if (!options_.tls) return stream;
  return wire::make_tls_stream(
      std::move(stream), *options_.tls,
      options_.tls_host.empty() ? options_.address.host : options_.tls_host);
}

void Channel::connect_failed(Error error) {
  // The system's own errors name the address already.
  const std::string where =
      error.sys_errno == 0 ? "cannot connect to " + options_.address.text() + ": " : "";
  last_error_ = {Code::kUnavailable, error.sys_errno, where + error.text(), {}};
  // Up to a fifth more than planned, so that many clients do not come back at the same moment.
  std::array<std::uint8_t, 4> random{};
  env_.fill_random(random);
  const core::Nanos jitter = backoff_ / 5 * load_le<std::uint32_t>(random.data()) / 0xFFFFFFFFU;
  retry_at_ = reactor_.now() + backoff_ + jitter;
  backoff_ = std::min(backoff_ * 2, options_.backoff_max);
}

core::Task<void> Channel::connect() {
  auto stream = co_await env_.network().connect(options_.address, scope_.token());
  if (!stream) {
    connect_failed(std::move(stream).error());
  } else if (!closed_) {
    wire::ClientOptions session;
    session.authority = options_.authority;
    session.user_agent = options_.user_agent;
    session.scheme = options_.tls ? "https" : "http";
    session.receive_message_bytes = options_.receive_message_bytes;
    session_ = std::make_shared<wire::ClientSession>(reactor_, wrap(*std::move(stream)),
                                                     std::move(session));
    scope_.spawn(run_session(session_));
  }
  connecting_ = false;
  ++attempts_;
  changed_.notify_all();
}

core::Task<void> Channel::run_session(std::shared_ptr<wire::ClientSession> session) {
  const core::Nanos begun = reactor_.now();
  // Also one that drains and is no longer session_.
  const core::CancelCallback on_close(scope_.token(),
                                      [session] { session->abort("the channel was closed"); });
  co_await session->run();
  if (session_ == session) session_.reset();
  // A server that accepts and drops at once is as unavailable as one that refuses.
  if (reactor_.now() - begun >= core::kSecond) {
    backoff_ = limits::kChannelBackoffNanosMin;
  } else if (!closed_) {
    connect_failed({Code::kUnavailable,
                    0,
                    session->reason().empty() ? "the connection was closed" : session->reason(),
                    {}});
  }
}

core::Task<Result<std::shared_ptr<wire::ClientSession>>> Channel::ready(CallOptions options) {
  const auto wake = [this] { changed_.notify_all(); };
  core::CancelCallback cancelled(options.token, wake);
  core::Timer timer(wake);
  const auto seen = attempts_;
  while (true) {
    CO_TRY(options.token.check());
    if (closed_) co_return fail(Code::kCancelled, "the channel is closed");
    if (session_ && session_->usable()) co_return session_;
    const core::Nanos now = reactor_.now();
    if (options.deadline != 0 && now >= options.deadline) {
      std::string cause = last_error_.message.empty() ? "" : " (" + last_error_.message + ")";
      co_return fail(Code::kDeadlineExceeded,
                     "deadline exceeded while connecting to " + options_.address.text() + cause);
    }
    core::Nanos wake_at = options.deadline;
    if (!connecting_ && now < retry_at_) {
      if (!options.wait_for_ready) co_return std::unexpected(last_error_);
      wake_at = wake_at == 0 ? retry_at_ : std::min(wake_at, retry_at_);
    } else if (!connecting_) {
      if (attempts_ != seen && !options.wait_for_ready && !last_error_.message.empty()) {
        co_return std::unexpected(last_error_);
      }
      connecting_ = true;
      scope_.spawn(connect());
    }
    if (wake_at != 0) timer.arm_at(reactor_, wake_at);
    co_await changed_.wait();
  }
}

// --- calls --------------------------------------------------------------------------------------

void Channel::add_metadata(CallOptions& options) const {
  options.metadata.insert(options.metadata.end(), options_.metadata.begin(),
                          options_.metadata.end());
}

core::Task<Result<void>> Channel::unary(std::string full_name, const Message& request,
                                        Message& response, CallOptions options,
                                        MetadataList* trailers) {
  CallEnd end;
  auto result =
      co_await unary_call(std::move(full_name), request, response, std::move(options), end);
  if (trailers) *trailers = std::move(end.trailers);
  co_return result;
}

core::Task<Result<void>> Channel::unary_call(std::string full_name, const Message& request,
                                             Message& response, CallOptions options, CallEnd& end) {
  add_metadata(options);
  for (bool again = false;; again = true) {
    end.reached = false;
    CO_TRY_SET(auto session, co_await ready(options));
    wire::ClientCall call(std::move(session));
    Result<bool> got = false;
    end.reached = true;
    if (auto begun = call.begin(full_name, options, &request); !begun) {
      got = std::unexpected(std::move(begun).error());
    } else {
      got = co_await call.next(response);
    }
    Result<void> result;
    if (!got) {
      if (call.unprocessed() && !again) continue;
      result = std::unexpected(std::move(got).error());
    } else if (!*got) {
      result = fail(Code::kInternal, "the server answered OK without a message");
    } else {
      result = co_await call.finish();
    }
    end = {call.headers(), call.trailers(), true, call.ended_by_server()};
    co_return result;
  }
}

core::Task<Result<std::unique_ptr<wire::ClientCall>>> Channel::open(std::string full_name,
                                                                    CallOptions options) {
  add_metadata(options);
  CO_TRY_SET(auto session, co_await ready(options));
  auto call = std::make_unique<wire::ClientCall>(std::move(session));
  CO_TRY(call->begin(full_name, options, nullptr));
  co_return call;
}

}  // namespace capstan::client
