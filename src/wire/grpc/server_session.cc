// Why this file exists: from HTTP/2 events to calls and from results to headers, messages and
// trailers. The order of the checks on a request is the order in which a client can fix them: is it
// gRPC, does the operation exist, can its encoding be read, is its metadata sound.
#include "wire/grpc/server_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "wire/grpc/error_map.h"
#include "wire/grpc/metadata.h"
#include "wire/grpc/server_call.h"
#include "wire/grpc/status_details.h"

namespace capstan::wire {

namespace {
constexpr std::string_view kContentType = "application/grpc";
constexpr std::string_view kAcceptEncoding = "identity,gzip";
constexpr std::array<Header, 4> kHeaders{{{":status", "200"},
                                          {"content-type", kContentType},
                                          {"grpc-accept-encoding", kAcceptEncoding},
                                          {"grpc-encoding", "gzip"}}};
constexpr Headers kUsualHeaders = Headers(kHeaders).first(3);
constexpr std::array<Header, 1> kUsualTrailers{{{"grpc-status", "0"}}};
constexpr std::string_view kWire = "grpc";
constexpr std::size_t kSpareCalls = 128;            // until on_idle()
constexpr std::uint64_t kRetryNanos = 100'000'000;  // until others' requests may have ended
// Handlers whose client left still run; a client may not pile them up by leaving.
static_assert(limits::kGrpcRunningCalls >= limits::kHttp2MaxConcurrentStreams);

std::string_view path_of(Headers headers) {
  for (const auto& [name, value] : headers) {
    if (name == ":path") return value;
  }
  return {};
}
}  // namespace

MethodTable::MethodTable(const rpc::Directory& directory) {
  for (const auto* operation : directory.operations()) {
    entries_.emplace(operation->full_name(), directory.find(operation->full_name()));
  }
}

const rpc::Directory::Entry* MethodTable::find(std::string_view full_name) const {
  const auto position = entries_.find(full_name);
  return position == entries_.end() ? nullptr : position->second;
}

ServerSession::ServerSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                             const rpc::Directory& directory, const MethodTable& methods,
                             const ServerOptions& options, ServerCounters& counters)
    : reactor_(reactor),
      directory_(directory),
      methods_(methods),
      options_(options),
      counters_(counters),
      connection_(reactor, std::move(stream), Http2Session::Role::kServer, *this,
                  options.connection) {
  connection_.http2().set_usual(kUsualHeaders, kUsualTrailers);
  if (!options.guest) return;
  guest_ = options.guest(connection_.http2(), connection_.peer(), [this] { connection_.wake(); });
}

ServerSession::~ServerSession() = default;

core::Task<void> ServerSession::run() {
  co_await connection_.run();
  // Every stream is closed, so every call has been told; what remains is waiting for them.
  output_room_.notify_all();
  co_await scope_.join();
  if (guest_) co_await guest_->join();
}

void ServerSession::drain() {
  if (draining_) return;
  draining_ = true;
  for (const auto& call : calls_) {
    if (!call->running_ || call->entry_->operation.kind != rpc::Kind::kEndless) continue;
    call->drained_ = true;
    call->cancel(Code::kCancelled);
  }
  if (guest_) guest_->drain();
  connection_.drain();
}

void ServerSession::abort(std::string reason) {
  for (const auto& call : calls_) {
    if (!call->running_) continue;
    call->drained_ = true;
    call->cancel(Code::kCancelled);
  }
  if (guest_) guest_->abort();
  connection_.cut(std::move(reason));
}

// --- requests -----------------------------------------------------------------------------------

struct ServerSession::Request {
  std::string_view method, path, content_type, timeout, encoding, accept_encoding;
};

Result<void> ServerSession::read_headers(Headers headers, ServerCall& call, Request& request) {
  Result<void> metadata;
  for (const auto& [name, value] : headers) {
    if (name == ":path")
      request.path = value;
    else if (name == ":method")
      request.method = value;
    else if (name == "content-type")
      request.content_type = value;
    else if (name == "grpc-timeout")
      request.timeout = value;
    else if (name == "grpc-encoding")
      request.encoding = value;
    else if (name == "grpc-accept-encoding")
      request.accept_encoding = value;
    else if (!grpc_is_reserved(name)) {
      if (name == "traceparent") call.call_.trace_id = trace_id_of(value);
      auto added = grpc_add_metadata(name, value, call.call_.metadata.request);
      if (!added && metadata) metadata = std::move(added);
    }
  }
  return metadata;
}

