// Why this file exists: structured logs. One record is an event name and key=value fields; the sink
// decides how it looks (text, compact, JSON). A Log is passed to whoever needs it: there is no
// global logger. Each (logger, event) pair is rate-limited: what exceeds kLogRecordsPerSecond is
// counted and reported with the next record that passes.
// Thread-safety: a Sink may be used from all cores; a Log and its children
// belong to one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace capstan::core {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <class T>
    requires std::is_arithmetic_v<T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
};

struct LogRecord {
  std::uint64_t wall_ns = 0;
  LogLevel level = LogLevel::kInfo;
  std::string_view module;
  std::string_view event;
  const LogField* fields = nullptr;
  std::size_t field_count = 0;
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(const LogRecord& record) = 0;
  // Whether later lines carry the time; false when this sink has no say in that.
  virtual bool show_time(bool shown) {
    static_cast<void>(shown);
    return false;
  }
};

struct LogFormat {
  enum class Style { kDefault, kCompact, kJson } style = Style::kDefault;
  bool color = false, date = true, host = false;
};

// Writes to stderr through spdlog (core/log_spdlog.cc). `host` is printed when the format asks.
std::unique_ptr<LogSink> make_stderr_sink(LogFormat format, std::string host);

class Log {
 public:
  using Clock = std::uint64_t (*)(const void* context);
  // `sink` and `clock_context` outlive the Log and every child of it.
  Log(LogSink& sink, LogLevel level, Clock wall_clock, const void* clock_context,
      std::string module = "node");
  // What a Log shares with all its children, to be changed while the node runs.
  struct Control {
    LogLevel level;
    std::map<std::string, std::shared_ptr<bool>, std::less<>> modules;  // true: logs everything
  };
  LogLevel level() const { return control_->level; }
  void set_level(LogLevel level) { control_->level = level; }
  // The modules of this Log and all its relatives, and whether each logs everything.
  std::map<std::string, bool> modules() const;
  // False when there is no such module.
  bool set_module(std::string_view module, bool everything);
  bool show_time(bool shown) { return sink_->show_time(shown); }

  // A logger of another module with the same sink and level.
  Log child(std::string module) const;

  using Fields = std::initializer_list<LogField>;
  void trace(std::string_view event, Fields fields = {}) { write(LogLevel::kTrace, event, fields); }
  void debug(std::string_view event, Fields fields = {}) { write(LogLevel::kDebug, event, fields); }
  void info(std::string_view event, Fields fields = {}) { write(LogLevel::kInfo, event, fields); }
  void warn(std::string_view event, Fields fields = {}) { write(LogLevel::kWarn, event, fields); }
  void error(std::string_view event, Fields fields = {}) { write(LogLevel::kError, event, fields); }
  bool enabled(LogLevel level) const { return level >= control_->level || *everything_; }

 private:
  struct Rate {
    std::uint64_t second = 0;
    unsigned count = 0;
    std::uint64_t suppressed = 0;
  };
  Log(const Log& parent, std::string module);
  void join();
  void write(LogLevel level, std::string_view event, Fields fields);

  LogSink* sink_;
  std::shared_ptr<Control> control_;
  std::shared_ptr<bool> everything_;  // of this module
  Clock clock_;
  const void* clock_context_;
  std::string module_;
  std::map<std::string, Rate, std::less<>> rates_;
};

}  // namespace capstan::core
