// Why this file exists: the only file that sees spdlog. Lines are formatted here (spdlog's pattern
// is just the text), so the three styles are ours and spdlog does colours and the output lock.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ansicolor_sink.h>

#include <array>
#include <atomic>
#include <chrono>

#include "core/log.h"

namespace capstan::core {

namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};
constexpr std::array<spdlog::level::level_enum, 5> kLevels = {
    spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
    spdlog::level::err};

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  out += '"';
}

// Values with blanks or quotes are quoted, so that a line stays one line and can be taken apart.
void append_value(std::string& out, std::string_view value) {
  const bool plain = !value.empty() && value.find_first_of(" \"\\=\n\r\t") == value.npos;
  if (plain) {
    out += value;
  } else {
    append_json_text(out, value);
  }
}

std::string date_text(std::uint64_t wall_ns) {
  const std::chrono::sys_seconds seconds{std::chrono::seconds(wall_ns / 1'000'000'000)};
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", seconds, wall_ns / 1000 % 1'000'000);
}

class StderrSink final : public LogSink {
 public:
  StderrSink(LogFormat format, std::string host)
      : format_(format), date_(format.date), host_(std::move(host)) {
    auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
        format.color ? spdlog::color_mode::automatic : spdlog::color_mode::never);
    sink->set_pattern(format.color ? "%^%v%$" : "%v");
    logger_ = std::make_unique<spdlog::logger>("capstan", std::move(sink));
    logger_->set_level(spdlog::level::trace);
    logger_->flush_on(spdlog::level::trace);
  }

  bool show_time(bool shown) override {
    date_ = shown;
    return true;
  }

  void write(const LogRecord& record) override {
    const auto level = static_cast<std::size_t>(record.level);
    logger_->log(kLevels[level], "{}",
                 format_.style == LogFormat::Style::kJson ? json(record) : text(record));
  }

 private:
  std::string text(const LogRecord& record) const {
    std::string out;
    if (date_) out += date_text(record.wall_ns) + ' ';
    if (format_.host) out += host_ + ' ';
    const auto name = kLevelNames[static_cast<std::size_t>(record.level)];
    if (format_.style == LogFormat::Style::kCompact) {
      out += name[0];
    } else {
      out += fmt::format("{:<5} {}", name, record.module);
    }
    out += ' ';
    out += record.event;
    for (std::size_t i = 0; i < record.field_count; ++i) {
      out += ' ';
      out += record.fields[i].key;
      out += '=';
      append_value(out, record.fields[i].value);
    }
    return out;
  }

  std::string json(const LogRecord& record) const {
    std::string out = "{\"time\":\"" + date_text(record.wall_ns) + "\",\"level\":\"";
    out += kLevelNames[static_cast<std::size_t>(record.level)];
    out += "\",\"module\":";
    append_json_text(out, record.module);
    if (format_.host) {
      out += ",\"host\":";
      append_json_text(out, host_);
    }
    out += ",\"event\":";
    append_json_text(out, record.event);
    for (std::size_t i = 0; i < record.field_count; ++i) {
      out += ',';
      append_json_text(out, record.fields[i].key);
      out += ':';
      append_json_text(out, record.fields[i].value);
    }
    return out + '}';
  }

  LogFormat format_;
  std::atomic<bool> date_;
  std::string host_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace

std::unique_ptr<LogSink> make_stderr_sink(LogFormat format, std::string host) {
  return std::make_unique<StderrSink>(format, std::move(host));
}

}  // namespace capstan::core
