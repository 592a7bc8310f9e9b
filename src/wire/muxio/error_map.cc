// Why this file exists: see error_map.h.
#include "wire/muxio/error_map.h"

#include "rpc/error_text.h"

namespace capstan::wire::muxio {

std::string error_payload(const Error& error, bool bare) {
  if (bare) return rpc::error_text({error.code, error.sys_errno, error.message, {}});
  return std::string(code_name(error.code)) + ": " + rpc::error_text(error);
}

Error error_of(Status status, std::string_view payload) {
  if (status == Status::kMethodNotFound) {
    return {Code::kUnimplemented, 0, "the server does not know this method", {}};
  }
  for (int number = 1; number <= static_cast<int>(Code::kUnauthenticated); ++number) {
    const Code code = static_cast<Code>(number);
    const std::string_view name = code_name(code);
    if (payload.starts_with(name) && payload.substr(name.size()).starts_with(": ")) {
      return {code, 0, rpc::valid_utf8(payload.substr(name.size() + 2)), {}};
    }
  }
  if (payload.empty())
    return {Code::kUnknown, 0, "the call failed; the server does not say why", {}};
  return {Code::kUnknown, 0, rpc::valid_utf8(payload), {}};
}

}  // namespace capstan::wire::muxio
