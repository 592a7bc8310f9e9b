// Why this file exists: names to addresses through the system's resolver, which blocks: only for
// programs that have nothing else to do yet, never on a reactor that serves.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::core {

// All addresses of a name, IPv4 and IPv6, as text, each once, in the resolver's order; at least
// one. A numeric address is answered as it is. kUnavailable says what the resolver said.
Result<std::vector<std::string>> resolve_all(const std::string& host);

}  // namespace capstan::core
