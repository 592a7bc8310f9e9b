// Why this file exists: NQNs as SPDK wants them where somebody makes a subsystem or names a host
// (jsonrpc section B.7): stricter than what a host may say of itself when it connects.
#pragma once

#include <string_view>

namespace capstan::services {

// At most 223 bytes: "nqn.yyyy-mm.reverse.domain:name", labels of at most 63 letters, digits and
// hyphens that begin with a letter and do not end with a hyphen, a name of at least one UTF-8
// character; or "nqn.2014-08.org.nvmexpress:uuid:" and a UUID; or the name of discovery.
bool well_formed_nqn(std::string_view nqn);

}  // namespace capstan::services
