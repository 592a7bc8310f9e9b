// Why this file exists: the way in of rest/operation_call.h: parameters, body, and the source of
// operations that read a stream. The way out is operation_answer.cc.
#include "wire/rest/operation_call.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "rpc/acl_operation.h"
#include "rpc/any_json.h"
#include "rpc/error_text.h"
#include "rpc/json_pretty.h"
#include "wire/rest/pipeline.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

namespace {

constexpr std::string_view kTimeout = "x-timeout-ms";

rpc::ElementSplitter::Format format_of(rpc::Media media) {
  using enum rpc::ElementSplitter::Format;
  switch (media) {
    case rpc::Media::kBson: return kBsonDocuments;
    case rpc::Media::kBinary: return kLengthPrefixed;
    default: return kLines;
  }
}

// The trace id of a W3C traceparent ("00-<32 digits>-<16 digits>-<2 digits>"); empty when it is
// malformed.
std::string_view trace_id_of(std::string_view traceparent) {
  constexpr std::size_t kLength = 55, kAt = 3, kDigits = 32;
  if (traceparent.size() < kLength || traceparent[2] != '-' || traceparent[kAt + kDigits] != '-') {
    return {};
  }
  const auto id = traceparent.substr(kAt, kDigits);
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!std::ranges::all_of(id, digit) || id.find_first_not_of('0') == std::string_view::npos) {
    return {};
  }
  return id;
}

bool is_of_the_connection(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "connection", "proxy-connection", "content-length", "transfer-encoding",
      "expect",     "keep-alive",       "upgrade",        "te"};
  return std::ranges::find(kNames, name) != kNames.end();
}

// Whether a "connection" header of the request names it, too (http-rpc section 19.5).
bool is_named_of_the_connection(const Http1Headers& headers, std::string_view name) {
  const auto names = [name](std::string_view list) {
    while (!list.empty()) {
      const auto comma = list.find(',');
      std::string_view one = list.substr(0, comma);
      list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
      while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
      while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
      const bool same = std::ranges::equal(one, name, [](unsigned char a, unsigned char b) {
        return std::tolower(a) == std::tolower(b);
      });
      if (same) return true;
    }
    return false;
  };
  return std::ranges::any_of(headers, [&](const auto& header) {
    return header.first == "connection" && names(header.second);
  });
}

}  // namespace

Result<void> Resolved::read_query(const QueryFields& query) {
  if (!route->entry || route->view) return {};
  parameters = route->new_request();
  std::size_t next = 0;
  for (const auto& step : route->binding.steps) {
    if (step.kind == rpc::HttpStep::Kind::kLiteral) continue;
    const std::size_t end = step.kind == rpc::HttpStep::Kind::kTail ? arguments.size() : next + 1;
    for (; next < end; ++next) {
      if (!step.field.empty()) TRY(set_text(*parameters, step.field, arguments[next]));
    }
  }
  for (const auto& fixed : route->binding.set) {
    TRY(set_text(*parameters, fixed.field, fixed.value));
  }
  return rest::read_query(query, route->query, *parameters);
}

OperationCall::OperationCall(const rpc::Directory& directory, const PipelineOptions& options,
                             PipelineCounters& counters, Exchange& exchange, Resolved resolved,
                             QueryFields query, std::string origin)
    : directory_(directory),
      options_(options),
      counters_(counters),
      exchange_(exchange),
      resolved_(std::move(resolved)),
      route_(*resolved_.route),
      query_(std::move(query)),
      origin_(std::move(origin)),
      deadline_([this] { expire(); }) {}

OperationCall::~OperationCall() {
  counters_.body_bytes -= held_bytes_;
  if (!route_.entry || route_.view) return;
  if (route_.binding.has_body()) request_.reset();
  if (answered_bytes_ > limits::kRestSpareBytes) response_.reset();
  route_.keep(request_ ? std::move(request_) : std::move(resolved_.parameters),
              std::move(response_));
}

Result<void> OperationCall::prepare() {
  const auto& request = exchange_.request();
  call_.peer = exchange_.peer();
  call_.wire = rpc::kHttpWire;
  if (route_.entry) call_.operation = &route_.entry->operation;
  read_metadata();
  for (const auto& [name, value] : request.headers) {
    if (is_of_the_connection(name) || is_named_of_the_connection(request.headers, name)) continue;
    call_.metadata.request.emplace_back(name, value);
  }
  if (const auto parent = request.last("traceparent")) call_.trace_id = trace_id_of(*parent);
  const auto timeout = request.last(kTimeout);
  const bool streams = route_.entry && !route_.view && !route_.entry->handler.unary;
  if (!timeout && !streams) {
    call_.token = exchange_.gone();
    return {};
  }
  cancel_.emplace(exchange_.gone());
  call_.token = cancel_->token();
  return timeout ? limit_time(*timeout) : Result<void>();
}

