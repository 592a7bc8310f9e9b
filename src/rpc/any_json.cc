// Why this file exists: see any_json.h.
#include "rpc/any_json.h"

#include <simdjson.h>

#include "rpc/bson_codec.h"

namespace capstan::rpc {

namespace {

constexpr std::size_t kLengthBytes = 4;

void prepend_length(std::string& bytes) {
  std::string length(kLengthBytes, '\0');
  store_be32(reinterpret_cast<std::uint8_t*>(length.data()),
             static_cast<std::uint32_t>(bytes.size()));
  bytes.insert(0, length);
}

// Without its length, which must be that of the rest.
Result<std::string_view> unprefixed(std::string_view bytes) {
  if (bytes.size() < kLengthBytes) return fail(Code::kInvalidArgument, "$: not enough data");
  const std::size_t length = load_be32(as_bytes(bytes).data());
  bytes.remove_prefix(kLengthBytes);
  if (length == bytes.size()) return bytes;
  return fail(Code::kInvalidArgument,
              length > bytes.size() ? "$: not enough data" : "$: extra bytes after the value");
}

// One line without blanks, as http-rpc section 7.4 has it: what is in texts stays as it is.
Result<std::string> on_one_line(std::string_view json) {
  std::string line(json.size(), '\0');
  std::size_t size = 0;
  const auto error = simdjson::minify(json.data(), json.size(), line.data(), size);
  if (error) return fail(Code::kInvalidArgument, simdjson::error_message(error));
  line.resize(size);
  line += '\n';
  return line;
}

}  // namespace

Result<std::string> encode_any_json(Media media, std::string_view json) {
  if (media == Media::kJson) return on_one_line(json);
  std::string bytes;
  TRY(json_to_bson(json, bytes));
  if (media == Media::kBinary) {
    prepend_length(bytes);
    prepend_length(bytes);
  }
  return bytes;
}

Result<std::string> decode_any_json(Media media, std::string_view body) {
  if (media == Media::kJson) return std::string(body);
  if (media == Media::kBinary) {
    TRY_SET(body, unprefixed(body));
    TRY_SET(body, unprefixed(body));
  }
  std::string json;
  TRY(bson_to_json(as_bytes(body), BsonTop::kGuess, json));
  return json;
}

}  // namespace capstan::rpc
