// Why this file exists: one log record per call, whatever the wire, also for calls that another
// interceptor refused.
#pragma once

#include "core/log.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {

// Reads (read and monitor operations) that succeed are kDebug, other successes and the client's
// mistakes kInfo, the node's own failures (UNKNOWN, INTERNAL, DATA_LOSS) kWarn. A record names the
// objects of a failed call and nothing else of what was sent (rpc/log_text.h).
class LogInterceptor final : public Interceptor {
 public:
  explicit LogInterceptor(core::Log log) : log_(std::move(log)) {}
  Place place() const override { return Place::kLog; }
  core::Task<Result<void>> around(Call& call, Next& next) override;

 private:
  void record(const Call& call, const Result<void>& result, core::Nanos duration,
              const google::protobuf::Message* request);
  core::Log log_;
};

}  // namespace capstan::rpc
