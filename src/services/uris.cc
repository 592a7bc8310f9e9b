// Why this file exists: see uris.h.
#include "services/uris.h"

#include "storage/device/device_uri.h"

namespace capstan::services {

std::string url_text(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  static constexpr std::string_view kPlain = "-._~/:@";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (letter || byte >= 0x80 || kPlain.find(c) != kPlain.npos) {
      out += c;
    } else {
      ((out += '%') += kDigits[byte >> 4]) += kDigits[byte & 15];
    }
  }
  return out;
}

std::string local_uri(std::string_view name, const Uuid& uuid) {
  return "bdev:///" + std::string(name) + "?uuid=" + uuid.text();
}

void append_with_uuid(std::string_view uri, const Uuid& uuid, std::string& out) {
  out.reserve(out.size() + uri.size() + sizeof("?uuid=") + 36);
  out += uri;
  if (uuid.is_nil()) return;
  const auto query = uri.find('?');
  if (query == std::string_view::npos) {
    out += "?uuid=";
    return uuid.append_to(out);
  }
  for (auto at = query; at != std::string_view::npos; at = uri.find('&', at + 1)) {
    const auto parameter = uri.substr(at + 1);
    if (parameter.starts_with("uuid=") || parameter == "uuid" || parameter.starts_with("uuid&")) {
      return;
    }
  }
  out += out.back() == '?' || out.back() == '&' ? "uuid=" : "&uuid=";
  uuid.append_to(out);
}

std::string with_uuid(std::string_view uri, const Uuid& uuid) {
  std::string out;
  append_with_uuid(uri, uuid, out);
  return out;
}

std::string creation_uri(const storage::DeviceRegistry& devices, const storage::Device& device) {
  const auto* entry = devices.entry(device.name());
  if (!entry || entry->uri.empty()) return {};
  return with_uuid(entry->uri, device.uuid());
}

bool is_volatile(std::string_view uri) {
  const auto parsed = storage::parse_device_uri(uri);
  using Scheme = storage::DeviceUri::Scheme;
  return parsed && (parsed->scheme == Scheme::kMalloc || parsed->scheme == Scheme::kNull);
}

}  // namespace capstan::services
