// Why this file exists: targets of HTTP requests under any bytes: what is read stays bounded, and a
// path written from what was read is read as the same path again.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "wire/rest/limits.h"
#include "wire/rest/negotiation.h"
#include "wire/rest/uri_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace capstan;
  using namespace capstan::wire::rest;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const MediaTypes all = {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary};
  static_cast<void>(negotiate(text, all).has_value());
  static_cast<void>(request_media(text, all).has_value());
  const auto target = parse_target(text);
  if (!target) return 0;
  CAPSTAN_ASSERT(target->query.size() <= limits::kRestQueryFields);
  std::string path;
  for (const auto& segment : target->segments) {
    const auto encoded = encode_segment(segment);
    CAPSTAN_ASSERT(encoded.has_value());
    path += "/" + *encoded;
  }
  std::string query = "?";
  for (const auto& [name, value] : target->query) {
    query += encode_query(name) + "=" + encode_query(value) + "&";
  }
  const auto again = parse_target((path.empty() ? "/" : path) + query);
  CAPSTAN_ASSERT(again.has_value());
  CAPSTAN_ASSERT(again->segments == target->segments);
  CAPSTAN_ASSERT(again->query == target->query);
  return 0;
}
