// Why this file exists: see http_exchange.h.
#include "client/http_exchange.h"

#include <utility>

#include "client/http_headers.h"
#include "wire/rest/answer_reader.h"

namespace capstan::client {

namespace {

using wire::rest::ClientConnection;

class Exchange {
 public:
  Exchange(core::Env& env, RemoteOptions options, HttpAsk ask, CallOptions call, HttpTake take)
      : origin_(env, std::move(options.channel), std::move(options.http)),
        ask_(std::move(ask)),
        call_(std::move(call)),
        take_(std::move(take)),
        source_(call_.token),
        timer_([this] { source_.fire(Code::kDeadlineExceeded); }),
        leave_(source_.token(), [this] { give_up(); }) {
    request_.method = ask_.method;
    request_.target = origin_.target(ask_.target);
    request_.has_body = ask_.body.has_value();
    request_.body = ask_.body.value_or("");
    if (request_.has_body) request_.media = ask_.media;
    if (call_.deadline != 0) timer_.arm_at(*core::Reactor::current(), call_.deadline);
    if (ask_.endless) call_.deadline = 0;  // which would be said to the server
  }

  core::Task<Result<void>> run() {
    Result<bool> again = true;
    while (again && *again) {
      again = co_await attempt();
      if (connection_) connection_->cut({Code::kUnavailable, 0, "the exchange is over", {}});
      co_await scope_.join();
    }
    if (again) co_return Result<void>();
    if (auto* log = origin_.http().log; log && sent_) log->failed(number_, again.error());
    co_return std::unexpected(std::move(again).error());
  }

 private:
  void give_up() {
    const bool late = source_.token().reason() == Code::kDeadlineExceeded;
    const char* why = late ? "deadline exceeded" : "the call was cancelled";
    if (connection_) connection_->cut({source_.token().reason(), 0, why, {}});
  }
  core::Task<Result<bool>> attempt();
  core::Task<Result<bool>> answer();
  core::Task<Result<bool>> bad_gateway();
  Result<void> give(std::string_view piece, bool last);
  void log_answer(std::string_view body) {
    if (!origin_.http().log) return;
    const auto& head = *connection_->head();
    origin_.http().log->answered(number_, head.status,
                                 {body, head.last("content-type").value_or(""), ask_.secret});
  }

  HttpOrigin origin_;
  HttpAsk ask_;
  CallOptions call_;
  HttpTake take_;
  core::CancelSource source_;
  core::Timer timer_;
  wire::rest::OutgoingRequest request_;
  std::shared_ptr<ClientConnection> connection_;
  core::Scope scope_;
  std::string logged_;
  unsigned number_ = 0;
  int attempts_ = 0, redirects_ = 0;
  bool sent_ = false;
  core::CancelCallback leave_;
};

// True: it is to be asked again.
core::Task<Result<bool>> Exchange::attempt() {
  const auto token = source_.token();
  connection_ = nullptr;
  CO_TRY(token.check());
  CO_TRY_SET(std::string text,
             http_head(origin_.channel(), call_, origin_.accept(), request_, false));
  auto connected = co_await origin_.connect(token);
  CO_TRY(token.check());
  CO_TRY_SET(connection_, std::move(connected));
  scope_.spawn(ClientConnection::run(connection_));
  connection_->begin();
  connection_->send(text += request_.body);
  connection_->end_request();
  sent_ = true;
  if (auto* log = origin_.http().log) {
    const auto type = request_.media ? rpc::media_name(*request_.media) : std::string_view();
    number_ = log->asked(origin_.uri(request_.target), {request_.body, type, ask_.secret});
  }
  while (!connection_->head() && !connection_->failure()) co_await connection_->changed().wait();
  if (!connection_->head()) {
    co_return std::unexpected(origin_.unanswered(*connection_->failure()));
  }
  co_return co_await answer();
}

core::Task<Result<bool>> Exchange::bad_gateway() {
  const auto& head = *connection_->head();
  const std::string body = co_await refusal_body(connection_);
  CO_TRY(source_.token().check());
  log_answer(body);
  const auto attempt = attempt_answered_502(++attempts_, ask_.method == "GET" || ask_.repeatable,
                                            wire::rest::error_of_answer(head, body).text());
  if (origin_.http().on_attempt) origin_.http().on_attempt(attempt);
  if (attempt.last) {
    CO_TRY(take_(head, body, true));
    co_return false;
  }
  if (attempt.pause != 0) CO_TRY(co_await core::sleep_for(attempt.pause, source_.token()));
  co_return true;
}

Result<void> Exchange::give(std::string_view piece, bool last) {
  if (!ask_.endless) {
    if (origin_.http().log) logged_ += piece;
    if (last) log_answer(logged_);
  } else if (!piece.empty()) {
    log_answer(piece);
  }
  return take_(*connection_->head(), piece, last);
}

core::Task<Result<bool>> Exchange::answer() {
  const auto& head = *connection_->head();
  if (head.status == 502) co_return co_await bad_gateway();
  if (head.status == 301 || head.status == 307 || head.status == 308) {
    log_answer({});
    CO_TRY_SET(request_.target, origin_.redirected(head, redirects_));
    co_return true;
  }
  if (ask_.endless) timer_.disarm();
  while (true) {
    const std::string piece = connection_->take();
    const bool last = connection_->body_ended();
    CO_TRY(give(piece, last));
    if (last) co_return false;
    if (connection_->failure()) co_return std::unexpected(*connection_->failure());
    co_await connection_->changed().wait();
  }
}

}  // namespace

core::Task<Result<void>> http_exchange(core::Env& env, RemoteOptions options, HttpAsk ask,
                                       CallOptions call, HttpTake take) {
  Exchange exchange(env, std::move(options), std::move(ask), std::move(call), std::move(take));
  co_return co_await exchange.run();
}

}  // namespace capstan::client