Result<void> OperationCall::limit_time(std::string_view millis_text) {
  std::uint64_t millis = 0;
  const char* const end = millis_text.data() + millis_text.size();
  const auto parsed = std::from_chars(millis_text.data(), end, millis);
  if (parsed.ec != std::errc() || parsed.ptr != end || millis > limits::kRestTimeoutMillisMax) {
    return fail(Code::kInvalidArgument, "x-timeout-ms is no number of milliseconds up to a day");
  }
  auto& reactor = *core::Reactor::current();
  call_.deadline = std::max<core::Nanos>(reactor.now() + millis * core::kMillisecond, 1);
  if (millis == 0) {
    expire();
  } else {
    deadline_.arm_at(reactor, call_.deadline);
  }
  return {};
}

// Whoever waits for the rest of a body hears nothing of the token.
void OperationCall::expire() {
  cancel_->fire(Code::kDeadlineExceeded);
  exchange_.interrupt_read();
}

Error OperationCall::late_body() const {
  return {Code::kDeadlineExceeded,
          0,
          "deadline exceeded before the body of " + call_.operation->full_name() +
              " had come; send it faster, or allow more time with " + std::string(kTimeout),
          {}};
}

// What the path says besides the request. Before the headers, which thus cannot say otherwise.
void OperationCall::read_metadata() {
  auto& metadata = call_.metadata.request;
  metadata = route_.binding.metadata;
  std::size_t next = 0;
  for (const auto& step : route_.binding.steps) {
    if (step.kind == rpc::HttpStep::Kind::kLiteral) continue;
    if (!step.metadata.empty()) metadata.emplace_back(step.metadata, resolved_.arguments[next]);
    ++next;
  }
}

core::Task<void> OperationCall::run() {
  if (auto prepared = prepare(); !prepared) {
    co_return co_await refuse(bad_request(prepared.error().message));
  }
  if (route_.view) {
    co_await run_view();
  } else if (route_.entry->handler.unary) {
    co_await run_unary();
  } else {
    co_await run_stream();
  }
  deadline_.disarm();
}

core::Task<void> OperationCall::run_unary() {
  if (!route_.binding.has_body()) {
    request_ = std::move(resolved_.parameters);
  } else if (auto refusal = co_await read_request()) {
    if (late()) co_return co_await refuse_late();
    co_return co_await refuse(*std::move(refusal));
  }
  response_ = route_.new_response();
  const auto result = co_await directory_.run(*route_.entry, call_, *request_, *response_);
  if (!result) co_return co_await answer_error(result.error());
  co_await answer(*response_);
}

core::Task<void> OperationCall::refuse(Refusal refusal) {
  ++counters_.refused;
  if (options_.refused && call_.operation) {
    co_await options_.refused->tell(call_, {refusal.code, 0, refusal.text, {}});
  }
  Reply made = route_.v0 ? v0_reply(refusal, shown_target(exchange_.request().target))
                         : native_reply(refusal, resolved_.response_media);
  for (auto& header : reply(made.status).headers) made.headers.push_back(std::move(header));
  const auto sent = co_await exchange_.answer(std::move(made));
  static_cast<void>(sent.has_value());
}

// As a deadline that the operation itself misses.
core::Task<void> OperationCall::refuse_late() {
  ++counters_.refused;
  const Error error = late_body();
  if (options_.refused) co_await options_.refused->tell(call_, error);
  co_await answer_error(error);
}

// --- the request --------------------------------------------------------------------------------

core::Task<std::optional<Refusal>> OperationCall::read_request() {
  if (!route_.binding.has_body()) {
    request_ = std::move(resolved_.parameters);
    co_return std::nullopt;
  }
  auto body = co_await read_body();
  if (!body) co_return bad_body(body.error());
  if (body->empty() && route_.binding.needs_body) {
    co_return bad_request("Failed to parse the request body: there is none");
  }
  request_ = route_.entry->new_request();
  if (auto decoded = decode(*body, *request_); !decoded) {
    Error error = std::move(decoded).error();
    error.message = "Failed to parse the request body: " + error.message;
    co_return bad_body(error);
  }
  request_->MergeFrom(*resolved_.parameters);
  co_return std::nullopt;
}