void ServerSession::on_headers(Http2Stream& stream, HeadersKind kind, Headers headers,
                               bool too_large) {
  if (kind != HeadersKind::kRequest) return;  // trailers of a request carry nothing for gRPC
  if (is_for_guest(headers)) {
    stream.guest = true;
    return guest_->on_headers(stream, kind, headers, too_large);
  }
  ++counters_.calls_started;
  if (too_large) {
    const Error error{Code::kResourceExhausted,
                      0,
                      "request headers are larger than the limit of " +
                          std::to_string(options_.connection.http2.header_list_bytes) +
                          " bytes; send less metadata",
                      {}};
    rpc::Call call;
    call.peer = connection_.peer();
    call.wire = kWire;
    tell_refused(call, path_of(headers), error);
    return refuse(stream, error);
  }
  if (running_ >= options_.running_calls) {
    ++counters_.calls_refused;
    return connection_.http2().reset(stream, Http2Error::kRefusedStream);
  }
  accept_call(stream, headers);
}

static const Error* set_encodings(std::string_view encoding, bool& gzip, Error& error) {
  const auto known = grpc_encoding(encoding);
  gzip = known == GrpcEncoding::kGzip;
  if (known != GrpcEncoding::kUnknown) return nullptr;
  error = {Code::kUnimplemented,
           0,
           "grpc-encoding '" + std::string(encoding) + "' is not supported; use identity or gzip",
           {}};
  return &error;
}

void ServerSession::accept_call(Http2Stream& stream, Headers headers) {
  ServerCall* call = take_call();
  Request request;
  const auto read = read_headers(headers, *call, request);
  const auto give_up = [&](const Error& error) {
    tell_refused(call->call_, request.path, error);
    release(call);
    refuse(stream, error);
  };
  if (!read) return give_up(read.error());
  const auto content = grpc_content(request.content_type);
  if (request.method != "POST" || content == GrpcContent::kOther) {
    const std::string method(request.method);
    release(call);
    return refuse_http(stream, method);
  }
  if (content == GrpcContent::kSubtype) {
    return give_up({Code::kUnimplemented,
                    0,
                    "content-type '" + std::string(request.content_type) +
                        "' is not served; use application/grpc+proto",
                    {}});
  }
  std::string_view path = request.path;
  if (path.starts_with('/')) path.remove_prefix(1);
  const auto* entry = methods_.find(path);
  if (!entry) return give_up(directory_.why_missing(path));
  Error error;
  if (set_encodings(request.encoding, call->request_gzip_, error)) return give_up(error);
  call->answer_gzip_ = options_.compress_answers && grpc_accepts_gzip(request.accept_encoding);
  std::optional<std::uint64_t> timeout;
  if (!request.timeout.empty() && !(timeout = grpc_parse_timeout(request.timeout))) {
    return give_up({Code::kInvalidArgument,
                    0,
                    "grpc-timeout '" + std::string(request.timeout) +
                        "' is malformed; it is up to 8 digits and one of H M S m u n",
                    {}});
  }
  if (timeout && *timeout == 0) {
    return give_up({Code::kDeadlineExceeded, 0, "deadline exceeded before the call began", {}});
  }
  call->begin(stream, *entry);
  if (timeout) call->set_deadline(*timeout);
  if (!call->unary()) start(*call);
}

// A POST of gRPC's type is gRPC's, also when it is wrong otherwise.
bool ServerSession::is_for_guest(Headers headers) const {
  if (!guest_ || only_guest_) return guest_ != nullptr;
  bool post = false, grpc = false;
  for (const auto& [name, value] : headers) {
    if (name == ":method") post = value == "POST";
    if (name == "content-type") grpc = grpc_content(value) != GrpcContent::kOther;
  }
  return !post || !grpc;
}

void ServerSession::on_data(Http2Stream& stream, ByteView data) {
  if (stream.guest) return guest_->on_data(stream, data);
  auto* call = static_cast<ServerCall*>(stream.context);
  if (!call) {  // answered already
    connection_.http2().consume(stream, data.size());
    return;
  }
  if (const auto taken = call->receive(data); !taken) refuse(*call, taken.error());
}

void ServerSession::on_end(Http2Stream& stream) {
  if (stream.guest) return guest_->on_end(stream);
  auto* call = static_cast<ServerCall*>(stream.context);
  if (!call) return;
  if (const auto ended = call->receive_end(); !ended) return refuse(*call, ended.error());
  if (call->unary()) start(*call);
}

void ServerSession::on_closed(Http2Stream& stream, Http2Error error) {
  if (stream.guest) return guest_->on_closed(stream, error);
  if (output_room_.waiters() != 0) output_room_.notify_all();  // its unsent answer goes with it
  auto* call = static_cast<ServerCall*>(stream.context);
  if (!call) return;
  call->stream_closed();
  if (!call->running_) release(call);
}

