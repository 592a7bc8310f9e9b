// Why this file exists: see errors.h. Storage sets an errno where the canonical code alone would
// not tell two causes apart; where it sets none, the code decides.
#include "services/errors.h"

#include <cerrno>
#include <utility>

namespace capstan::services {
namespace {

bool ended_early(const Error& error) {
  return error.code == Code::kCancelled || error.code == Code::kDeadlineExceeded;
}

bool is(const Error& error, int err, Code code) {
  return error.sys_errno != 0 ? error.sys_errno == err : error.code == code;
}

Error with_code(Error error, Code code) {
  if (!ended_early(error)) error.code = code;
  return error;
}

}  // namespace

Error pool_create_error(Error error) {
  if (is(error, EEXIST, Code::kAlreadyExists))
    return with_code(std::move(error), Code::kAlreadyExists);
  if (is(error, EINVAL, Code::kInvalidArgument)) {
    return with_code(std::move(error), Code::kInvalidArgument);
  }
  // A refusal to overwrite somebody's data is ours, not upstream's; the client must see it as one.
  if (error.code == Code::kFailedPrecondition) return error;
  return with_code(std::move(error), Code::kInternal);
}

Error pool_import_error(Error error) {
  const bool exists = is(error, EEXIST, Code::kAlreadyExists);
  return with_code(std::move(error), exists ? Code::kAlreadyExists : Code::kInvalidArgument);
}

Error pool_close_error(Error error) {
  return with_code(std::move(error), Code::kInternal);
}

Error pool_grow_error(Error error) {
  return with_code(std::move(error), Code::kInternal);
}

Error replica_resize_error(Error error) {
  switch (error.sys_errno) {
    case ENOSPC:
    case ENOMEM:
    case EMFILE: return with_code(std::move(error), Code::kResourceExhausted);
    case EPERM: return with_code(std::move(error), Code::kPermissionDenied);
    case EINVAL:
    case EOVERFLOW:
    case ENOENT: return with_code(std::move(error), Code::kInvalidArgument);
    // A refusal to cut off what somebody uses is ours, not upstream's.
    case EBUSY: return error;
    default: return with_code(std::move(error), Code::kInternal);
  }
}

Error replica_create_error(Error error) {
  if (is(error, ENOSPC, Code::kResourceExhausted)) {
    return with_code(std::move(error), Code::kResourceExhausted);
  }
  if (is(error, EEXIST, Code::kAlreadyExists))
    return with_code(std::move(error), Code::kAlreadyExists);
  return with_code(std::move(error), Code::kInvalidArgument);
}

Error replica_destroy_error(Error error) {
  if (is(error, ENOENT, Code::kNotFound)) return with_code(std::move(error), Code::kNotFound);
  if (error.sys_errno == ENOMEDIUM) return with_code(std::move(error), Code::kFailedPrecondition);
  if (error.sys_errno == EMEDIUMTYPE) return with_code(std::move(error), Code::kAborted);
  return with_code(std::move(error), Code::kInternal);
}

Error share_error(Error error) {
  // No target, and hosts that are no NQNs, are ours to tell; upstream has one code for all.
  if (error.code == Code::kFailedPrecondition || error.code == Code::kInvalidArgument) return error;
  return with_code(std::move(error), Code::kInternal);
}

Error attribute_error(Error error) {
  return with_code(std::move(error), Code::kDataLoss);
}

}  // namespace capstan::services
