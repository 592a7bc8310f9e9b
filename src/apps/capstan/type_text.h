// Why this file exists: messages described for people: their fields with types, one type after the
// other, as `capstan rpc describe` and `capstan rpc format` print them.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

#include "rpc/body_shape.h"

namespace capstan::apps {

// What the body of a request or an answer holds, every line indented by two; then the types that it
// names.
std::string shape_text(const rpc::BodyShape& shape);

}  // namespace capstan::apps
