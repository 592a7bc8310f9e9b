// Why this file exists: texts of errors and the one table from errno to canonical code.
#include "base/result.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace capstan {

std::string_view code_name(Code code) {
  static constexpr std::array<std::string_view, 17> kNames = {"OK",
                                                              "CANCELLED",
                                                              "UNKNOWN",
                                                              "INVALID_ARGUMENT",
                                                              "DEADLINE_EXCEEDED",
                                                              "NOT_FOUND",
                                                              "ALREADY_EXISTS",
                                                              "PERMISSION_DENIED",
                                                              "RESOURCE_EXHAUSTED",
                                                              "FAILED_PRECONDITION",
                                                              "ABORTED",
                                                              "OUT_OF_RANGE",
                                                              "UNIMPLEMENTED",
                                                              "INTERNAL",
                                                              "UNAVAILABLE",
                                                              "DATA_LOSS",
                                                              "UNAUTHENTICATED"};
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : kNames[2];
}

Error Error::within(std::string step) && {
  context.push_back(std::move(step));
  return std::move(*this);
}

std::string Error::text() const {
  std::string out;
  for (auto it = context.rbegin(); it != context.rend(); ++it) out += *it + ": ";
  return out + message;
}

std::unexpected<Error> fail(Code code, std::string message, int sys_errno) {
  return std::unexpected(Error{code, sys_errno, std::move(message), {}});
}

std::unexpected<Error> fail_field(std::string field, std::string message) {
  auto details = std::make_shared<ErrorDetails>();
  details->fields.push_back({std::move(field), message});
  return std::unexpected(
      Error{Code::kInvalidArgument, 0, std::move(message), {}, std::move(details)});
}

std::unexpected<Error> fail_until(Code code, std::string message, std::uint64_t retry_after_ns) {
  auto details = std::make_shared<ErrorDetails>();
  details->retry_after_ns = retry_after_ns;
  return std::unexpected(Error{code, 0, std::move(message), {}, std::move(details)});
}

static Code code_of_errno(int err) {
  switch (err) {
    case ENOENT:
    case ENODEV:
    case ENXIO: return Code::kNotFound;
    case EEXIST: return Code::kAlreadyExists;
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ENOTDIR: return Code::kInvalidArgument;
    case EACCES:
    case EPERM:
    case EROFS: return Code::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE: return Code::kResourceExhausted;
    case ECANCELED: return Code::kCancelled;
    case ETIMEDOUT: return Code::kDeadlineExceeded;
    case EBUSY: return Code::kFailedPrecondition;
    case EOPNOTSUPP: return Code::kUnimplemented;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENOTCONN: return Code::kUnavailable;
    default: return Code::kInternal;
  }
}

std::unexpected<Error> fail_errno(int err, std::string_view what) {
  std::string message(what);
  message += ": ";
  message += std::strerror(err);  // NOLINT(concurrency-mt-unsafe): glibc's is per thread
  return fail(code_of_errno(err), std::move(message), err);
}

}  // namespace capstan
