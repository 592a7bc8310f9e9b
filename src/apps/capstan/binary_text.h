// Why this file exists: the layout of octet-stream (http-rpc section 13.4) for people: a table of
// the fields with their sizes and what they hold, then one for each encoding that is named in it,
// as `capstan rpc format --binary` prints them (section 14.2). No I/O.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::apps {

// `schema` is what rpc::binary_schema() writes; kInternal when it is not. Without a line end.
Result<std::string> binary_text(std::string_view schema);

}  // namespace capstan::apps
