// Why this file exists: see cors.h.
#include "wire/rest/cors.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace capstan::wire::rest {

std::optional<std::string_view> CorsSettings::match(std::string_view origin) const {
  std::optional<std::string_view> best;
  for (const auto& entry : origins) {
    const bool matches = entry == "*" || origin == entry || origin.starts_with(entry + "/");
    if (matches && (!best || entry.size() > best->size())) best = entry;
  }
  return best;
}

bool CorsSettings::host_allowed(std::optional<std::string_view> host) const {
  if (origins.empty() || !check_host) return true;
  if (host) return match(*host).has_value();
  return std::ranges::find(origins, "*") != origins.end();
}

std::string CorsSettings::header_list() const {
  std::set<std::string> names;
  for (std::string name : headers) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    names.insert(std::move(name));
  }
  if (!names.contains("content-type")) names.insert("Content-Type");
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

}  // namespace capstan::wire::rest
