// Why this file exists: cancelling is a request. A CancelSource fires once, with a reason; whoever
// holds its CancelToken hears of it and ends early *through its normal path*. I/O that is in the
// kernel is asked to stop and still awaited, because the kernel holds its buffer until then.
//
// A deadline is a token fired by a timer (Deadline); a client that goes away is a token fired by
// its session. Nothing else cancels anything.
// Thread-safety: a source and its tokens belong to one core.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"

namespace capstan::core {

class CancelCallback;

namespace internal {
struct CancelState {
  Code reason = Code::kOk;  // kOk: not fired
  CancelCallback* first = nullptr;
};
}  // namespace internal

// A copyable view of a source; a default-made token never fires.
class CancelToken {
 public:
  CancelToken() = default;
  bool fired() const { return state_ && state_->reason != Code::kOk; }
  // kCancelled or kDeadlineExceeded once fired; kOk before.
  Code reason() const { return state_ ? state_->reason : Code::kOk; }
  // The error to answer with once fired; success before.
  Result<void> check() const;

 private:
  friend class CancelSource;
  friend class CancelCallback;
  explicit CancelToken(std::shared_ptr<internal::CancelState> state) : state_(std::move(state)) {}
  std::shared_ptr<internal::CancelState> state_;
};

// Calls `function` when the token fires (at once if it has fired already), never after
// destruction. The function may destroy other callbacks of the same source, also itself.
class CancelCallback {
 public:
  CancelCallback(const CancelToken& token, std::move_only_function<void()> function);
  ~CancelCallback();
  CancelCallback(const CancelCallback&) = delete;
  CancelCallback& operator=(const CancelCallback&) = delete;

 private:
  friend class CancelSource;
  std::shared_ptr<internal::CancelState> state_;  // null once fired or when the token was empty
  std::move_only_function<void()> function_;
  CancelCallback* previous_ = nullptr;
  CancelCallback* next_ = nullptr;
};

class CancelSource {
 public:
  CancelSource() : state_(std::make_shared<internal::CancelState>()) {}
  // Fires also when `parent` fires.
  explicit CancelSource(const CancelToken& parent);
  ~CancelSource() = default;
  CancelSource(const CancelSource&) = delete;
  CancelSource& operator=(const CancelSource&) = delete;

  CancelToken token() const { return CancelToken(state_); }
  // The first call wins; later ones do nothing.
  void fire(Code reason = Code::kCancelled);
  bool fired() const { return state_->reason != Code::kOk; }
  // Whether anybody has a token of it.
  bool watched() const { return state_.use_count() > 1; }

 private:
  std::shared_ptr<internal::CancelState> state_;
  CancelToken parent_;
  std::optional<CancelCallback> parent_link_;
};

}  // namespace capstan::core
