// Why this file exists: see uris.h.
#include "services/uris.h"

namespace capstan::services {

std::string local_uri(std::string_view name, const Uuid& uuid) {
  return "bdev:///" + std::string(name) + "?uuid=" + uuid.text();
}

std::string with_uuid(std::string_view uri, const Uuid& uuid) {
  std::string out(uri);
  if (uuid.is_nil()) return out;
  const auto query = uri.find('?');
  if (query == std::string_view::npos) return out + "?uuid=" + uuid.text();
  for (auto at = query; at != std::string_view::npos; at = uri.find('&', at + 1)) {
    const auto parameter = uri.substr(at + 1);
    if (parameter.starts_with("uuid=") || parameter == "uuid" || parameter.starts_with("uuid&")) {
      return out;
    }
  }
  return out + (out.back() == '?' || out.back() == '&' ? "uuid=" : "&uuid=") + uuid.text();
}

std::string creation_uri(const storage::DeviceRegistry& devices, const storage::Device& device) {
  const auto* entry = devices.entry(device.name());
  if (!entry || entry->uri.empty()) return {};
  return with_uuid(entry->uri, device.uuid());
}

bool is_volatile(std::string_view uri) {
  return uri.starts_with("malloc:") || uri.starts_with("null:");
}

}  // namespace capstan::services
