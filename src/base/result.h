// Why this file exists: operating errors are values everywhere in Capstan. Every fallible function
// returns Result<T>; the error carries what a caller can act on (the canonical code), what the
// operating system said (errno), a message for a person, and the chain of what was being done.
//
// The codes are gRPC's canonical set (grpc: doc/statuscodes.md); their numbers are the wire values.
// Programmer errors are not Results: they abort through CAPSTAN_ASSERT (base/assert.h).
// Thread-safety: plain values.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace capstan {

enum class Code : std::uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "NOT_FOUND" for kNotFound; "CODE(n)" never: an unknown number is "UNKNOWN".
std::string_view code_name(Code code);

// What a program can act on beyond the code. Wires that have room for it send it (gRPC as
// google.rpc.Status), clients of those read it back; nothing depends on it being there.
struct ErrorDetails {
  struct Field {
    std::string name;     // of the request, as its .proto spells it: "disks", "header.sha256"
    std::string problem;  // what is wrong with it
  };
  std::string reason;  // of a peer that names its own; empty: the code's name
  std::string domain;  // whose reason it is; empty: ours
  std::vector<std::pair<std::string, std::string>> facts;  // "operation", "name" …
  std::vector<Field> fields;                               // that made the request invalid
  std::uint64_t retry_after_ns = 0;                        // 0: nothing is known about that
};

struct Error {
  Code code = Code::kUnknown;
  int sys_errno = 0;                                 // 0 when the operating system was not involved
  std::string message;                               // the innermost cause
  std::vector<std::string> context;                  // what was being done, innermost first
  std::shared_ptr<const ErrorDetails> details = {};  // often null

  // Adds one outer step ("import pool 'p'") and returns itself, so calls chain.
  Error within(std::string step) &&;
  // "outer: inner: message", the text users see.
  std::string text() const;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// fail(Code::kNotFound, "pool 'p' not found") converts to any Result<T>.
std::unexpected<Error> fail(Code code, std::string message, int sys_errno = 0);

// kInvalidArgument because of one field of the request, which the details name.
std::unexpected<Error> fail_field(std::string field, std::string message);
// An error after which asking again may help, not earlier than in `retry_after_ns`.
std::unexpected<Error> fail_until(Code code, std::string message, std::uint64_t retry_after_ns);

// An error for a failed system call: "<what>: <strerror>". The code follows the usual meaning of
// the errno: ENOENT/ENODEV/ENXIO NOT_FOUND, EEXIST ALREADY_EXISTS, EINVAL INVALID_ARGUMENT,
// EACCES/EPERM PERMISSION_DENIED, ENOSPC/ENOMEM/EMFILE RESOURCE_EXHAUSTED, ECANCELED CANCELLED,
// ETIMEDOUT DEADLINE_EXCEEDED, EBUSY FAILED_PRECONDITION, connection errors UNAVAILABLE,
// everything else INTERNAL. `err` is positive.
std::unexpected<Error> fail_errno(int err, std::string_view what);

}  // namespace capstan

#define CAPSTAN_CONCAT_INNER(a, b) a##b
#define CAPSTAN_CONCAT(a, b) CAPSTAN_CONCAT_INNER(a, b)

// TRY(f()): returns f()'s error from the enclosing function, or goes on.
#define TRY(expr)                                                               \
  do {                                                                          \
    auto capstan_try_ = (expr);                                                 \
    if (!capstan_try_) return std::unexpected(std::move(capstan_try_).error()); \
  } while (false)

// TRY_SET(auto x, f()): the same, binding the value.
#define TRY_SET(decl, expr) \
  CAPSTAN_TRY_SET(CAPSTAN_CONCAT(capstan_try_, __LINE__), decl, expr, return)
// CO_TRY(co_await f()) and CO_TRY_SET(auto x, co_await f()): the same inside a coroutine.
#define CO_TRY(expr)                                                               \
  do {                                                                             \
    auto capstan_try_ = (expr);                                                    \
    if (!capstan_try_) co_return std::unexpected(std::move(capstan_try_).error()); \
  } while (false)
#define CO_TRY_SET(decl, expr) \
  CAPSTAN_TRY_SET(CAPSTAN_CONCAT(capstan_try_, __LINE__), decl, expr, co_return)

#define CAPSTAN_TRY_SET(tmp, decl, expr, leave)            \
  auto tmp = (expr);                                       \
  if (!tmp) leave std::unexpected(std::move(tmp).error()); \
  decl = *std::move(tmp)
