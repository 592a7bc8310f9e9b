// Why this file exists: sinks that write nothing anywhere: for programs whose own messages are no
// log (`capstan nvme`), for benches and simulations, and for tests, which look at what was logged.
// Thread-safety: NoLog any; the others as their user, who alone reads them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"

namespace capstan::core {

class NoLog final : public LogSink {
 public:
  void write(const LogRecord&) override {}
};

// The names of the events, in order, from a level on.
class EventLog final : public LogSink {
 public:
  explicit EventLog(LogLevel from = LogLevel::kTrace) : from_(from) {}
  void write(const LogRecord& record) override {
    if (record.level >= from_) events.emplace_back(record.event);
  }
  std::ptrdiff_t count(std::string_view event) const { return std::ranges::count(events, event); }
  bool has(std::string_view event) const { return count(event) != 0; }

  std::vector<std::string> events;

 private:
  LogLevel from_;
};

// Each record as "event key=value key=value".
class LineLog final : public LogSink {
 public:
  void write(const LogRecord& record) override {
    std::string line(record.event);
    for (std::size_t i = 0; i < record.field_count; ++i) {
      line.append(" ").append(record.fields[i].key).append("=").append(record.fields[i].value);
    }
    lines.push_back(std::move(line));
  }
  // How many begin with `event` and have `part` somewhere.
  std::ptrdiff_t count(std::string_view event, std::string_view part) const {
    return std::ranges::count_if(lines, [&](const std::string& line) {
      return line.starts_with(event) && line.contains(part);
    });
  }

  std::vector<std::string> lines;
};

}  // namespace capstan::core
