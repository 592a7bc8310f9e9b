// Why this file exists: errors as the native HTTP tree sends them: a trace, outermost cause first,
// of objects with kind, id and what that id declares; in all three media types, in both directions.
// Source: http-rpc section 6. Which Error becomes which trace is decided by the wire's error map.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "rpc/media.h"

namespace capstan::rpc {

struct TraceError {
  std::string kind = "permanent";  // permanent, temporary, branch; generic ones have no id
  std::string id;                  // "pool.not_found"
  // In order; the values are JSON ("\"text\"").
  std::vector<std::pair<std::string, std::string>> fields;

  TraceError& text(std::string name, std::string_view value);  // adds a field
  // The field's text, also when it is no string (then its JSON); empty when absent.
  std::string field_text(std::string_view name) const;
  bool operator==(const TraceError&) const = default;
};
using ErrorTrace = std::vector<TraceError>;

// {"kind":"temporary","id":"failure","msg":…}: what has no id of its own.
TraceError failure(std::string_view message);

std::string encode_trace(Media media, const ErrorTrace& trace);

// As clients read it: never fails. An empty list becomes one error RPC.Empty_error_list; what is no
// trace becomes one error RPC.Unexpected_error_encoding that holds it.
ErrorTrace decode_trace(Media media, std::string_view body);
// The same where an error is optional: null, [] and {} are no error.
ErrorTrace decode_optional_trace(Media media, std::string_view body);

// The messages of a trace as one line: "outer: inner".
std::string trace_text(const ErrorTrace& trace);

}  // namespace capstan::rpc
