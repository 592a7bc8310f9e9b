// Why this file exists: levels and the rate limit of core/log.h; sinks live in log_spdlog.cc.
#include "core/log.h"

namespace capstan::core {

Log::Log(LogSink& sink, LogLevel level, Clock wall_clock, const void* clock_context,
         std::string module)
    : sink_(&sink),
      level_(level),
      clock_(wall_clock),
      clock_context_(clock_context),
      module_(std::move(module)) {}

Log Log::child(std::string module) const {
  return Log(*sink_, level_, clock_, clock_context_, std::move(module));
}

void Log::write(LogLevel level, std::string_view event, Fields fields) {
  if (!enabled(level)) return;
  const std::uint64_t now = clock_(clock_context_);
  auto it = rates_.find(event);
  if (it == rates_.end()) it = rates_.emplace(std::string(event), Rate{}).first;
  Rate& rate = it->second;
  if (rate.second != now / 1'000'000'000) {
    rate.second = now / 1'000'000'000;
    rate.count = 0;
    if (rate.suppressed != 0) {
      const LogField suppressed[] = {{"event", event}, {"count", rate.suppressed}};
      sink_->write({now, LogLevel::kWarn, module_, "log_records_suppressed", suppressed, 2});
      rate.suppressed = 0;
    }
  }
  if (++rate.count > kLogRecordsPerSecond) {
    ++rate.suppressed;
    return;
  }
  sink_->write({now, level, module_, event, fields.begin(), fields.size()});
}

}  // namespace capstan::core