void ServerSession::on_sent(Http2Stream& stream) {
  if (stream.guest) return guest_->on_sent(stream);
  if (auto* call = static_cast<ServerCall*>(stream.context)) call->output_taken();
  if (output_room_.waiters() != 0 &&
      connection_.http2().unpaced_bytes() < limits::kHttp2OutputBufferBytes) {
    output_room_.notify_all();
  }
}

void ServerSession::on_idle() {
  for (const auto* call : spare_) {
    std::erase_if(calls_, [call](const auto& owned) { return owned.get() == call; });
  }
  spare_.clear();
  spare_.shrink_to_fit();
  calls_.shrink_to_fit();
}

// --- calls --------------------------------------------------------------------------------------

Result<void> ServerSession::charge(ServerCall& call, std::size_t bytes) {
  if (request_bytes_ + bytes > options_.request_bytes ||
      all_request_bytes() + bytes > options_.all_request_bytes) {
    // Who called a gateway did not send the others' requests, and only has to wait.
    return fail_until(options_.from_gateway ? Code::kUnavailable : Code::kResourceExhausted,
                      "the node holds too many bytes of requests that have not ended; send large "
                      "requests one after another",
                      kRetryNanos);
  }
  call.charged_bytes_ += bytes;
  request_bytes_ += bytes;
  all_request_bytes() += bytes;
  return {};
}

void ServerSession::start(ServerCall& call) {
  call.running_ = true;
  ++running_;
  scope_.spawn(run_call(&call));
  if (!draining_ || call.entry_->operation.kind != rpc::Kind::kEndless) return;
  call.drained_ = true;
  call.cancel(Code::kCancelled);
}

void ServerSession::announce(ServerCall& call) {
  if (!call.stream_ || call.headers_sent_) return;
  send_headers(call);
  connection_.wake();
}

void ServerSession::deadline_passed(ServerCall& call) {
  if (call.running_) return call.cancel(Code::kDeadlineExceeded);
  // The request never arrived as a whole.
  if (!call.stream_) return release(&call);
  refuse(call, {Code::kDeadlineExceeded, 0, "deadline exceeded before the request ended", {}});
  connection_.wake();
}

core::Task<void> ServerSession::run_call(ServerCall* call) {
  const auto& entry = *call->entry_;
  core::name_task(entry.operation.full_name().c_str());
  // A client that asks without reading its answers waits for itself. Streams do not count: how
  // slowly one is read is no business of the other calls.
  while (connection_.http2().unpaced_bytes() >= limits::kHttp2OutputBufferBytes &&
         !call->call_.token.fired()) {
    co_await output_room_.wait();
  }
  if (call->unary()) {
    call->prepare_response();
    answer(*call, co_await directory_.run(entry, call->call_, *call->request_, *call->response_));
  } else {
    answer(*call, co_await directory_.run(entry, call->call_, *call, *call));
  }
  --running_;
  release(call);
}

void ServerSession::answer(ServerCall& call, Result<void> result) {
  if (!call.stream_) return;  // nobody listens
  if (call.violation_) result = std::unexpected(*call.violation_);
  if (!result) {
    const Error error = call.final_error(std::move(result).error());
    send_status(call, &error);
  } else {
    send_headers(call);
    if (call.unary()) send_message(call, *call.response_);
    send_status(call, nullptr);
  }
  connection_.wake();
}

void ServerSession::send_headers(ServerCall& call) {
  if (call.headers_sent_) return;
  call.headers_sent_ = true;
  const auto& metadata = call.call_.metadata.initial;
  if (metadata.empty() && !call.answer_gzip_) {
    return connection_.http2().respond_usual(*call.stream_);
  }
  HeaderBuilder builder;
  for (const auto& [name, value] : call.answer_gzip_ ? Headers(kHeaders) : kUsualHeaders) {
    builder.add(name, value);
  }
  builder.add_metadata(metadata);
  connection_.http2().respond(*call.stream_, builder.headers(), false);
}

void ServerSession::send_message(ServerCall& call, const rpc::Message& message) {
  auto& http2 = connection_.http2();
  const std::size_t size = message.ByteSizeLong();
  call.message_bytes_ = size;
  if (call.answer_gzip_ && size >= options_.compress_bytes_min) {
    if (const auto packed = grpc_gzip(as_bytes(message.SerializeAsString()))) {
      std::uint8_t* to = http2.reserve(*call.stream_, kGrpcPrefixBytes + packed->size());
      grpc_write_prefix(to, true, static_cast<std::uint32_t>(packed->size()));
      std::memcpy(to + kGrpcPrefixBytes, packed->data(), packed->size());
      call.written_bytes_ += kGrpcPrefixBytes + packed->size();
      return http2.write(*call.stream_, kGrpcPrefixBytes + packed->size());
    }
  }
  std::uint8_t* to = http2.reserve(*call.stream_, kGrpcPrefixBytes + size);
  grpc_write_prefix(to, false, static_cast<std::uint32_t>(size));
  message.SerializeWithCachedSizesToArray(to + kGrpcPrefixBytes);
  call.written_bytes_ += kGrpcPrefixBytes + size;
  http2.write(*call.stream_, kGrpcPrefixBytes + size);
}

