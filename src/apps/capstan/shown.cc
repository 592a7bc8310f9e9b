// Why this file exists: see shown.h.
#include "apps/capstan/shown.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>

#include "apps/capstan/image_hash.h"
#include "base/visible.h"

namespace capstan::apps {

namespace v1 = ::mayastor::v1;

// "2026-11-21 03:05:13 UTC"
std::string time_text(const google::protobuf::Timestamp& time, bool millis) {
  const std::time_t seconds = time.seconds();
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "-";
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  std::string shown(text.data());
  if (millis) {
    std::snprintf(text.data(), text.size(), ".%03d", time.nanos() / 1'000'000);
    shown += text.data();
  }
  return shown + " UTC";
}

std::string uptime_text(std::uint64_t ms) {
  const std::uint64_t seconds = ms / 1000;
  std::string text;
  if (seconds >= 86400) text += std::to_string(seconds / 86400) + "d ";
  if (seconds >= 3600) text += std::to_string(seconds / 3600 % 24) + "h ";
  if (seconds >= 60) text += std::to_string(seconds / 60 % 60) + "m ";
  return text + std::to_string(seconds % 60) + "s";
}

std::string_view state_word(v1::PoolState state) {
  switch (state) {
    case v1::POOL_ONLINE: return "online";
    case v1::POOL_DEGRADED: return "degraded";
    case v1::POOL_FAULTED: return "faulted";
    default: return "unknown";
  }
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  const auto hundredths = static_cast<std::uint64_t>(
      std::llround(static_cast<double>(part) * 10000.0 / static_cast<double>(whole)));
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + "." + (fraction.size() < 2 ? "0" : "") + fraction + "%";
}

std::string hash_text(std::uint64_t hash) {
  std::array<std::uint8_t, 8> bytes{};
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(hash >> (56 - 8 * i));
  return hex_text(bytes);
}

Result<void> print_event(Printer& out, const node::v1::Event& event) {
  if (out.json()) return out.message(event, true);
  if (event.missed() > 0) out.remark("(" + std::to_string(event.missed()) + " events missed)");
  std::string line = time_text(event.time(), true) + "  " + event.category() + " " +
                     event.action() + "  " + visible(event.target());
  const std::map<std::string, std::string> sorted(event.details().begin(), event.details().end());
  for (const auto& [key, value] : sorted) line += "  " + visible(key) + "=" + visible(value);
  out.line(line);
  return {};
}

Result<void> print_change(Printer& out, const datastore::v1::Change& change) {
  if (out.json()) return out.message(change, true);
  if (change.missed() > 0) {
    out.remark("(" + std::to_string(change.missed()) + " changes missed)");
  }
  if (change.tail_offset() == 0) return {};  // tells what was missed, and nothing else
  out.line(std::string(change.removed() ? "deleted  " : "written  ") +
           hash_text(change.key_hash()) + "  " + std::to_string(change.size_bytes()) +
           (change.key().empty() ? "" : "  " + visible(change.key())));
  return {};
}

}  // namespace capstan::apps
