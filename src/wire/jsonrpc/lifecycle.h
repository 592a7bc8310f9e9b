// Why this file exists: a node started with --wait-for-rpc answers JSON-RPC before its engine runs:
// it is in STARTUP until somebody calls framework_start_init (jsonrpc section A.7). The Lifecycle
// is that state; the daemon owns it and says what starting means. Without --wait-for-rpc the node
// is in RUNTIME before its socket exists.
// Thread-safety: core 0.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "core/sync.h"
#include "rpc/operation.h"

namespace capstan::wire::jsonrpc {

class Lifecycle {
 public:
  using Start = std::function<core::Task<Result<void>>()>;

  // Without a `start` the state is RUNTIME from the beginning.
  Lifecycle() = default;
  explicit Lifecycle(Start start) : start_(std::move(start)), runtime_(start_ == nullptr) {}

  bool runtime() const { return runtime_; }
  // Whether a method of these states may be called now.
  bool callable(rpc::JsonRpcShape::States states) const;
  // The text that clients of SPDK know for a call in the wrong state; it goes with code -1.
  std::string_view wrong_state_text() const;

  // STARTUP to RUNTIME. A failed start leaves the state as it was and may be tried again; a second
  // caller while one is at it is refused.
  core::Task<Result<void>> start();
  // Until RUNTIME is reached, or the token fires.
  core::Task<Result<void>> wait(core::CancelToken token);

 private:
  Start start_;
  bool runtime_ = true, starting_ = false;
  core::Event changed_;
};

}  // namespace capstan::wire::jsonrpc
