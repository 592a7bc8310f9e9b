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

Metrics::Handle Metrics::add_summary(std::string name, std::string help, Labels labels,
                                     std::function<double()> sum, std::function<double()> count) {
  entries_.push_back({std::move(name), std::move(help), Kind::kSummary, std::move(labels),
                      std::move(sum), std::move(count)});
  return Handle(this, std::prev(entries_.end()));
}

static std::string_view prefix_of(std::string_view name) {
  return name.starts_with("storage_") ? "" : "capstan_";
}

static std::string_view kind_name(Metrics::Kind kind) {
  switch (kind) {
    case Metrics::Kind::kCounter: return "counter";
    case Metrics::Kind::kGauge: return "gauge";
    case Metrics::Kind::kSummary: return "summary";
  }
  return "untyped";
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

static void append_sample(std::string& out, const Metrics::Entry& entry, std::string_view ending,
                          double sample) {
  out += prefix_of(entry.name);
  out += entry.name;
  out += ending;
  const char* separator = "{";
  for (const auto& [key, value] : entry.labels) {
    out += separator + key + "=\"";
    append_escaped(out, value, true);
    out += '"';
    separator = ",";
  }
  if (!entry.labels.empty()) out += '}';
  out += fmt::format(" {}\n", sample);
}

static void append_samples(std::string& out, const Metrics::Entry& entry) {
  if (entry.kind != Metrics::Kind::kSummary) return append_sample(out, entry, "", entry.read());
  append_sample(out, entry, "_sum", entry.read());
  append_sample(out, entry, "_count", entry.count());
}

std::string Metrics::prometheus_text() const {
  // All samples of a family must stand together under one HELP and TYPE line.
  std::map<std::string_view, std::vector<const Entry*>> families;
  for (const auto& entry : entries_) families[entry.name].push_back(&entry);
  std::string out;
  for (const auto& [family, members] : families) {
    const std::string name = std::string(prefix_of(family)) + std::string(family);
    out += fmt::format("# HELP {} ", name);
    append_escaped(out, members.front()->help, false);
    out += fmt::format("\n# TYPE {} {}\n", name, kind_name(members.front()->kind));
    for (const Entry* entry : members) append_samples(out, *entry);
  }
  return out;
}

}  // namespace capstan::core
