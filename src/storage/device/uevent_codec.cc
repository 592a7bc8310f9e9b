// Why this file exists: see uevent_codec.h.
#include "storage/device/uevent_codec.h"

#include <charconv>

namespace capstan::storage {
namespace {

// Decimal digits only, as the kernel writes them.
std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<BlockUevent> parse_block_uevent(ByteView message) {
  std::string_view rest(reinterpret_cast<const char*>(message.data()), message.size());
  // A message that was cut has no NUL at its end.
  if (!rest.ends_with('\0')) return std::nullopt;
  BlockUevent event;
  const std::string_view head = rest.substr(0, rest.find('\0'));
  const auto at = head.find('@');
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  event.action = head.substr(0, at);
  bool block = false;
  std::optional<std::uint32_t> major, minor;
  for (rest.remove_prefix(head.size() + 1); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(line.size() + 1);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
    if (key == "SUBSYSTEM") block = value == "block";
    if (key == "MAJOR") major = number(value);
    if (key == "MINOR") minor = number(value);
    if (key == "DEVNAME") event.name = value;
    if (key == "RESIZE") event.resized = value == "1";
    if (key == "SYNTH_UUID") event.made_up = true;
  }
  if (!block || !major || !minor) return std::nullopt;
  event.major = *major;
  event.minor = *minor;
  return event;
}

}  // namespace capstan::storage
