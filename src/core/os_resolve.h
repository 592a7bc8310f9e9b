// Why this file exists: names to addresses through the system's resolver, which blocks: only for
// programs that have nothing else to do yet, never on a reactor that serves.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::core {

// A numeric address is answered as it is; for a name its first address, IPv4 or IPv6, as text.
// kUnavailable says what the resolver said.
Result<std::string> resolve_host(const std::string& host);
// All of its addresses, each once, in the resolver's order; at least one.
Result<std::vector<std::string>> resolve_all(const std::string& host);

}  // namespace capstan::core
