// Why this file exists: `capstan kv --file PATH ...`: a store's file that no node has open.
// Programs that talk to nodes know nothing of storage, so this one becomes capstan-kv, which stands
// beside it; here is what that program is told. Pure values in, words out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/capstan/command.h"

namespace capstan::apps {

inline constexpr char kKvProgram[] = "capstan-kv";

// The arguments of capstan-kv; nothing when the command is for a node. Errors are usage errors.
Result<std::optional<std::vector<std::string>>> kv_file_arguments(const Invocation& invocation);

}  // namespace capstan::apps
