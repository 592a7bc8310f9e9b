// Why this file exists: an object that was and is no more, or a place in a list that is not kept
// any longer, is not found; who asks over HTTP is told apart that asking again is in vain: 410
// (http-rpc section 20.2, "gone"). Thread-safety: plain functions.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/result.h"

namespace capstan::rpc {

// ErrorDetails::reason of such a kNotFound.
inline constexpr char kGoneReason[] = "GONE";

inline std::unexpected<Error> fail_gone(std::string message) {
  auto details = std::make_shared<ErrorDetails>();
  details->reason = kGoneReason;
  auto error = fail(Code::kNotFound, std::move(message));
  error.error().details = std::move(details);
  return error;
}

}  // namespace capstan::rpc
