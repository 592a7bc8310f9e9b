// Why this file exists: the hosts that a share lets in: what such a list may be, and the text that
// is stored with a replica for it (io-engine-behaviour section 8.1). Nothing is stored that would
// be read as other hosts.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::services {

// kInvalidArgument, for the field "allowed_hosts", when one of them is no NQN, or they are more
// than a subsystem has room for.
Result<void> check_hosts(const std::set<std::string>& hosts);

// The text to store, with commas between the hosts. kInvalidArgument when check_hosts() has an
// objection, a name has a comma, or the text is longer than what one attribute holds.
Result<std::string> stored_hosts(const std::set<std::string>& hosts);
// What such a text says; no hosts: anyone.
std::vector<std::string> parse_stored_hosts(std::string_view text);

}  // namespace capstan::services
