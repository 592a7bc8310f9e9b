// Why this file exists: the way out of rest/operation_call.h: whole answers, large values in
// pieces, streams of elements, and errors.
#include <algorithm>
#include <utility>

#include "rpc/any_json.h"
#include "rpc/condition.h"
#include "rpc/error_text.h"
#include "rpc/etag.h"
#include "rpc/json_pieces.h"
#include "wire/rest/error_map.h"
#include "wire/rest/operation_call.h"
#include "wire/rest/pipeline.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

namespace {

namespace pb = google::protobuf;

constexpr char kBytesType[] = "application/octet-stream";
// As Prometheus wants it; to everyone else it is plain text.
constexpr char kTextType[] = "text/plain; version=0.0.4; charset=utf-8";

const char* raw_type(const pb::FieldDescriptor& field) {
  return field.type() == pb::FieldDescriptor::TYPE_STRING ? kTextType : kBytesType;
}

// Metadata that is a header over HTTP, too: "x-rev".
bool is_extra_header(std::string_view name, std::string_view value) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  const auto token = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return name.starts_with("x-") && !name.ends_with("-bin") && std::ranges::all_of(name, token) &&
         std::ranges::all_of(value, printable);
}

// In whole seconds, as the header has it; 0: nothing is known.
std::uint64_t retry_after(const Error& error, unsigned status) {
  const std::uint64_t nanos = error.details ? error.details->retry_after_ns : 0;
  if (nanos != 0) return (nanos + core::kSecond - 1) / core::kSecond;
  return status == 503 ? 1 : 0;
}

// The text "a.b" of a message; nothing when it has no such fields.
std::optional<std::string> text_named(const rpc::Message& message, std::string_view name) {
  const rpc::Message* in = &message;
  for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    const auto* field = in->GetDescriptor()->FindFieldByName(std::string(name.substr(0, dot)));
    if (!field || field->is_repeated() || !field->message_type()) return std::nullopt;
    in = &in->GetReflection()->GetMessage(*in, field);
    name.remove_prefix(dot + 1);
  }
  const auto* field = in->GetDescriptor()->FindFieldByName(std::string(name));
  if (!field || field->cpp_type() != pb::FieldDescriptor::CPPTYPE_STRING) return std::nullopt;
  return in->GetReflection()->GetString(*in, field);
}

}  // namespace

bool is_missing(const rpc::HttpBinding& binding, const rpc::Message& response) {
  if (!binding.result) return false;
  const auto* r = response.GetReflection();
  if (binding.only) return r->FieldSize(response, binding.result) == 0;
  return binding.result->has_presence() && !r->HasField(response, binding.result);
}

bool may_answer_head(const Route& route) {
  if (route.view) return true;
  return route.binding.method == "GET" && route.binding.answer == rpc::HttpAnswer::kOk &&
         !route.server_streams();
}

Reply OperationCall::reply(unsigned status) const {
  Reply made;
  made.status = status;
  // Octez sends it with everything but 201 and 204.
  if (!origin_.empty() && status != 201 && status != 204) {
    made.headers.emplace_back("Access-Control-Allow-Origin", origin_);
  }
  // What the handler says beside its answer, as far as it is meant for HTTP.
  for (const auto& [name, value] : call_.metadata.initial) {
    if (is_extra_header(name, value)) made.headers.emplace_back(name, value);
  }
  return made;
}

// What the path says the call is about. What may be a URI is left out: it may hold a password.
void OperationCall::add_objects(rpc::TraceError& error) const {
  std::size_t next = 0;
  for (const auto& step : route_.binding.steps) {
    if (step.kind == rpc::HttpStep::Kind::kLiteral) continue;
    if (next == resolved_.arguments.size()) return;
    const std::string& value = resolved_.arguments[next++];
    if (value.find('@') != std::string::npos || value.find("://") != std::string::npos) continue;
    if (!names_object(step.name) || !error.field_text(step.name).empty()) continue;
    error.text(step.name, rpc::valid_utf8(value));
  }
}

