// Why this file exists: a call may say on what condition it changes an object: `if-match` and
// `if-none-match`, headers over HTTP and metadata elsewhere (http-rpc sections 17 and 20.1). Two
// clients that read the same object and both change it would else undo each other's work.
//
// A handler asks under the lock of what it changes, with nothing awaited until the change has
// begun, and gives what GET would answer for the object at that moment. Which operations' handlers
// ask follows from the declarations (Conditions); HTTP refuses a condition on any other, and a test
// of services calls every one of them to see that it does.
// Thread-safety: plain functions.
#pragma once

#include <google/protobuf/message.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "rpc/call.h"
#include "rpc/operation.h"

namespace capstan::rpc {

inline constexpr char kIfMatch[] = "if-match";
inline constexpr char kIfNoneMatch[] = "if-none-match";
// ErrorDetails::reason of a condition that does not hold; over HTTP it is 412.
inline constexpr char kConditionReason[] = "CONDITION_NOT_MET";

bool is_conditional(const Call& call);

// What a call wants of the object it changes, for changes that may go on without their call.
class Condition {
 public:
  explicit Condition(const Call& call);
  bool given() const { return !wanted_.empty(); }
  // `current`: the response of the operation that GET stands for, null when GET finds nothing;
  // `shape`: the name of the response's field that is the answer, as in its declaration.
  // kFailedPrecondition with kConditionReason when it does not hold; one that is not given holds.
  Result<void> check(const google::protobuf::Message* current, std::string_view shape) const;

 private:
  std::vector<std::pair<std::string, std::string>> wanted_;  // the headers, as in the metadata
};

// The same for a call that is still there.
Result<void> check_condition(const Call& call, const google::protobuf::Message* current,
                             std::string_view shape);

// The condition of a GET: `tag` is of what it is about to answer. If-None-Match is not looked at,
// as that is no error there.
Result<void> check_read_condition(const Call& call, std::string_view tag);

// Which operations take a condition when they are called by which binding: unary ones that PUT,
// PATCH or DELETE what a GET answers whole, at the same path or at the path without its last step
// when that is a literal ("/replicas/{replica_id}/share" is about "/replicas/{replica_id}").
class Conditions {
 public:
  explicit Conditions(const std::vector<const Operation*>& operations);
  bool taken_by(const Operation& operation, const HttpBinding& binding) const;

 private:
  std::set<std::string, std::less<>> objects_;  // patterns of GETs that answer whole
};

}  // namespace capstan::rpc
