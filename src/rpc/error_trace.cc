// Why this file exists: traces are written and read as JSON; BSON and octet-stream carry the same
// value (rpc/bson_codec.h). Reading is for clients: whatever a server sent, the outcome is a trace
// that says so.
#include "rpc/error_trace.h"

#include <simdjson.h>

#include <algorithm>

#include "base/assert.h"
#include "rpc/any_json.h"
#include "rpc/error_text.h"
#include "rpc/json_text.h"
#include "rpc/media_limits.h"

namespace capstan::rpc {

namespace {

using simdjson::dom::element_type;
using Value = simdjson::dom::element;

std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(text, out, JsonEscapes::kOctez);
  return out;
}

std::string trace_json(const ErrorTrace& trace) {
  std::string out = "[";
  for (const auto& error : trace) {
    if (out.size() > 1) out += ',';
    out += R"({"kind":)" + json_quoted(error.kind);
    if (!error.id.empty()) out += R"(,"id":)" + json_quoted(error.id);
    for (const auto& [name, value] : error.fields) out += "," + json_quoted(name) + ":" + value;
    out += '}';
  }
  return out += "]";
}

TraceError unexpected(std::string json) {
  TraceError error;
  error.id = "RPC.Unexpected_error_encoding";
  error.fields.emplace_back("unparsable message", std::move(json));
  return error;
}

TraceError empty_list() {
  TraceError error;
  error.id = "RPC.Empty_error_list";
  return error;
}

bool known_kind(std::string_view kind) {
  return kind == "permanent" || kind == "temporary" || kind == "branch" || kind == "generic";
}

// Nothing when `value` is no error object.
std::optional<TraceError> one_error(const Value& value) {
  simdjson::dom::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
  TraceError error;
  error.kind.clear();
  for (const auto& [name, content] : object) {
    std::string_view text;
    const bool is_text = content.get_string().get(text) == simdjson::SUCCESS;
    if (name == "kind" && is_text) {
      error.kind = text;
    } else if (name == "id" && is_text) {
      error.id = text;
    } else {
      error.fields.emplace_back(name, simdjson::minify(content));
    }
  }
  if (!known_kind(error.kind) || error.id.empty() != (error.kind == "generic")) {
    return std::nullopt;
  }
  return error;
}

bool no_error(const Value& root) {
  simdjson::dom::object object;
  simdjson::dom::array array;
  if (root.get_object().get(object) == simdjson::SUCCESS) return object.size() == 0;
  return root.get_array().get(array) == simdjson::SUCCESS && array.size() == 0;
}

std::optional<ErrorTrace> whole_trace(const Value& root) {
  simdjson::dom::array array;
  if (root.get_array().get(array) != simdjson::SUCCESS || array.size() > limits::kTraceErrors) {
    return std::nullopt;
  }
  ErrorTrace trace;
  for (const Value item : array) {
    auto error = one_error(item);
    if (!error) return std::nullopt;
    trace.push_back(*std::move(error));
  }
  return trace;
}

// The body as JSON text; nothing when its bytes are wrong.
std::optional<std::string> as_json(Media media, std::string_view body) {
  if (body.size() > limits::kTraceBytes) return std::nullopt;
  auto json = decode_any_json(media, body);
  return json ? std::optional(*std::move(json)) : std::nullopt;
}

ErrorTrace decode(Media media, std::string_view body, bool optional) {
  const auto json = as_json(media, body);
  simdjson::dom::parser parser;
  Value root;
  if (!json || parser.parse(*json).get(root) != simdjson::SUCCESS) {
    // Not even JSON: kept as a text, cut.
    return {unexpected(json_quoted(valid_utf8(body.substr(0, limits::kErrorMessageBytes))))};
  }
  if (optional && root.type() == element_type::NULL_VALUE) return {};
  if (no_error(root)) return optional ? ErrorTrace() : ErrorTrace{empty_list()};
  auto trace = whole_trace(root);
  return trace ? *std::move(trace) : ErrorTrace{unexpected(simdjson::minify(root))};
}

}  // namespace

TraceError& TraceError::text(std::string name, std::string_view value) {
  fields.emplace_back(std::move(name), json_quoted(value));
  return *this;
}

std::string TraceError::field_text(std::string_view name) const {
  const auto found = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
  if (found == fields.end()) return "";
  simdjson::dom::parser parser;
  std::string_view text;
  if (parser.parse(found->second).get_string().get(text) != simdjson::SUCCESS) {
    return found->second;
  }
  return std::string(text);
}

TraceError failure(std::string_view message) {
  TraceError error;
  error.kind = "temporary";
  error.id = "failure";
  return error.text("msg", message);
}

std::string encode_trace(Media media, const ErrorTrace& trace) {
  auto body = encode_any_json(media, trace_json(trace));
  // Fails only for values that are no JSON, which is the caller's mistake.
  CAPSTAN_ASSERT(body.has_value());
  return *std::move(body);
}

ErrorTrace decode_trace(Media media, std::string_view body) {
  return decode(media, body, false);
}

ErrorTrace decode_optional_trace(Media media, std::string_view body) {
  return decode(media, body, true);
}

std::string trace_text(const ErrorTrace& trace) {
  std::string text;
  for (const auto& error : trace) {
    std::string what = error.field_text("msg");
    if (what.empty()) what = error.field_text("error");
    if (what.empty()) what = error.id;
    if (!text.empty()) text += ": ";
    text += what;
  }
  return text;
}

}  // namespace capstan::rpc