core::Task<Result<ByteView>> OperationCall::read_piece() {
  auto piece = co_await exchange_.read();
  if (!piece && late()) co_return std::unexpected(late_body());
  co_return piece;
}

core::Task<Result<std::string>> OperationCall::read_body() {
  const auto too_large = [this] {
    return fail(Code::kResourceExhausted, "the request body is larger than the limit of " +
                                              std::to_string(options_.body_bytes) + " bytes");
  };
  if (exchange_.announced_bytes() > options_.body_bytes) co_return too_large();
  std::string body;
  while (true) {
    CO_TRY_SET(const ByteView piece, co_await read_piece());
    if (piece.empty()) co_return body;
    if (body.size() + piece.size() > options_.body_bytes) co_return too_large();
    if (counters_.body_bytes + piece.size() > limits::kRestBodiesBytes) {
      co_return fail(Code::kUnavailable,
                     "the node holds too many request bodies; send large ones one after another");
    }
    counters_.body_bytes += piece.size();
    held_bytes_ += piece.size();
    body.append(as_text(piece));
  }
}

// One body, or one element of it.
Result<void> OperationCall::decode(std::string_view body, rpc::Message& into) {
  const auto& binding = route_.binding;
  if (binding.raw_body || (binding.json_text && binding.body)) {
    into.Clear();
    std::string value(body);
    // No body at all is none in any type.
    if (!binding.raw_body && !body.empty()) {
      TRY_SET(value, rpc::decode_any_json(resolved_.request_media, body));
    }
    if (binding.body->type() == google::protobuf::FieldDescriptor::TYPE_STRING &&
        rpc::valid_utf8(value) != value) {
      return fail(Code::kInvalidArgument, "the body is not UTF-8");
    }
    if (binding.json_text) TRY(rpc::pretty_sorted_json(value));
    into.GetReflection()->SetString(&into, binding.body, std::move(value));
    return {};
  }
  // A request of which everything is optional or in the path needs no body.
  if (body.empty() && !route_.request.field) return into.Clear(), Result<void>();
  if (!reader_) reader_.emplace();
  return rpc::decode_body(resolved_.request_media, body, into, route_.request, *reader_,
                          route_.style, options_.body_bytes);
}

// --- operations that read a stream --------------------------------------------------------------

core::Task<Result<bool>> OperationCall::next(rpc::Message& into) {
  CO_TRY(call_.token.check());
  if (request_) {  // one request, an answer that streams
    if (std::exchange(request_taken_, true)) co_return false;
    into.CopyFrom(*request_);
    co_return true;
  }
  if (route_.binding.raw_body) co_return co_await next_raw(into);
  if (!elements_) {
    elements_.emplace(format_of(resolved_.request_media), limits::kRestElementBytes);
  }
  while (true) {
    CO_TRY_SET(const auto found, elements_->next());
    if (found) {
      CO_TRY(decode(*found, into));
      if (!std::exchange(first_taken_, true)) into.MergeFrom(*resolved_.parameters);
      co_return true;
    }
    if (body_ended_) {
      if (elements_->complete()) co_return false;
      co_return fail(Code::kInvalidArgument, "the body ends in the middle of an element");
    }
    CO_TRY_SET(const ByteView piece, co_await read_piece());
    if (!piece.empty()) {
      elements_->add(as_text(piece));
      continue;
    }
    body_ended_ = true;
    // The last line of a text may do without its end.
    if (resolved_.request_media == rpc::Media::kJson) elements_->add("\n");
  }
}

// Pieces of the body as they come. An empty body is one message: the path says what it is about.
core::Task<Result<bool>> OperationCall::next_raw(rpc::Message& into) {
  if (body_ended_) co_return false;
  CO_TRY_SET(const ByteView piece, co_await read_piece());
  body_ended_ = piece.empty();
  if (body_ended_ && first_taken_) co_return false;
  CO_TRY(decode(as_text(piece), into));
  if (!std::exchange(first_taken_, true)) into.MergeFrom(*resolved_.parameters);
  co_return true;
}

void OperationCall::interrupt() {
  exchange_.interrupt_read();
}

}  // namespace capstan::wire::rest
