// Why this file exists: see metadata.h.
#include "wire/grpc/metadata.h"

#include <algorithm>

#include "wire/grpc/grpc_codec.h"

namespace capstan::wire {

bool grpc_is_reserved(std::string_view name) {
  if (name.starts_with(':') || name == "te" || name == "content-type") return true;
  return name.starts_with("grpc-") && name != "grpc-status-details-bin" &&
         name != "grpc-trace-bin" && name != "grpc-tags-bin";
}

Result<void> grpc_add_metadata(std::string_view name, std::string_view value, MetadataList& to) {
  if (!grpc_is_binary_key(name)) {
    to.emplace_back(name, value);
    return {};
  }
  while (true) {
    const auto comma = value.find(',');
    auto decoded = grpc_decode_binary(value.substr(0, comma));
    if (!decoded) {
      return fail(Code::kInvalidArgument,
                  "metadata '" + std::string(name) + "' is not base64 as its name promises");
    }
    to.emplace_back(std::string(name), *std::move(decoded));
    if (comma == std::string_view::npos) return {};
    value.remove_prefix(comma + 1);
  }
}

void HeaderBuilder::add_metadata(const MetadataList& metadata) {
  for (const auto& [name, value] : metadata) {
    if (!grpc_valid_key(name) || grpc_is_reserved(name)) continue;
    if (grpc_is_binary_key(name)) {
      add_owned(name, grpc_encode_binary(value));
    } else if (grpc_valid_value(value)) {
      add(name, value);
    }
  }
}

std::string_view trace_id_of(std::string_view traceparent) {
  // version-traceid-parentid-flags
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[35] != '-') return {};
  const auto id = traceparent.substr(3, 32);
  const bool hex = std::ranges::all_of(
      id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return hex && id != std::string_view("00000000000000000000000000000000") ? id
                                                                           : std::string_view();
}

}  // namespace capstan::wire
