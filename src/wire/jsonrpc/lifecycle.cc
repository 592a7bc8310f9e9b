// Why this file exists: see lifecycle.h.
#include "wire/jsonrpc/lifecycle.h"

#include <cerrno>

namespace capstan::wire::jsonrpc {

using States = rpc::JsonRpcShape::States;

bool Lifecycle::callable(States states) const {
  return states == States::kBoth || runtime_ == (states == States::kRuntime);
}

std::string_view Lifecycle::wrong_state_text() const {
  if (runtime_) {
    return "Method may only be called before framework is initialized. Use --wait-for-rpc command "
           "line parameter and then issue this RPC before the framework_start_init RPC.";
  }
  return "Method may only be called after framework is initialized using framework_start_init RPC.";
}

core::Task<Result<void>> Lifecycle::start() {
  if (runtime_) {
    co_return fail(Code::kFailedPrecondition, std::string(wrong_state_text()), EPERM);
  }
  if (starting_) {
    co_return fail(Code::kFailedPrecondition,
                   "the node is starting already; framework_wait_init tells when it is done",
                   EALREADY);
  }
  starting_ = true;
  auto started = co_await start_();
  starting_ = false;
  runtime_ = started.has_value();
  changed_.notify_all();
  co_return started;
}

core::Task<Result<void>> Lifecycle::wait(core::CancelToken token) {
  core::CancelCallback on_cancel(token, [this] { changed_.notify_all(); });
  while (!runtime_ && !token.fired()) co_await changed_.wait();
  co_return token.check();
}

}  // namespace capstan::wire::jsonrpc
