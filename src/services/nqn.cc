// Why this file exists: see nqn.h.
#include "services/nqn.h"

#include <algorithm>

#include "base/utf8.h"
#include "base/uuid.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::services {
namespace {

constexpr std::string_view kUuidPrefix = "nqn.2014-08.org.nvmexpress:uuid:";
constexpr std::string_view kDate = "nqn.dddd-dd.";  // d: a digit
constexpr std::size_t kUuidBytes = 36, kLabelBytesMax = 63;

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool well_formed_label(std::string_view label) {
  const auto known = [](char c) { return letter(c) || digit(c) || c == '-'; };
  return !label.empty() && label.size() <= kLabelBytesMax && letter(label.front()) &&
         label.back() != '-' && std::ranges::all_of(label, known);
}

}  // namespace

bool well_formed_nqn(std::string_view nqn) {
  if (nqn.size() > storage::nvme::kNqnBytesMax) return false;
  if (nqn == storage::nvme::kDiscoveryNqn) return true;
  if (nqn.starts_with(kUuidPrefix)) {
    const std::string_view uuid = nqn.substr(kUuidPrefix.size());
    return uuid.size() == kUuidBytes && Uuid::parse(uuid);
  }
  const auto like = [](char pattern, char c) { return pattern == 'd' ? digit(c) : pattern == c; };
  const auto colon = nqn.find(':');
  if (colon == nqn.npos || colon < kDate.size() || colon + 1 == nqn.size() ||
      !std::ranges::equal(kDate, nqn.substr(0, kDate.size()), like)) {
    return false;
  }
  std::string_view domain = nqn.substr(kDate.size(), colon - kDate.size());
  while (true) {
    const auto dot = domain.find('.');
    if (!well_formed_label(domain.substr(0, dot))) return false;
    if (dot == domain.npos) break;
    domain.remove_prefix(dot + 1);
  }
  const std::string_view name = nqn.substr(colon + 1);
  return is_utf8({reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
}

}  // namespace capstan::services
