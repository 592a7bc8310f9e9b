// Why this file exists: see remote.h. HTTP/1.1, with TLS or without, also over a Unix socket: a few
// kept connections with one call at a time on each. Requests and answers are those of the node's
// declared paths (wire/rest/request_writer.h, answer_reader.h); headers carry metadata and
// deadline.
//
// Repeated by itself is what may be done twice, after a 502 as http-rpc section 15.4 says, or when
// the server had closed a kept connection in the meantime; and what was not processed, because of a
// media type that the server does not take. Behind a 502 the call may have been done (the node died
// after it), so what may be done once only is not asked again, unlike in Octez.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "client/http_headers.h"
#include "client/http_origin.h"
#include "client/patience.h"
#include "client/remote.h"
#include "wire/rest/answer_reader.h"
#include "wire/rest/client_connection.h"
#include "wire/rest/request_writer.h"

namespace capstan::client {

namespace {

using wire::rest::CallPaths;
using wire::rest::ClientConnection;
using Connection = std::shared_ptr<ClientConnection>;

constexpr std::size_t kIdleConnections = 4;

class HttpRemote final : public Remote {
 public:
  HttpRemote(core::Env& env, ChannelOptions options, HttpOptions http);
  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override;
  core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                       const Message* request,
                                                       CallOptions options) override;
  bool connected() const override {
    return std::ranges::any_of(all_, [](const Connection& one) { return !one->failure(); });
  }
  bool streams() const override { return true; }
  core::Task<void> close() override;

  // One that is idle, or with `fresh` a new one.
  core::Task<Result<std::pair<Connection, bool>>> connection(core::CancelToken token, bool fresh);
  void give_back(Connection connection);
  const HttpOrigin& origin() const { return origin_; }
  HttpLog* log() const { return origin_.http().log; }
  // That in which requests are written, and the next one to try when the node does not take it.
  rpc::Media media() const { return media_; }
  bool other_media(rpc::Media& refused);

 private:
  Result<const CallPaths*> paths(const std::string& full_name);
  core::Task<void> run(Connection connection);

  HttpOrigin origin_;
  std::map<std::string, std::unique_ptr<CallPaths>> paths_;
  std::vector<Connection> idle_, all_;
  core::Scope scope_;
  rpc::Media media_;
};

class HttpCall final : public RemoteCall {
 public:
  HttpCall(HttpRemote& remote, const CallPaths& paths, const CallOptions& options)
      : RemoteCall(paths.operation.method()),
        remote_(remote),
        paths_(paths),
        options_(options),
        patience_(options),
        leave_(patience_.token(), [this] { cancel(patience_.token().reason()); }) {}
  ~HttpCall() override { cancel(Code::kCancelled); }

  core::Task<Result<void>> send(const Message& message) override;
  core::Task<Result<bool>> next(Message& into) override;
  void finish_sending() override;
  void cancel(Code reason) override;

 private:
  core::Task<Result<void>> begin(const Message& first);
  core::Task<Result<void>> attempt(bool fresh);
  core::Task<Result<void>> until_begun();
  core::Task<Result<void>> answered();
  core::Task<Result<bool>> again(const wire::Http1Response& head);
  core::Task<Result<bool>> again_after_502();
  Result<void> write(const Message& message);
  void log_request();
  void log_answer(std::string_view body) const;
  bool secret() const { return paths_.operation.access == rpc::Access::kData; }
  bool may_be_repeated() const { return paths_.operation.idempotent || request_.method == "GET"; }
  Result<bool> ended(Result<bool> with);
  Error failure() const;
  bool over() const;

