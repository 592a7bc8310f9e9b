// Why this file exists: JSON for people: indented by two blanks, members sorted by name. It is also
// the form in which the bridge to JSON-RPC answers (jsonrpc section C.1); as a body of HTTP such an
// answer is on one line (any_json.h).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::rpc {

// kInvalidArgument when `json` is not one JSON text.
Result<std::string> pretty_sorted_json(std::string_view json);

}  // namespace capstan::rpc
