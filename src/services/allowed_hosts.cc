// Why this file exists: see allowed_hosts.h.
#include "services/allowed_hosts.h"

#include <algorithm>

#include "services/nqn.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/nvme_codec.h"
#include "storage/pool/lvs_codec.h"

namespace capstan::services {

namespace nvme = storage::nvme;

namespace {

// One descriptor of a metadata page: its head, the name "allowed-hosts", the text, a NUL.
constexpr std::size_t kHeadBytes = 9, kNameBytes = 13;
constexpr std::size_t kStoredBytesMax =
    storage::lvs::kDescriptorBytes - kHeadBytes - kNameBytes - 1;

}  // namespace

Result<void> check_hosts(const std::set<std::string>& hosts) {
  for (const auto& host : hosts) {
    if (well_formed_nqn(host) && nvme::valid_nqn(host)) continue;
    return fail_field("allowed_hosts", "the allowed host '" + host +
                                           "' is no NQN: write it as in "
                                           "nqn.2014-08.org.nvmexpress:uuid:…, without blanks");
  }
  if (hosts.size() <= nvme::limits::kAllowedHosts) return {};
  return fail_field("allowed_hosts",
                    std::to_string(hosts.size()) + " allowed hosts are more than the " +
                        std::to_string(nvme::limits::kAllowedHosts) + " that a share can have");
}

Result<std::string> stored_hosts(const std::set<std::string>& hosts) {
  TRY(check_hosts(hosts));
  std::string text;
  for (const auto& host : hosts) {
    if (host.contains(',')) {
      return fail_field("allowed_hosts", "the allowed host '" + host +
                                             "' has a comma in its name, which stands between "
                                             "hosts where a replica keeps them; give the host a "
                                             "name without commas");
    }
    text += (text.empty() ? "" : ",") + host;
  }
  if (text.size() <= kStoredBytesMax) return text;
  return fail_field("allowed_hosts",
                    std::to_string(hosts.size()) + " allowed hosts have " +
                        std::to_string(text.size()) +
                        " bytes with the commas between them, and a replica keeps " +
                        std::to_string(kStoredBytesMax) +
                        " (58 names with a UUID); allow fewer hosts, or hosts with shorter names");
}

std::vector<std::string> parse_stored_hosts(std::string_view text) {
  std::vector<std::string> hosts;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (comma != 0) hosts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return hosts;
}

}  // namespace capstan::services
