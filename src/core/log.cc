// Why this file exists: levels and the rate limit of core/log.h; sinks live in log_spdlog.cc.
#include "core/log.h"

#include "base/limits.h"

namespace capstan::core {

Log::Log(LogSink& sink, LogLevel level, Clock wall_clock, const void* clock_context,
         std::string module)
    : sink_(&sink),
      control_(std::make_shared<Control>(Control{level, {}})),
      clock_(wall_clock),
      clock_context_(clock_context),
      module_(std::move(module)) {
  join();
}

Log::Log(const Log& parent, std::string module)
    : sink_(parent.sink_),
      control_(parent.control_),
      clock_(parent.clock_),
      clock_context_(parent.clock_context_),
      module_(std::move(module)) {
  join();
}

void Log::join() {
  auto& everything = control_->modules[module_];
  if (!everything) everything = std::make_shared<bool>(false);
  everything_ = everything;
}

Log Log::child(std::string module) const {
  return {*this, std::move(module)};
}

std::map<std::string, bool> Log::modules() const {
  std::map<std::string, bool> out;
  for (const auto& [module, everything] : control_->modules) out[module] = *everything;
  return out;
}

bool Log::set_module(std::string_view module, bool everything) {
  const auto found = control_->modules.find(module);
  if (found == control_->modules.end()) return false;
  *found->second = everything;
  return true;
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
  if (++rate.count > limits::kLogRecordsPerSecond) {
    ++rate.suppressed;
    return;
  }
  sink_->write({now, level, module_, event, fields.begin(), fields.size()});
}

}  // namespace capstan::core