  HttpRemote& remote_;
  const CallPaths& paths_;
  const CallOptions options_;
  Patience patience_;
  rpc::Media media_ = remote_.media();
  wire::rest::OutgoingRequest request_;
  std::unique_ptr<Message> copy_;  // of a request that may have to be written in other bytes
  bool upload_ = false, sent_all_ = false, kept_ = false, done_ = false;
  int attempts_ = 0, redirects_ = 0;
  std::string refusal_;    // the body of a 502
  std::string logged_;     // what has come of the answer, for the log
  unsigned number_ = 0;    // of the attempt, in the log
  Connection connection_;  // of the attempt under way or the last one
  core::Event begun_;      // notified when there is one, or there will be none
  bool beginning_ = false;
  std::optional<wire::rest::AnswerReader> reader_;
  std::optional<Error> failed_;
  core::CancelCallback leave_;
};

// --- one call -----------------------------------------------------------------------------------

Error HttpCall::failure() const {
  if (failed_) return *failed_;
  CAPSTAN_ASSERT(connection_ && connection_->failure());
  return *connection_->failure();
}

// Nothing of the request is wanted any more.
bool HttpCall::over() const {
  if (failed_ || !connection_ || connection_->failure()) return true;
  const auto* head = connection_->head();
  return head && (head->status != 200 || !request_.path->gives_stream || connection_->body_ended());
}

core::Task<Result<void>> HttpCall::attempt(bool fresh) {
  CO_TRY(patience_.token().check());
  auto text =
      http_head(remote_.origin().channel(), options_, remote_.origin().accept(), request_, upload_);
  if (!text) co_return std::unexpected(std::move(text).error());
  auto got = co_await remote_.connection(patience_.token(), fresh);
  if (!got) {
    CO_TRY(patience_.token().check());
    co_return std::unexpected(std::move(got).error());
  }
  std::tie(connection_, kept_) = *std::move(got);
  if (failed_) {
    remote_.give_back(std::exchange(connection_, nullptr));
    co_return std::unexpected(*failed_);
  }
  connection_->begin();
  if (upload_) {
    wire::http1_append_chunk(request_.body, false, *text);
  } else {
    *text += request_.body;
    connection_->end_request();
  }
  connection_->send(*text);
  log_request();
  co_return Result<void>();
}

void HttpCall::log_request() {
  if (!remote_.log()) return;
  const auto type = request_.media ? rpc::media_name(*request_.media) : std::string_view();
  number_ =
      remote_.log()->asked(remote_.origin().uri(request_.target), {request_.body, type, secret()});
}

void HttpCall::log_answer(std::string_view body) const {
  const auto* head = connection_ ? connection_->head() : nullptr;
  if (!remote_.log() || !head) return;
  remote_.log()->answered(number_, head->status,
                          {body, head->last("content-type").value_or(""), secret()});
}

// As the operation's paths say it, below the base path.
Result<void> HttpCall::write(const Message& message) {
  TRY_SET(request_, wire::rest::write_request(paths_, message, media_));
  request_.target = remote_.origin().target(request_.target);
  return {};
}

core::Task<Result<void>> HttpCall::begin(const Message& first) {
  beginning_ = true;
  auto written = write(first);
  if (!written) {
    if (!failed_) failed_ = written.error();
    begun_.notify_all();
    co_return std::unexpected(*failed_);
  }
  upload_ = request_.path->takes_stream;
  if (!upload_ && request_.media) {
    copy_.reset(first.New());
    copy_->CopyFrom(first);
  }
  auto begun = co_await attempt(false);
  if (!begun && !failed_) failed_ = begun.error();
  begun_.notify_all();
  co_return begun;
}

core::Task<Result<void>> HttpCall::send(const Message& message) {
  CAPSTAN_ASSERT(!sent_all_);
  if (failed_) co_return std::unexpected(*failed_);
  if (!beginning_) {
    CO_TRY(co_await begin(message));
  } else {
    if (over()) co_return fail(Code::kAborted, "the node has ended the call");
    CO_TRY_SET(const std::string element,
               wire::rest::write_element(*request_.path, message, media_));
    std::string chunk;
    wire::http1_append_chunk(element, false, chunk);
    connection_->send(chunk);
  }
  const Connection connection = connection_;
  while (!over() && connection->output_full()) co_await connection->changed().wait();
  if (failed_) co_return std::unexpected(*failed_);
  if (upload_ && over()) co_return fail(Code::kAborted, "the node has ended the call");
  co_return Result<void>();
}

void HttpCall::finish_sending() {
  if (std::exchange(sent_all_, true)) return;
  begun_.notify_all();
  if (!upload_ || !connection_) return;
  connection_->send(wire::kHttp1LastChunk);
  connection_->end_request();
}

void HttpCall::cancel(Code reason) {
  const Error why{
      reason,
      0,
      reason == Code::kDeadlineExceeded ? "deadline exceeded" : "the call was cancelled",
      {}};
  if (!failed_ && !done_) failed_ = why;
  begun_.notify_all();
  if (connection_) connection_->cut(why);
}

// True: it may be asked again, and the pause before that is over.
core::Task<Result<bool>> HttpCall::again_after_502() {
  const Connection connection = connection_;
  refusal_ = co_await refusal_body(connection);
  if (failed_) co_return std::unexpected(*failed_);
  const auto attempt =
      attempt_answered_502(++attempts_, may_be_repeated() && !upload_,
                           wire::rest::error_of_answer(*connection->head(), refusal_).text());
  if (remote_.origin().http().on_attempt) remote_.origin().http().on_attempt(attempt);
  if (!attempt.last) log_answer(refusal_);
  if (attempt.last) co_return false;
  if (attempt.pause != 0) CO_TRY(co_await core::sleep_for(attempt.pause, patience_.token()));
  co_return true;
}

// True: the request is to be sent again.
core::Task<Result<bool>> HttpCall::again(const wire::Http1Response& head) {
  const unsigned status = head.status;
  if (status == 502) co_return co_await again_after_502();
  if (upload_) co_return false;  // what was sent is gone
  if (status == 301 || status == 307 || status == 308) {
    CO_TRY_SET(request_.target, remote_.origin().redirected(head, redirects_));
    log_answer({});
  } else if (status == 415 && copy_ && remote_.other_media(media_)) {
    log_answer({});
    CO_TRY(write(*copy_));
  } else {
    co_return false;
  }
  co_return true;
}

// Until the head of the answer that counts is there.
core::Task<Result<void>> HttpCall::answered() {
  while (true) {
    const Connection connection = connection_;
    while (!failed_ && !connection->head() && !connection->failure()) {
      co_await connection->changed().wait();
    }
    if (failed_) co_return std::unexpected(*failed_);
    if (!connection->head()) {
      if (!kept_ || connection->heard() || upload_ || !may_be_repeated()) {
        co_return std::unexpected(remote_.origin().unanswered(*connection->failure()));
      }
      CO_TRY(co_await attempt(true));
      continue;
    }
    CO_TRY_SET(const bool repeat, co_await again(*connection->head()));
    if (failed_) co_return std::unexpected(*failed_);
    if (!repeat) break;
    connection->cut({Code::kUnavailable, 0, "asked again", {}});
    CO_TRY(co_await attempt(true));
  }
  reader_.emplace(*request_.path, remote_.origin().channel().receive_message_bytes);
  reader_->begin(*connection_->head());
  if (connection_->head()->status == 502) {
    reader_->add(refusal_);
    if (remote_.log()) logged_ = refusal_;
  }
  co_return Result<void>();
}

// The call is over; the connection goes back when nothing of the answer is left on it.
Result<bool> HttpCall::ended(Result<bool> with) {
  done_ = true;
  const auto* head = connection_ ? connection_->head() : nullptr;
  if (!head || (!with && !connection_->body_ended())) {
    if (remote_.log() && beginning_) remote_.log()->failed(number_, with ? Error{} : with.error());
  } else if (!request_.path->gives_stream || !logged_.empty() || head->status != 200) {
    log_answer(std::exchange(logged_, {}));
  }
  if (!with) failed_ = with.error();
  if (connection_) remote_.give_back(std::exchange(connection_, nullptr));
  return with;
}

// What is asked decides where: an answer can only come once the first request was sent.
core::Task<Result<void>> HttpCall::until_begun() {
  while (!failed_ && !connection_) {
    if (beginning_ || !sent_all_) {
      co_await begun_.wait();
      continue;
    }
    // A stream of no requests.
    const std::unique_ptr<Message> none(google::protobuf::MessageFactory::generated_factory()
                                            ->GetPrototype(method_.input_type())
                                            ->New());
    CO_TRY(co_await begin(*none));
    if (!upload_) continue;
    connection_->send(wire::kHttp1LastChunk);
    connection_->end_request();
  }
  if (failed_) co_return std::unexpected(*failed_);
  co_return Result<void>();
}

core::Task<Result<bool>> HttpCall::next(Message& into) {
  if (failed_) co_return std::unexpected(*failed_);
  if (done_) co_return false;
  CO_TRY(co_await until_begun());
  if (!reader_) {
    if (auto head = co_await answered(); !head) co_return ended(std::unexpected(head.error()));
  }
  using Step = wire::rest::AnswerReader::Step;
  const Connection connection = connection_;
  while (true) {
    const std::string piece = connection->take();
    reader_->add(piece);
    if (remote_.log()) logged_ += piece;
    const bool goes_on = request_.path->gives_stream && connection->head()->status == 200;
    if (goes_on && !logged_.empty()) log_answer(std::exchange(logged_, {}));
    const bool all = connection->body_ended();
    auto step = reader_->next(into, all);
    if (!step) co_return ended(std::unexpected(std::move(step).error()));
    if (*step == Step::kEnd) co_return ended(false);
    if (*step == Step::kMessage) {
      if (all && !request_.path->gives_stream) co_return ended(true);
      co_return true;
    }
    if (failed_ || connection->failure()) co_return ended(std::unexpected(failure()));
    co_await connection->changed().wait();
    if (failed_) co_return ended(std::unexpected(*failed_));
  }
}

// --- the node -----------------------------------------------------------------------------------

HttpRemote::HttpRemote(core::Env& env, ChannelOptions options, HttpOptions http)
    : origin_(env, std::move(options), std::move(http)), media_(origin_.http().media.front()) {}

Result<const CallPaths*> HttpRemote::paths(const std::string& full_name) {
  auto& known = paths_[full_name];
  if (!known) {
    TRY_SET(const auto* method, find_method(full_name));
    TRY_SET(auto made, CallPaths::of(*method));
    known = std::make_unique<CallPaths>(std::move(made));
  }
  return known.get();
}

// From JSON to octet-stream, then BSON; none that the user does not want.
bool HttpRemote::other_media(rpc::Media& refused) {
  static constexpr std::array kOrder = {rpc::Media::kJson, rpc::Media::kBinary, rpc::Media::kBson};
  const auto* next = std::ranges::find(kOrder, refused);
  do {
    if (++next == kOrder.end()) return false;
  } while (std::ranges::find(origin_.http().media, *next) == origin_.http().media.end());
  media_ = refused = *next;
  return true;
}

core::Task<void> HttpRemote::run(Connection connection) {
  co_await ClientConnection::run(connection);
  std::erase(idle_, connection);
  std::erase(all_, connection);
}

core::Task<Result<std::pair<Connection, bool>>> HttpRemote::connection(core::CancelToken token,
                                                                       bool fresh) {
  while (!fresh && !idle_.empty()) {
    Connection kept = std::move(idle_.back());
    idle_.pop_back();
    if (kept->idle()) co_return std::pair(std::move(kept), true);
  }
  CO_TRY_SET(Connection made, co_await origin_.connect(std::move(token)));
  all_.push_back(made);
  scope_.spawn(run(made));
  co_return std::pair(std::move(made), false);
}

void HttpRemote::give_back(Connection connection) {
  if (connection->idle() || connection->give_back()) {
    idle_.push_back(connection);
    if (idle_.size() > kIdleConnections) {
      idle_.front()->cut({Code::kCancelled, 0, "not needed any more", {}});
      idle_.erase(idle_.begin());
    }
  }
}

core::Task<Result<void>> HttpRemote::unary(std::string full_name, const Message& request,
                                           Message& response, CallOptions options) {
  CO_TRY_SET(const auto* known, paths(full_name));
  HttpCall call(*this, *known, options);
  CO_TRY(co_await call.send(request));
  call.finish_sending();
  CO_TRY_SET(const bool got, co_await call.next(response));
  if (!got) co_return fail(Code::kInternal, "the node answered " + full_name + " with nothing");
  co_return co_await call.finish();
}

core::Task<Result<std::unique_ptr<RemoteCall>>> HttpRemote::open(std::string full_name,
                                                                 const Message* request,
                                                                 CallOptions options) {
  CO_TRY_SET(const auto* known, paths(full_name));
  auto call = std::make_unique<HttpCall>(*this, *known, options);
  if (request) {
    CO_TRY(co_await call->send(*request));
    call->finish_sending();
  }
  co_return std::move(call);
}

core::Task<void> HttpRemote::close() {
  for (const auto& connection : std::vector(all_)) {
    connection->cut({Code::kCancelled, 0, "the client was closed", {}});
  }
  co_await scope_.join();
}

}  // namespace

std::unique_ptr<Remote> make_http_remote(core::Env& env, ChannelOptions options, HttpOptions http) {
  return std::make_unique<HttpRemote>(env, std::move(options), std::move(http));
}

}  // namespace capstan::client
