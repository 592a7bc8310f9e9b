// Why this file exists: a value that is any JSON as a body of each media type: JSON text on one
// line and a line feed, BSON, or in octet-stream the length-prefixed BSON (http-rpc sections 7.4
// and 7.5, "any JSON"). For what has no message: traces of errors, documents, methods that take
// what they like.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/media.h"

namespace capstan::rpc {

// `json` is one value, also on several lines. kInvalidArgument when it is none that the type can
// hold.
Result<std::string> encode_any_json(Media media, std::string_view json);
// JSON text; JSON itself is returned as it came. kInvalidArgument when the bytes are wrong.
Result<std::string> decode_any_json(Media media, std::string_view body);

}  // namespace capstan::rpc
