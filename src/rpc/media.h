// Why this file exists: the three media types of the HTTP wire as functions between messages and
// bodies. JSON is rpc/json_*; BSON is the same JSON value in other bytes (rpc/bson_codec.h);
// octet-stream is positional and follows the message's declaration (rpc/BINARY.md).
//
// A body is the complete bytes: JSON ends with a line feed, octet-stream starts with its length.
// Errors of decoding are kInvalidArgument and name the place ("$.disks[0]: …"); bodies longer than
// the limit are kResourceExhausted. Errors of encoding (nesting, times out of range) are as
// write_json()'s. Source of the formats: http-rpc sections 7.1, 7.4, 7.5.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "rpc/body_shape.h"
#include "rpc/json_reader.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

enum class Media : std::uint8_t { kJson, kBson, kBinary };

std::string_view media_name(Media media);  // "application/json"
// By its name without parameters, in any case of letters.
std::optional<Media> media_named(std::string_view name);

Result<std::string> encode_json(const google::protobuf::Message& message, const BodyShape& shape,
                                const JsonStyle& style = JsonStyle::octez());
Result<std::string> encode_bson(const google::protobuf::Message& message, const BodyShape& shape);
Result<std::string> encode_binary(const google::protobuf::Message& message, const BodyShape& shape);

// Each clears `into` first and sets only what the shape holds: fields of the path and the query are
// set afterwards. A JSON or BSON body that has a hidden field is refused.
Result<void> decode_json(std::string_view text, google::protobuf::Message& into,
                         const BodyShape& shape, JsonReader& reader,
                         const JsonStyle& style = JsonStyle::octez(),
                         std::size_t limit_bytes = limits::kJsonBytes);
Result<void> decode_bson(ByteView bytes, google::protobuf::Message& into, const BodyShape& shape,
                         JsonReader& reader, std::size_t limit_bytes = limits::kJsonBytes);
Result<void> decode_binary(ByteView bytes, google::protobuf::Message& into, const BodyShape& shape,
                           std::size_t limit_bytes = limits::kJsonBytes);

// The above by media type; `style` is for JSON only.
Result<std::string> encode_body(Media media, const google::protobuf::Message& message,
                                const BodyShape& shape,
                                const JsonStyle& style = JsonStyle::octez());
Result<void> decode_body(Media media, std::string_view bytes, google::protobuf::Message& into,
                         const BodyShape& shape, JsonReader& reader,
                         const JsonStyle& style = JsonStyle::octez(),
                         std::size_t limit_bytes = limits::kJsonBytes);

}  // namespace capstan::rpc
