// Why this file exists: what a Store makes of the errors of its device: which of them end all
// changes, which are only counted, who is told, and what a caller is told afterwards.
#include <cerrno>

#include "storage/pool/store.h"

namespace capstan::storage::lvs {
namespace {

// Nothing will come from this device again.
bool says_gone(const Error& error) {
  switch (error.sys_errno) {
    case ENODEV:
    case ENXIO:
    case ENOMEDIUM:
    case ESHUTDOWN: return true;
    default: return error.code == Code::kUnavailable;
  }
}

// What the device cannot do at all, or could not do for lack of memory, says nothing of its health.
bool says_nothing(const Error& error) {
  return error.code == Code::kUnimplemented || error.sys_errno == ENOMEM;
}

}  // namespace

Result<void> Store::check_usable() const {
  if (!closed_) return {};
  return fail(Code::kFailedPrecondition, "pool '" + name_ + "' is not loaded any more: import it",
              ENOMEDIUM);
}

Result<void> Store::check_writable() const {
  TRY(check_usable());
  if (!fault_) return {};
  return fail(fault_->code,
              "pool '" + name_ + "' refuses changes: " + health_.reason +
                  "; look after the device, then export the pool and import it again",
              EIO);
}

Error Store::record_fault(Error error) {
  const std::string text = error.text();
  const char* what = says_gone(error) ? "its device is gone" : "its metadata could not be written";
  Error named = std::move(error).within("pool '" + name_ + "'");
  if (fault_) return named;
  fault_ = named;
  worsen(PoolHealth::State::kFaulted, std::string(what) + " (" + text + ")");
  return named;
}

void Store::device_lost(const std::string& why) {
  if (!closed_) (void)record_fault(Error{Code::kUnavailable, ENODEV, why, {}});
}

void Store::note_data_error(const Error& error) {
  if (closed_ || says_nothing(error)) return;
  ++health_.io_errors;
  if (says_gone(error))
    (void)record_fault(error);
  else
    worsen(PoolHealth::State::kDegraded, "its device failed (" + error.text() + ")");
}

void Store::note_stall() {
  if (closed_) return;
  worsen(PoolHealth::State::kDegraded, "its device has not answered a request for " +
                                           std::to_string(kStalledAfter / core::kSecond) + " s");
}

void Store::worsen(PoolHealth::State state, std::string reason) {
  if (state <= health_.state) return;
  health_.state = state;
  health_.reason = std::move(reason);
  if (tell_) tell_(health_);
}

}  // namespace capstan::storage::lvs