Reply OperationCall::trace_reply(const Error& error) const {
  Reply made = reply(status_of(error));
  made.headers.emplace_back("content-type", rpc::media_name(resolved_.response_media));
  auto trace = error_trace(error, route_.entry->operation);
  add_objects(trace.front());
  made.body = rpc::encode_trace(resolved_.response_media, trace);
  return made;
}

Reply OperationCall::v0_error_reply(const Error& error) const {
  const V0Status status = v0_status(error);
  Reply made = reply(status.status);
  made.headers.emplace_back("content-type", "application/json");
  // The fields as http-rpc section 20.8 has them: the reason, and what was asked.
  std::string details = rpc::error_text(error);
  if (error.details) {
    for (const auto& [name, value] : error.details->facts) details += ", " + name + " " + value;
    for (const auto& field : error.details->fields) details += ", field " + field.name;
  }
  made.body = v0_error(status.kind, shown_target(exchange_.request().target), details);
  return made;
}

core::Task<void> OperationCall::answer_error(const Error& error) {
  // Nobody is there to read it.
  if (exchange_.gone().fired()) co_return;
  Reply made = route_.v0 ? v0_error_reply(error) : trace_reply(error);
  if (error.code == Code::kUnauthenticated) made.headers.emplace_back("www-authenticate", "Bearer");
  if (const auto seconds = retry_after(error, made.status); seconds != 0) {
    made.headers.emplace_back("retry-after", std::to_string(seconds));
  }
  const auto sent = co_await exchange_.answer(std::move(made));
  static_cast<void>(sent.has_value());
}

// --- whole answers
// --------------------------------------------------------------------------------

core::Task<void> OperationCall::run_view() {
  if (route_.entry) {
    const auto request = route_.entry->new_request();
    const auto response = route_.entry->new_response();
    const auto allowed = co_await directory_.run(*route_.entry, call_, *request, *response);
    if (!allowed) co_return co_await answer_error(allowed.error());
  }
  Reply made = route_.view({resolved_.arguments, query_});
  if (route_.view_body == ViewBody::kJson) {
    // A document of ours that is none: nobody's request is wrong.
    if (auto done = use_media(made); !done) made = {500, {}, {}};
  }
  for (auto& header : reply(made.status).headers) made.headers.push_back(std::move(header));
  const auto sent = co_await exchange_.answer(std::move(made));
  static_cast<void>(sent.has_value());
}

// A JSON document in the media type that the client wants.
Result<void> OperationCall::use_media(Reply& document) const {
  const auto media = resolved_.response_media;
  for (auto& [name, value] : document.headers) {
    if (name != "content-type") continue;
    if (value != rpc::media_name(rpc::Media::kJson)) return {};
    value = rpc::media_name(media);
  }
  if (document.body.empty()) return {};
  TRY_SET(document.body, rpc::encode_any_json(media, document.body));
  return {};
}

std::string OperationCall::location(const rpc::Message& response) const {
  std::string_view pattern = route_.binding.location;
  std::string made;
  while (!pattern.empty()) {
    const auto open = pattern.find('{');
    made += pattern.substr(0, open);
    if (open == std::string_view::npos) break;
    const auto close = pattern.find('}', open);
    const auto name = pattern.substr(open + 1, close - open - 1);
    auto text = text_named(response, name);
    if (!text) text = text_named(*request_, name);
    made += encode_segment(text.value_or("")).value_or("");
    pattern = close == std::string_view::npos ? std::string_view() : pattern.substr(close + 1);
  }
  return made;
}

Result<Reply> OperationCall::whole_reply(const rpc::Message& response) const {
  const auto& binding = route_.binding;
  const auto text = [&] { return response.GetReflection()->GetString(response, binding.result); };
  Reply made = reply(200);
  if (binding.answer == rpc::HttpAnswer::kRaw) {
    made.type = raw_type(*binding.result);
    made.body = text();
    return made;
  }
  if (binding.json_text && binding.result) {
    TRY_SET(made.body, rpc::encode_any_json(resolved_.response_media, text()));
    made.type = rpc::media_name(resolved_.response_media);
    return made;
  }
  made.type = rpc::media_name(resolved_.response_media);
  const auto& shape = route_.response;
  if (resolved_.response_media == rpc::Media::kJson && !shape.element && shape.hidden.empty()) {
    TRY(shape.field ? route_.plans->write_field(response, *shape.field, made.body)
                    : route_.plans->write(response, made.body));
    made.body += '\n';
    return made;
  }
  TRY_SET(made.body, rpc::encode_body(resolved_.response_media, response, shape, route_.style));
  return made;
}

