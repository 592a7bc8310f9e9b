// Why this file exists: see answer_reader.h.
#include "wire/rest/answer_reader.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "rpc/any_json.h"
#include "rpc/error_text.h"
#include "rpc/error_trace.h"
#include "rpc/media_limits.h"
#include "wire/rest/error_map.h"

namespace capstan::wire::rest {

namespace {

using google::protobuf::FieldDescriptor;
using rpc::Message;

// A header's value without parameters.
std::string_view plain_type(const Http1Response& head) {
  auto type = head.last("content-type").value_or("");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type;
}

std::optional<Code> code_named(std::string_view name) {
  for (int i = 1; i <= static_cast<int>(Code::kUnauthenticated); ++i) {
    const auto code = static_cast<Code>(i);
    if (native_status(code).name == name) return code;
  }
  return std::nullopt;
}

std::string first_line(std::string_view text) {
  constexpr std::size_t kShown = 300;
  return rpc::valid_utf8(text.substr(0, std::min(text.find_first_of("\r\n"), kShown)));
}

// One line of several methods, or a line for each (http-rpc section 4.2).
std::string allowed(const Http1Response& head) {
  std::string all;
  for (const auto& [name, value] : head.headers) {
    if (name == "allow") all += (all.empty() ? "" : ", ") + value;
  }
  return all.empty() ? "none" : all;
}

// The answers of the pipeline and of what stands between it and the client: they have no trace.
Error plain_error(const Http1Response& head, std::string_view body) {
  std::string text = first_line(body);
  switch (head.status) {
    case 401:
      if (text.empty()) text = "the access list of the address does not allow it";
      break;
    case 403:
      if (head.last("x-ocaml-resto-cors-error")) {
        return {Code::kPermissionDenied,
                0,
                "the node refuses the host name by which it was called (--cors-origin)",
                {}};
      }
      return {Code::kPermissionDenied, 0, text.empty() ? "forbidden" : text, {}};
    case 404:
      if (text.empty()) {
        return {Code::kUnimplemented, 0, "nothing is at this path: the node does not serve it", {}};
      }
      break;
    case 405:
      text = "the node does not take this method at this path; it takes " + allowed(head);
      break;
    case 406: text = "the node offers none of our media types; it offers " + text; break;
    case 410: return {Code::kNotFound, 0, text.empty() ? "it is gone" : text, {}};
    case 415: text = "the node does not take the media type of the request"; break;
    default: break;
  }
  Error error = error_of_status(head.status == 415 ? 406 : head.status, std::move(text));
  if (head.status == 406 || head.status == 415) error.code = Code::kUnimplemented;
  if (error.message.empty()) {
    error.message = "the node answered with status " + std::to_string(head.status);
  }
  return error;
}

std::uint64_t retry_after_ns(const Http1Response& head) {
  constexpr std::uint64_t kSecondNanos = 1'000'000'000, kSecondsMax = 86'400;
  const auto text = head.last("retry-after").value_or("");
  std::uint64_t seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return 0;
  return std::min(seconds, kSecondsMax) * kSecondNanos;
}

bool is_absence(const Http1Response& head, std::string_view body) {
  if (head.status != 404) return false;
  const auto media = rpc::media_named(plain_type(head));
  if (!media || body.empty()) return false;
  const auto trace = rpc::decode_trace(*media, body);
  return trace.size() == 1 && trace[0].field_text("msg").starts_with("nothing is at /");
}

// {"details":…,"message":…,"kind":"NotFound"}: how the /v0 tree refuses (http-rpc section 20.3).
std::optional<Error> v0_error(const Http1Response& head, std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  std::string_view kind, text;
  if (body.size() > limits::kTraceBytes ||
      parser.parse(std::string(body)).get(object) != simdjson::SUCCESS ||
      object["kind"].get(kind) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  if (object["details"].get(text) != simdjson::SUCCESS || text.empty()) {
    if (object["message"].get(text) != simdjson::SUCCESS) return std::nullopt;
  }
  Error error = error_of_status(head.status, std::string(text));
  for (int i = 1; i <= static_cast<int>(Code::kUnauthenticated); ++i) {
    std::string name(native_status(static_cast<Code>(i)).name);
    std::erase(name, '_');
    const bool same = std::ranges::equal(
        name, kind, [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
    if (same) error.code = static_cast<Code>(i);
  }
  if (kind == "Unauthenticated") error.code = Code::kUnauthenticated;
  return error;
}

}  // namespace

Error error_of_answer(const Http1Response& head, std::string_view body) {
  const auto media = rpc::media_named(plain_type(head));
  if (!media || body.empty()) return plain_error(head, body);
  if (auto error = v0_error(head, body)) return *std::move(error);
  const auto trace = rpc::decode_trace(*media, body);
  const auto& outer = trace.front();
  Error error = error_of_status(head.status, outer.field_text("msg"));
  const auto dot = outer.id.rfind('.');
  if (const auto code = code_named(std::string_view(outer.id).substr(dot + 1))) error.code = *code;
  if (trace.size() > 1 || error.message.empty()) error.message = rpc::trace_text(trace);
  if (outer.id == "RPC.Unexpected_error_encoding") {
    error.message = "the error of the node cannot be read: " + first_line(body);
  }
  auto details = std::make_shared<ErrorDetails>();
  for (const auto& [name, value] : outer.fields) {
    // Who called knows what the call was about; on other wires nobody says so.
    if (name != "msg" && !names_object(name))
      details->facts.emplace_back(name, outer.field_text(name));
  }
  details->retry_after_ns = retry_after_ns(head);
  if (!details->facts.empty() || details->retry_after_ns != 0) error.details = std::move(details);
  return error;
}

AnswerReader::AnswerReader(const CallPath& path, std::size_t limit_bytes)
    : path_(path), limit_(limit_bytes) {}

void AnswerReader::begin(const Http1Response& head) {
  head_ = head;
  if (head.status == 204 || head.status == 201) {
    kind_ = Kind::kNothing;
    return;
  }
  if (head.status != 200) return;
  if (path_.binding.answer == rpc::HttpAnswer::kRaw) {
    kind_ = Kind::kBytes;
    return;
  }
  const auto type = plain_type(head);
  const auto media = type.empty() ? rpc::Media::kJson : rpc::media_named(type);
  if (!media) {
    wrong_ = {
        Code::kUnavailable, 0, "what answers is no node: its answer is " + first_line(type), {}};
    return;
  }
  media_ = *media;
  kind_ = path_.gives_stream ? Kind::kElements : Kind::kValue;
  if (kind_ == Kind::kValue) return;
  using Format = rpc::ElementSplitter::Format;
  elements_.emplace(media_ == rpc::Media::kJson   ? Format::kLines
                    : media_ == rpc::Media::kBson ? Format::kBsonDocuments
                                                  : Format::kLengthPrefixed,
                    limit_);
}

void AnswerReader::add(std::string_view bytes) {
  if (elements_) {
    elements_->add(bytes);
    return;
  }
  const std::size_t most = kind_ == Kind::kRefusal ? limits::kTraceBytes : limit_;
  const std::size_t room = most - std::min(most, body_.size());
  // A refusal is shown as far as it goes; a value that is cut is none.
  too_large_ = too_large_ || (kind_ != Kind::kRefusal && bytes.size() > room);
  body_.append(bytes.substr(0, room));
}

Result<AnswerReader::Step> AnswerReader::next(Message& into, bool ended) {
  if (wrong_) return std::unexpected(*wrong_);
  if (too_large_) {
    return fail(Code::kResourceExhausted,
                "the answer is larger than the limit of " + std::to_string(limit_) + " bytes");
  }
  if (kind_ == Kind::kElements) return next_element(into, ended);
  if (kind_ == Kind::kBytes && path_.gives_stream && !body_.empty()) {
    into.Clear();
    into.GetReflection()->SetString(&into, path_.binding.result, std::exchange(body_, {}));
    return Step::kMessage;
  }
  if (!ended) return Step::kMore;
  if (kind_ == Kind::kRefusal) {
    const auto* result = path_.binding.result;
    const bool optional = result && (path_.binding.only || result->has_presence());
    if (!optional || path_.gives_stream || !is_absence(head_, body_)) {
      return std::unexpected(error_of_answer(head_, body_));
    }
    body_.clear();
    kind_ = Kind::kNothing;  // as on the other wires: an answer without it
  }
  if (given_ || (kind_ == Kind::kBytes && path_.gives_stream)) return Step::kEnd;
  given_ = true;
  into.Clear();
  if (kind_ != Kind::kNothing) TRY(whole_value(into));
  return Step::kMessage;
}

Result<void> AnswerReader::whole_value(Message& into) {
  const auto& binding = path_.binding;
  const bool text = binding.result && !binding.result->is_repeated() &&
                    binding.result->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  if (kind_ != Kind::kBytes && !(binding.json_text && text)) return decode(body_, into);
  if (kind_ != Kind::kBytes) {
    auto json = rpc::decode_any_json(media_, body_);
    if (!json) return fail(Code::kInternal, "the answer is wrong: " + json.error().message);
    body_ = *std::move(json);
    if (body_.ends_with('\n')) body_.pop_back();
  }
  if (binding.result->type() == FieldDescriptor::TYPE_STRING && rpc::valid_utf8(body_) != body_) {
    return fail(Code::kInternal, "the answer is not UTF-8");
  }
  into.GetReflection()->SetString(&into, binding.result, std::move(body_));
  return {};
}

Result<AnswerReader::Step> AnswerReader::next_element(Message& into, bool ended) {
  auto found = elements_->next();
  if (!found) {
    if (found.error().code == Code::kInvalidArgument) found.error().code = Code::kInternal;
    return std::unexpected(std::move(found).error().within("read the answer"));
  }
  if (*found) {
    TRY(decode(**found, into));
    return Step::kMessage;
  }
  if (!ended) return Step::kMore;
  if (elements_->complete()) return Step::kEnd;
  return fail(Code::kUnavailable, "the answer ends in the middle of an element");
}

Result<void> AnswerReader::decode(std::string_view bytes, Message& into) {
  const auto& shape = path_.response;
  Result<void> done;
  if (media_ == rpc::Media::kJson) {
    rpc::JsonReadOptions options;
    options.ignore_unknown = options.octez_texts = true;
    options.bytes = path_.style.bytes;
    options.limit_bytes = limit_;
    done = shape.field ? reader_.read_field(bytes, into, *shape.field, shape.element, options)
                       : reader_.read(bytes, into, options);
  } else {
    done = rpc::decode_body(media_, bytes, into, shape, reader_, path_.style, limit_);
  }
  if (done) return done;
  if (done.error().code == Code::kInvalidArgument) done.error().code = Code::kInternal;
  return std::unexpected(std::move(done).error().within("read the answer"));
}

}  // namespace capstan::wire::rest
