// Why this file exists: the target of an HTTP request as what it means: segments of the path and
// fields of the query, decoded, and the way back for clients. Source: http-rpc sections 2.3, 2.4
// and 5.1. No I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace capstan::wire::rest {

using QueryFields = std::vector<std::pair<std::string, std::string>>;

struct Target {
  // Decoded. Empty ones have vanished, dot segments (also percent-encoded ones) are resolved, and
  // "%2F" is a slash within its segment.
  std::vector<std::string> segments;
  QueryFields query;  // in the order of the URL
};

// A path, an absolute URI (of which only path and query count) or "*" (no segments).
// kInvalidArgument for anything else and for too many fields.
Result<Target> parse_target(std::string_view target);

// The target of a request for an answer that repeats it: what may be user information in front of a
// host, also percent-encoded in a segment, is an ellipsis, and so is a query with an '@' in it.
std::string shown_target(std::string_view target);

// "%41" and, with `plus`, "+" decoded; what is no escape stays as it is.
std::string percent_decode(std::string_view text, bool plus);
QueryFields parse_query(std::string_view query);

// One segment of a path as clients write it. Nothing for a segment that no path can carry: "", "."
// and "..".
std::optional<std::string> encode_segment(std::string_view segment);
// A name or value of a query.
std::string encode_query(std::string_view text);

}  // namespace capstan::wire::rest