// Empty: the answer has none.
std::string OperationCall::tag_of(const rpc::Message& response) const {
  const auto& binding = route_.binding;
  if (binding.method != "GET") return {};
  if (!options_.cache_headers && !rpc::is_conditional(call_)) return {};
  return rpc::etag_of(response, resolved_.response_media,
                      binding.result ? binding.result->name() : "");
}

core::Task<void> OperationCall::answer(const rpc::Message& response) {
  const auto& binding = route_.binding;
  if (is_missing(binding, response)) {
    co_return co_await answer_error(
        {Code::kNotFound, 0, "nothing is at " + shown_target(exchange_.request().target), {}});
  }
  std::string tag = tag_of(response);
  if (!tag.empty()) {
    if (const auto met = rpc::check_read_condition(call_, tag); !met) {
      co_return co_await answer_error(met.error());
    }
    // Tags that nobody is told are for If-Match only.
    if (!options_.cache_headers) tag.clear();
    const auto known = exchange_.request().header("if-none-match");
    if (!tag.empty() && rpc::etag_listed(known, tag)) {
      Reply same = reply(304);
      same.headers.emplace_back("etag", tag);
      const auto sent = co_await exchange_.answer(std::move(same));
      static_cast<void>(sent.has_value());
      co_return;
    }
  }
  Reply made;
  switch (binding.answer) {
    case rpc::HttpAnswer::kNoContent: made = reply(204); break;
    case rpc::HttpAnswer::kCreated:
      made = reply(201);
      made.headers.emplace_back("location", location(response));
      break;
    case rpc::HttpAnswer::kChunked: co_return co_await answer_pieces(response, tag);
    default: {
      auto whole = whole_reply(response);
      if (!whole) co_return co_await answer_error(whole.error());
      made = *std::move(whole);
      answered_bytes_ = made.body.size();
      if (!tag.empty()) made.headers.emplace_back("etag", tag);
    }
  }
  const auto sent = co_await exchange_.answer(std::move(made));
  static_cast<void>(sent.has_value());
}

// Only JSON is cut; in the other two the value is one piece.
core::Task<void> OperationCall::answer_pieces(const rpc::Message& response, std::string tag) {
  Reply head = reply(200);
  if (!tag.empty()) head.headers.emplace_back("etag", tag);
  head.type = rpc::media_name(resolved_.response_media);
  if (resolved_.response_media != rpc::Media::kJson) {
    const auto whole = rpc::encode_body(resolved_.response_media, response, route_.response);
    if (!whole) co_return co_await answer_error(whole.error());
    Result<void> sent = co_await exchange_.start(std::move(head), true);
    if (sent) sent = co_await exchange_.write(*whole);
    if (sent) sent = co_await exchange_.finish();
    co_return;
  }
  rpc::JsonPieces pieces(response, route_.response, route_.style, *route_.plans);
  // The first one before the head: what cannot be written at all is still an error.
  auto piece = pieces.next();
  if (!piece) co_return co_await answer_error(piece.error());
  Result<void> sent = co_await exchange_.start(std::move(head), true);
  answered_bytes_ = 0;
  while (sent && piece && !piece->empty()) {
    answered_bytes_ += piece->size();
    sent = co_await exchange_.write(*piece);
    co_await core::yield();
    piece = pieces.next();
  }
  if (!sent) co_return;
  if (!piece) co_return exchange_.break_off();
  sent = co_await exchange_.finish();
}

// --- streams ------------------------------------------------------------------------------------

