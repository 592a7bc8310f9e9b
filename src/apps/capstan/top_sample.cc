// Why this file exists: see top_sample.h.
#include "apps/capstan/top_sample.h"

#include <charconv>
#include <optional>

namespace capstan::apps {
namespace {

// `wire="grpc"` in {…}.
std::string_view label(std::string_view labels, std::string_view name) {
  const std::string start = std::string(name) + "=\"";
  auto at = labels.find(start);
  while (at != std::string_view::npos && at != 0 && labels[at - 1] != ',' &&
         labels[at - 1] != '{') {
    at = labels.find(start, at + 1);
  }
  if (at == std::string_view::npos) return {};
  labels.remove_prefix(at + start.size());
  return labels.substr(0, labels.find('"'));
}

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

void add_line(std::string_view line, std::map<std::string, WireCounters>& wires) {
  const auto brace = line.find('{'), close = line.rfind('}');
  if (brace == std::string_view::npos || close == std::string_view::npos || close < brace) return;
  const auto name = line.substr(0, brace), labels = line.substr(brace, close - brace + 1);
  const auto wire = label(labels, "wire");
  const auto space = line.find_first_not_of(' ', close + 1);
  if (wire.empty() || space == std::string_view::npos) return;
  const auto value = number(line.substr(space));
  if (!value) return;
  if (name == "capstan_calls_started_total") {
    wires[std::string(wire)].started += *value;
  } else if (name == "capstan_calls_ended_total") {
    auto& counters = wires[std::string(wire)];
    counters.ended += *value;
    if (label(labels, "code") != "OK") counters.failed += *value;
  } else if (name == "capstan_call_seconds_total") {
    wires[std::string(wire)].seconds += *value;
  } else if (name == "capstan_calls_in_flight") {
    wires[std::string(wire)].in_flight += *value;
  }
}

double since(double before, double now) {
  return now >= before ? now - before : now;
}
double since(std::uint64_t before, std::uint64_t now) {
  return static_cast<double>(now >= before ? now - before : now);
}
double mean(double sum, double count) {
  return count > 0 ? sum / count : 0;
}

}  // namespace

std::map<std::string, WireCounters> read_wire_counters(std::string_view metrics) {
  std::map<std::string, WireCounters> wires;
  while (!metrics.empty()) {
    const auto end = metrics.find('\n');
    const auto line = metrics.substr(0, end);
    if (!line.starts_with('#')) add_line(line, wires);
    metrics = end == std::string_view::npos ? std::string_view() : metrics.substr(end + 1);
  }
  return wires;
}

IoCounters io_counters(const mayastor::v1::IoStats& stats) {
  IoCounters io;
  io.reads = stats.num_read_ops();
  io.bytes_read = stats.bytes_read();
  io.writes = stats.num_write_ops();
  io.bytes_written = stats.bytes_written();
  if (stats.tick_rate() != 0) {
    const auto rate = static_cast<double>(stats.tick_rate());
    io.read_seconds = static_cast<double>(stats.read_latency_ticks()) / rate;
    io.write_seconds = static_cast<double>(stats.write_latency_ticks()) / rate;
  }
  return io;
}

std::vector<WireRate> wire_rates(const Sample& before, const Sample& now) {
  std::vector<WireRate> rates;
  const double seconds = now.at - before.at;
  if (seconds <= 0) return rates;
  for (const auto& [wire, counters] : now.wires) {
    const auto found = before.wires.find(wire);
    const WireCounters old = found == before.wires.end() ? WireCounters() : found->second;
    WireRate& rate = rates.emplace_back();
    rate.wire = wire;
    rate.calls = since(old.started, counters.started) / seconds;
    rate.errors = since(old.failed, counters.failed) / seconds;
    rate.mean_seconds =
        mean(since(old.seconds, counters.seconds), since(old.ended, counters.ended));
    rate.in_flight = counters.in_flight;
  }
  return rates;
}

IoRate io_rate(const std::map<std::string, IoCounters>& before,
               const std::map<std::string, IoCounters>& now, const std::string& key,
               double seconds) {
  const auto found = now.find(key);
  if (found == now.end() || seconds <= 0) return {};
  const auto known = before.find(key);
  // What appears in between is counted from then on: nobody knows since when it counts.
  const IoCounters& old = known == before.end() ? found->second : known->second;
  const IoCounters& io = found->second;
  const double reads = since(old.reads, io.reads), writes = since(old.writes, io.writes);
  IoRate rate;
  rate.reads = reads / seconds;
  rate.writes = writes / seconds;
  rate.bytes_read = since(old.bytes_read, io.bytes_read) / seconds;
  rate.bytes_written = since(old.bytes_written, io.bytes_written) / seconds;
  rate.read_seconds = mean(since(old.read_seconds, io.read_seconds), reads);
  rate.write_seconds = mean(since(old.write_seconds, io.write_seconds), writes);
  return rate;
}

}  // namespace capstan::apps
