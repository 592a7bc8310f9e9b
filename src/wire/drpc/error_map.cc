// Why this file exists: see error_map.h.
#include "wire/drpc/error_map.h"

#include <algorithm>
#include <array>

namespace capstan::wire::drpc {

// By Code. DAOS's names: 1018 CANCELED, 501000 UNKNOWN, 1003 INVAL, 1011 TIMEDOUT, 1005 NONEXIST,
// 1004 EXIST, 1001 NO_PERM, 1007 NOSPACE, 1012 BUSY, 1013 AGAIN, 1017 OVERFLOW, 1010 NOSYS,
// 1025 MISC, 1006 UNREACH, 2001 IO, 2043 NO_CERT.
static constexpr std::array<std::int32_t, 17> kNumbers = {
    0,     -1018, -501000, -1003, -1011, -1005, -1004, -1001, -1007,
    -1012, -1013, -1017,   -1010, -1025, -1006, -2001, -2043};

std::int32_t drpc_status_number(Code code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kNumbers.size() ? kNumbers[index] : kNumbers[2];
}

Code drpc_code_of_status(std::int32_t status) {
  const auto found = std::ranges::find(kNumbers, status);
  if (found == kNumbers.end()) return Code::kUnknown;
  return static_cast<Code>(found - kNumbers.begin());
}

}  // namespace capstan::wire::drpc