core::Task<void> OperationCall::run_stream() {
  if (!route_.client_streams()) {
    if (auto refusal = co_await read_request()) {
      if (late()) co_return co_await refuse_late();
      co_return co_await refuse(*std::move(refusal));
    }
  }
  const bool endless = route_.entry->operation.kind == rpc::Kind::kEndless;
  core::Scope scope;
  if (route_.server_streams()) ++counters_.streams;
  if (endless) {
    on_stop_.emplace(exchange_.stopping(), [this] {
      stopped_ = true;
      cancel_->fire(Code::kCancelled);
    });
    scope.spawn(announce());
  }
  auto result = co_await directory_.run(*route_.entry, call_, *this, *this);
  done_ = true;
  release_announcement();
  cancel_->fire(Code::kCancelled);  // ends the announcement
  co_await scope.join();
  if (route_.server_streams()) {
    --counters_.streams;
    co_return co_await end_stream(std::move(result));
  }
  if (!result) co_return co_await answer_error(result.error());
  if (!response_) {
    co_return co_await answer_error(
        {Code::kInternal, 0, "the operation ended without an answer", {}});
  }
  co_await answer(*response_);
}

// A client of an endless answer must see that it has begun, also when there is nothing to say yet.
core::Task<void> OperationCall::announce() {
  auto slept = co_await core::sleep_for(limits::kRestAnnounceNanos, call_.token);
  if (announcement_held_) {
    co_await announcement_released_.wait();
    slept = co_await core::sleep_for(limits::kRestAnnounceNanos, call_.token);
  }
  if (!slept || done_) co_return;
  const auto guard = co_await writing_.lock();
  if (!done_) {
    const auto sent = co_await start_stream();
    static_cast<void>(sent.has_value());  // the handler's next element finds out, too
  }
}

core::Task<Result<void>> OperationCall::start_stream() {
  if (std::exchange(started_, true)) co_return Result<void>();
  Reply head = reply(200);
  const bool raw = route_.binding.answer == rpc::HttpAnswer::kRaw;
  head.type = raw ? raw_type(*route_.binding.result) : rpc::media_name(resolved_.response_media);
  co_return co_await exchange_.start(std::move(head), false);
}

Result<std::string> OperationCall::element(const rpc::Message& message) const {
  if (route_.binding.answer == rpc::HttpAnswer::kRaw) {
    return message.GetReflection()->GetString(message, route_.binding.result);
  }
  return rpc::encode_body(resolved_.response_media, message, route_.response, route_.style);
}

core::Task<Result<void>> OperationCall::send(const rpc::Message& message) {
  CO_TRY(call_.token.check());
  if (!route_.server_streams()) {
    response_ = route_.entry->new_response();
    response_->CopyFrom(message);
    co_return Result<void>();
  }
  CO_TRY_SET(const std::string bytes, element(message));
  co_return co_await put_element(bytes);
}

// Clients of the same path and media type get the same bytes.
core::Task<Result<void>> OperationCall::send_shared(
    std::shared_ptr<const rpc::SharedMessage> message) {
  CO_TRY(call_.token.check());
  if (!route_.server_streams()) co_return co_await send(message->message());
  const rpc::SharedMessage::Form form{&route_, static_cast<int>(resolved_.response_media)};
  CO_TRY_SET(const auto bytes, message->bytes(form, [&] { return element(message->message()); }));
  co_return co_await put_element(*bytes);
}

// `bytes` live until it has ended.
core::Task<Result<void>> OperationCall::put_element(std::string_view bytes) {
  const auto guard = co_await writing_.lock();
  CO_TRY(call_.token.check());
  CO_TRY(co_await start_stream());
  if (!bytes.empty()) CO_TRY(co_await exchange_.write(bytes));
  co_return call_.token.check();
}

core::Task<void> OperationCall::end_stream(Result<void> result) {
  if (exchange_.gone().fired()) co_return;
  if (!result && !stopped_) {
    if (!started_) co_return co_await answer_error(result.error());
    // Half an answer must not look whole.
    co_return exchange_.break_off();
  }
  Result<void> sent = co_await start_stream();
  if (sent) sent = co_await exchange_.finish();
}

}  // namespace capstan::wire::rest