// grpc-message and its structured twin; a handler that passes on somebody's error may bring the
// latter along.
static void add_error(HeaderBuilder& builder, const Error& error, std::string_view operation,
                      const rpc::Message* request, const MetadataList& trailers) {
  std::string message = grpc_status_message(error);
  const bool brought =
      std::ranges::any_of(trailers, [](const auto& t) { return t.first == kStatusDetailsKey; });
  if (!brought) {
    const std::string details =
        grpc_status_details(error, grpc_decode_message(message), operation, request);
    if (!details.empty()) builder.add_owned(kStatusDetailsKey, grpc_encode_binary(details));
  }
  builder.add_owned("grpc-message", std::move(message));
}

void ServerSession::send_status(ServerCall& call, const Error* error) {
  if (!error && call.headers_sent_ && call.call_.metadata.trailers.empty()) {
    return connection_.http2().finish_usual(*call.stream_);
  }
  HeaderBuilder builder;
  if (!call.headers_sent_) {  // trailers-only
    builder.add(":status", "200");
    builder.add("content-type", kContentType);
    builder.add("grpc-accept-encoding", kAcceptEncoding);
    builder.add_metadata(call.call_.metadata.initial);
  }
  builder.add("grpc-status", grpc_status_text(error ? error->code : Code::kOk));
  builder.add_metadata(call.call_.metadata.trailers);
  if (error) {
    add_error(builder, *error, call.entry_->operation.full_name(), call.request_,
              call.call_.metadata.trailers);
  }
  auto& http2 = connection_.http2();
  if (call.headers_sent_) {
    http2.finish(*call.stream_, builder.headers());
  } else {
    http2.respond(*call.stream_, builder.headers(), true);
  }
}

void ServerSession::refuse(Http2Stream& stream, const Error& error) {
  ++counters_.calls_refused;
  HeaderBuilder builder;
  builder.add(":status", "200");
  builder.add("content-type", kContentType);
  builder.add("grpc-accept-encoding", kAcceptEncoding);
  builder.add("grpc-status", grpc_status_text(error.code));
  add_error(builder, error, {}, nullptr, {});
  connection_.http2().respond(stream, builder.headers(), true);
}

void ServerSession::refuse(ServerCall& call, const Error& error) {
  tell_refused(call.call_, {}, error);
  refuse(*call.stream_, error);
  release(&call);
}

void ServerSession::tell_refused(const rpc::Call& call, std::string_view path, const Error& error) {
  if (!options_.refused) return;
  if (path.starts_with('/')) path.remove_prefix(1);
  rpc::Call told = call;
  const auto* entry = methods_.find(path);
  if (entry) told.operation = &entry->operation;
  if (told.operation) return scope_.spawn(tell(std::move(told), error));
  options_.refused->tell_unknown(kWire, call.peer, path.substr(0, path.find('?')), error);
}

core::Task<void> ServerSession::tell(rpc::Call call, Error error) {
  co_await options_.refused->tell(call, std::move(error));
}

void ServerSession::refuse_http(Http2Stream& stream, std::string_view method) {
  static constexpr std::string_view kText =
      "This is a gRPC server: it answers POST requests with content-type application/grpc.\n";
  ++counters_.calls_refused;
  const bool post = method == "POST";
  const std::array<Header, 3> headers{
      {{":status", post ? "415" : "405"}, {"content-type", "text/plain"}, {"allow", "POST"}}};
  auto& http2 = connection_.http2();
  http2.respond(stream, Headers(headers).first(post ? 2 : 3), method == "HEAD");
  if (method == "HEAD") return;
  std::memcpy(http2.reserve(stream, kText.size()), kText.data(), kText.size());
  http2.write(stream, kText.size());
  http2.finish(stream, {});
}

ServerCall* ServerSession::take_call() {
  if (spare_.empty()) {
    calls_.push_back(std::make_unique<ServerCall>(*this, options_.receive_message_bytes));
    return calls_.back().get();
  }
  auto* call = spare_.back();
  spare_.pop_back();
  return call;
}

void ServerSession::release(ServerCall* call) {
  call->reset();
  spare_.push_back(call);
  if (spare_.size() <= kSpareCalls) return;
  // Another one goes: this one's timer may be what we are called from.
  const ServerCall* surplus = std::exchange(spare_.front(), spare_.back());
  spare_.pop_back();
  std::erase_if(calls_, [surplus](const auto& owned) { return owned.get() == surplus; });
}

}  // namespace capstan::wire
