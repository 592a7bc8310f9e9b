// Why this file exists: reads api/rpc/second_names.proto: which native HTTP paths an operation of a
// compatible API stands for, in the form in which an access list is asked about paths.
// Thread-safety: functions of what is linked in; nothing is kept.
#pragma once

#include <google/protobuf/descriptor.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "rpc/http_binding.h"

namespace capstan::rpc {

// A step of a native path that could be any text: the request does not spell it alike.
inline constexpr std::string_view kAnyStep = "*";

// All the native paths that are declared for `method`; nothing when it has no entry.
// kInvalidArgument names the entry and what in it does not fit the request.
Result<std::optional<std::vector<HttpBinding>>> native_paths(
    const google::protobuf::MethodDescriptor& method);

// The operations that have an entry, as they are declared: "mayastor.Mayastor/DestroyPool".
std::vector<std::string> second_names();

}  // namespace capstan::rpc
