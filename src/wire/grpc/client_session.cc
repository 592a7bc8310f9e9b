// Why this file exists: the client half's session (events to calls) and the call's control path:
// begin, cancel, status. Its data paths are in client_call.cc.
#include "wire/grpc/client_session.h"

#include <utility>

#include "wire/grpc/error_map.h"
#include "wire/grpc/status_details.h"

namespace capstan::wire {

namespace {
ClientCall* call_of(Http2Stream& stream) {
  return static_cast<ClientCall*>(stream.context);
}
}  // namespace

ClientSession::ClientSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                             ClientOptions options)
    : options_(std::move(options)),
      connection_(reactor, std::move(stream), Http2Session::Role::kClient, *this,
                  options_.connection) {}

core::Task<void> ClientSession::run() {
  co_await connection_.run();
}

void ClientSession::drain() {
  connection_.drain();
}

void ClientSession::on_headers(Http2Stream& stream, HeadersKind kind, Headers headers,
                               bool too_large) {
  if (auto* call = call_of(stream)) {
    call->on_headers(headers, too_large, kind == HeadersKind::kTrailers);
  }
}

void ClientSession::on_data(Http2Stream& stream, ByteView data) {
  if (auto* call = call_of(stream)) {
    call->on_data(data);
  } else {
    connection_.http2().consume(stream, data.size());
  }
}

void ClientSession::on_end(Http2Stream& stream) {
  if (auto* call = call_of(stream)) call->on_end();
}

void ClientSession::on_closed(Http2Stream& stream, Http2Error error) {
  if (auto* call = call_of(stream)) call->on_closed(error);
}

void ClientSession::on_sent(Http2Stream& stream) {
  if (auto* call = call_of(stream)) call->on_sent();
}

// --- a call -------------------------------------------------------------------------------------

ClientCall::ClientCall(std::shared_ptr<ClientSession> session)
    : session_(std::move(session)),
      decoder_(session_->options_.receive_message_bytes),
      deadline_([this] { cancel(Code::kDeadlineExceeded); }) {}

ClientCall::~ClientCall() {
  if (!stream_) return;
  stream_->context = nullptr;
  auto& connection = session_->connection_;
  connection.http2().consume(*stream_, held_bytes_);
  if (!ended_ || !sending_done_ || stream_->unsent_bytes() != 0) {
    connection.http2().reset(*stream_, Http2Error::kCancel);
  }
  connection.wake();
}

Result<void> ClientCall::begin(std::string_view full_name, const CallOptions& options,
                               const rpc::Message* only_request) {
  CAPSTAN_ASSERT(!stream_);
  TRY(options.token.check());
  auto& connection = session_->connection_;
  const auto& session = session_->options_;
  const core::Nanos now = connection.reactor().now();
  if (options.deadline != 0 && options.deadline <= now) {
    return fail(Code::kDeadlineExceeded, "deadline exceeded before the call began");
  }
  HeaderBuilder builder;
  builder.add(":method", "POST");
  builder.add(":scheme", session.scheme);
  builder.add_owned(
      ":path", full_name.starts_with('/') ? std::string(full_name) : "/" + std::string(full_name));
  builder.add(":authority", session.authority);
  builder.add("te", "trailers");
  builder.add("content-type", "application/grpc");
  builder.add("user-agent", session.user_agent);
  builder.add("grpc-accept-encoding", "identity,gzip");
  gzip_requests_ = options.gzip;
  if (options.gzip) builder.add("grpc-encoding", "gzip");
  if (options.deadline != 0) {
    builder.add_owned("grpc-timeout", grpc_print_timeout(options.deadline - now));
  }
  builder.add_metadata(options.metadata);
  stream_ = connection.http2().open(builder.headers(), false, this);
  if (!stream_) {
    unprocessed_ = true;
    return fail(Code::kUnavailable, "the connection takes no more calls");
  }
  if (only_request) {
    write_message(*only_request);
    finish_sending();
  }
  if (options.deadline != 0) deadline_.arm_at(connection.reactor(), options.deadline);
  cancel_.emplace(options.token, [this, token = options.token] { cancel(token.reason()); });
  connection.wake();
  return {};
}

