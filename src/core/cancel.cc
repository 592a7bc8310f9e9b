// Why this file exists: the intrusive list behind cancel.h.
#include "core/cancel.h"

#include "base/assert.h"

namespace capstan::core {

Result<void> CancelToken::check() const {
  if (!fired()) return {};
  return fail(reason(), reason() == Code::kDeadlineExceeded ? "deadline exceeded" : "cancelled");
}

CancelCallback::CancelCallback(const CancelToken& token, std::move_only_function<void()> function)
    : function_(std::move(function)) {
  if (!token.state_) return;
  if (token.fired()) {
    function_();
    return;
  }
  state_ = token.state_;
  next_ = state_->first;
  if (next_) next_->previous_ = this;
  state_->first = this;
}

CancelCallback::~CancelCallback() {
  if (!state_) return;
  if (previous_) previous_->next_ = next_;
  if (next_) next_->previous_ = previous_;
  if (state_->first == this) state_->first = next_;
}

CancelSource::CancelSource(const CancelToken& parent)
    : state_(std::make_shared<internal::CancelState>()), parent_(parent) {
  // The callback may run inside its own constructor: it needs nothing but what is made before it.
  parent_link_.emplace(parent_, [this] { fire(parent_.reason()); });
}

void CancelSource::fire(Code reason) {
  CAPSTAN_ASSERT(reason != Code::kOk);
  auto state = state_;  // a callback may destroy this source
  if (state->reason != Code::kOk) return;
  state->reason = reason;
  while (auto* callback = state->first) {
    state->first = callback->next_;
    if (callback->next_) callback->next_->previous_ = nullptr;
    callback->next_ = nullptr;
    callback->state_.reset();
    auto function = std::move(callback->function_);  // the callback may be destroyed by it
    function();
  }
}

}  // namespace capstan::core
