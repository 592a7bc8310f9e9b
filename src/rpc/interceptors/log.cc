// Why this file exists: the fields and the level of a call's record (rpc/interceptors/log.h).
#include "rpc/interceptors/log.h"

#include "rpc/log_text.h"
#include "rpc/operation.h"

namespace capstan::rpc {

namespace {

core::LogLevel level_of(const Operation& operation, Code code) {
  switch (code) {
    case Code::kOk:
      return operation.access == Access::kRead || operation.access == Access::kMonitor
                 ? core::LogLevel::kDebug
                 : core::LogLevel::kInfo;
    case Code::kUnknown:
    case Code::kInternal:
    case Code::kDataLoss: return core::LogLevel::kWarn;
    default: return core::LogLevel::kInfo;
  }
}

// Failures are an event of their own, so that the rate limit of many good calls never hides them.
void write(core::Log& log, core::LogLevel level, const char* event, core::Log::Fields fields) {
  switch (level) {
    case core::LogLevel::kDebug: return log.debug(event, fields);
    case core::LogLevel::kWarn: return log.warn(event, fields);
    default: return log.info(event, fields);
  }
}

}  // namespace

void LogInterceptor::record(const Call& call, const Result<void>& result, core::Nanos duration,
                            const google::protobuf::Message* request) {
  const Code code = result ? Code::kOk : result.error().code;
  const core::LogLevel level = level_of(*call.operation, code);
  const core::LogField operation("operation", call.operation->full_name());
  const core::LogField wire("wire", call.wire);
  const core::LogField peer("peer", call.peer.address);
  const core::LogField answer("code", code_name(code));
  const core::LogField micros("duration_us", duration / 1000);
  const core::LogField trace("trace_id", call.trace_id);
  if (result) {
    write(log_, level, "call", {operation, wire, peer, answer, micros, trace});
    return;
  }
  const core::LogField error("error", log_text(result.error()));
  const std::string object = request ? log_object(*call.operation, *request) : "";
  if (object.empty()) {
    write(log_, level, "call_failed", {operation, wire, peer, answer, micros, trace, error});
  } else {
    write(log_, level, "call_failed",
          {operation, wire, peer, answer, micros, trace, {"object", object}, error});
  }
}

// The clock is read for calls that are recorded when all goes well. Where only a failure would be,
// as for reads, it counts from the core's turn in which the call began, which may be a little more.
core::Task<Result<void>> LogInterceptor::around(Call& call, Next& next) {
  const core::Reactor& reactor = *core::Reactor::current();
  const bool recorded = log_.enabled(level_of(*call.operation, Code::kOk));
  const core::Nanos started = recorded ? reactor.read_clock() : reactor.now();
  auto result = co_await next.run(call);
  const Code code = result ? Code::kOk : result.error().code;
  if (log_.enabled(level_of(*call.operation, code))) {
    record(call, result, reactor.read_clock() - started, next.request());
  }
  co_return result;
}

}  // namespace capstan::rpc