void ClientCall::cancel(Code reason) {
  if (ended_ || failure_) return;
  fail_with({reason,
             0,
             reason == Code::kDeadlineExceeded ? "deadline exceeded" : "the call was cancelled",
             {}});
}

void ClientCall::fail_with(Error error) {
  if (ended_ || failure_) return;
  failure_ = std::move(error);
  deadline_.disarm();
  if (stream_) {
    session_->connection_.http2().reset(*stream_, Http2Error::kCancel);
    session_->connection_.wake();
  }
  readable_.notify();
  writable_.notify();
}

void ClientCall::on_headers(Headers headers, bool too_large, bool is_trailers) {
  if (too_large) {
    return fail_with({Code::kResourceExhausted,
                      0,
                      "the answer's headers are larger than this client accepts",
                      {}});
  }
  if (is_trailers) return on_status(headers);
  answered_ = true;
  std::string_view http_status, content_type, encoding;
  bool with_status = false;
  for (const auto& [name, value] : headers) {
    if (name == ":status") http_status = value;
    if (name == "content-type") content_type = value;
    if (name == "grpc-encoding") encoding = value;
    if (name == "grpc-status") with_status = true;
  }
  if (with_status) return on_status(headers);  // trailers-only
  if (http_status != "200" || grpc_content(content_type) != GrpcContent::kProto) {
    const Code code = http_status == "200" ? Code::kUnknown : grpc_code_of_http_status(http_status);
    return fail_with({code,
                      0,
                      "the server does not answer as a gRPC server: HTTP status " +
                          std::string(http_status) + ", content-type '" +
                          std::string(content_type) + "'; check address and port",
                      {}});
  }
  const auto known = grpc_encoding(encoding);
  if (known == GrpcEncoding::kUnknown) {
    return fail_with({Code::kInternal,
                      0,
                      "the server compressed its answer with '" + std::string(encoding) +
                          "', which nobody offered",
                      {}});
  }
  gzip_ = known == GrpcEncoding::kGzip;
  for (const auto& [name, value] : headers) {
    // Broken binary metadata of a server costs the application that one entry, not the answer.
    if (!grpc_is_reserved(name)) (void)grpc_add_metadata(name, value, headers_).has_value();
  }
  begun_ = true;
  if (when_answered_) when_answered_();
}

void ClientCall::when_answered(std::function<void()> then) {
  if (begun_) return then();
  when_answered_ = std::move(then);
}

void ClientCall::on_status(Headers headers) {
  std::string_view status, message;
  for (const auto& [name, value] : headers) {
    if (name == "grpc-status") {
      status = value;
      has_status_ = true;
    } else if (name == "grpc-message") {
      message = value;
    } else if (!grpc_is_reserved(name)) {
      (void)grpc_add_metadata(name, value, trailers_).has_value();
    }
  }
  if (!has_status_) return;
  const Code code = grpc_status_code(status);
  if (code == Code::kOk) return;
  status_ = Error{code, 0, grpc_decode_message(message), {}};
  for (const auto& [name, value] : trailers_) {
    if (name == kStatusDetailsKey) status_->details = grpc_read_status_details(value, code);
  }
}

void ClientCall::on_end() {
  if (!has_status_ && !failure_) {
    return fail_with({Code::kInternal, 0, "the server ended the call without a status", {}});
  }
  ended_ = true;
  deadline_.disarm();
  cancel_.reset();
  readable_.notify();
  writable_.notify();
}

void ClientCall::on_closed(Http2Error error) {
  stream_ = nullptr;
  held_bytes_ = 0;
  const auto& connection = session_->connection_;
  if (!ended_ && !failure_) {
    if (connection.ended()) {
      const auto& reason = connection.reason();
      fail_with({Code::kUnavailable,
                 0,
                 "connection to " + connection.peer().address + " lost" +
                     (reason.empty() ? std::string() : ": " + reason),
                 {}});
    } else {
      unprocessed_ = error == Http2Error::kRefusedStream && !answered_;
      fail_with({grpc_code_of_http2_error(error),
                 0,
                 "the server reset the call: " + std::string(http2_error_name(error)),
                 {}});
    }
  }
  readable_.notify();
  writable_.notify();
}

}  // namespace capstan::wire
