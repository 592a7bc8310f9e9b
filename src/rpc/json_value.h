// Why this file exists: single JSON values as typed values, the half of the reader that knows
// simdjson and numbers; and the keys of maps, which are text in the binary form, too. For the
// readers of both forms only (simdjson.h is large).
#pragma once

#include <google/protobuf/message.h>
#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::rpc::internal {

using Value = simdjson::dom::element;

// Where a value stands; lives on the stack of the walk and becomes text only in errors.
struct JsonPlace {
  const JsonPlace* parent = nullptr;
  std::string_view name;  // of a member; the root's own text when there is no parent
  std::size_t index = 0;  // of an array element
  enum class Kind : std::uint8_t { kRoot, kMember, kKey, kElement } kind = Kind::kRoot;
  std::size_t depth = 1;

  JsonPlace member(std::string_view n) const { return {this, n, 0, Kind::kMember, depth + 1}; }
  JsonPlace key(std::string_view n) const { return {this, n, 0, Kind::kKey, depth + 1}; }
  JsonPlace element(std::size_t i) const { return {this, {}, i, Kind::kElement, depth + 1}; }
  std::string text() const;  // $.labels["a b"][3], long names cut
};

// "$.x: what", kInvalidArgument.
std::unexpected<Error> refuse(const JsonPlace& place, std::string_view what);
// "$.x: expected string, got number".
std::unexpected<Error> mismatch(const JsonPlace& place, std::string_view expected,
                                const Value& got);
// At most 64 bytes of a client's text in quotes, cut between characters.
std::string excerpt(std::string_view text);

Result<std::int64_t> read_signed(const Value& value, const JsonPlace& place, std::int64_t min,
                                 std::int64_t max);
Result<std::uint64_t> read_unsigned(const Value& value, const JsonPlace& place, std::uint64_t max);
Result<double> read_double(const Value& value, const JsonPlace& place);
Result<float> read_float(const Value& value, const JsonPlace& place);
Result<bool> read_bool(const Value& value, const JsonPlace& place);
Result<std::string_view> read_text(const Value& value, const JsonPlace& place);

// The same for integers that stand as text: quoted numbers and map keys.
Result<std::int64_t> parse_signed(std::string_view text, const JsonPlace& place, std::int64_t min,
                                  std::int64_t max);
Result<std::uint64_t> parse_unsigned(std::string_view text, const JsonPlace& place,
                                     std::uint64_t max);

// Sets the key of a map's entry from its text.
Result<void> set_map_key(google::protobuf::Message& entry,
                         const google::protobuf::FieldDescriptor& key, std::string_view text,
                         const JsonPlace& place);

}  // namespace capstan::rpc::internal
