// Why this file exists: the arguments of a request as the texts that stand for them in an HTTP
// path, by reflection: for access lists on wires without paths, and for log records. Thread-safety:
// functions.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>

#include "rpc/http_binding.h"

namespace capstan::rpc {

// A field's text; of a list that of one element, of a single field with `index` -1. Empty for
// messages.
std::string value_text(const google::protobuf::Message& message,
                       const google::protobuf::FieldDescriptor& field, int index);

// The message that holds the last field of `path`; null where one on the way is not set.
const google::protobuf::Message* field_holder(const google::protobuf::Message& request,
                                              const FieldPath& path);

// The text of a single field, wrapped values included; nothing when it is empty or not set: no path
// can carry that.
std::optional<std::string> field_text(const google::protobuf::Message& request,
                                      const FieldPath& path);

}  // namespace capstan::rpc
