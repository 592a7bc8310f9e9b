// Why this file exists: registration and the Prometheus text writer (core/metrics.h).
#include "core/metrics.h"

#include <fmt/format.h>

#include <map>

namespace capstan::core {

Metrics::Handle& Metrics::Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    release();
    owner_ = std::exchange(other.owner_, nullptr);
    entry_ = other.entry_;
  }
  return *this;
}

void Metrics::Handle::release() {
  if (owner_) std::exchange(owner_, nullptr)->entries_.erase(entry_);
}

Metrics::Handle Metrics::add(Kind kind, std::string name, std::string help, Labels labels,
                             std::function<double()> read) {
  entries_.push_back({std::move(name), std::move(help), kind, std::move(labels), std::move(read)});
  return Handle(this, std::prev(entries_.end()));
}

static void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

static void append_sample(std::string& out, const Metrics::Entry& entry) {
  out += "capstan_" + entry.name;
  const char* separator = "{";
  for (const auto& [key, value] : entry.labels) {
    out += separator + key + "=\"";
    append_escaped(out, value, true);
    out += '"';
    separator = ",";
  }
  if (!entry.labels.empty()) out += '}';
  out += fmt::format(" {}\n", entry.read());
}

std::string Metrics::prometheus_text() const {
  // All samples of a family must stand together under one HELP and TYPE line.
  std::map<std::string_view, std::vector<const Entry*>> families;
  for (const auto& entry : entries_) families[entry.name].push_back(&entry);
  std::string out;
  for (const auto& [family, members] : families) {
    out += fmt::format("# HELP capstan_{} ", family);
    append_escaped(out, members.front()->help, false);
    out += fmt::format("\n# TYPE capstan_{} {}\n", family,
                       members.front()->kind == Kind::kCounter ? "counter" : "gauge");
    for (const Entry* entry : members) append_sample(out, *entry);
  }
  return out;
}

}  // namespace capstan::core
