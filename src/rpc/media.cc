// Why this file exists: JSON and BSON of rpc/media.h, and the choice between the three. BSON goes
// by way of JSON text: what a client may write, and what it is told when it is wrong, is said once.
#include "rpc/media.h"

#include <algorithm>
#include <array>
#include <memory>

#include "base/assert.h"
#include "rpc/bson_codec.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;
using pb::Message;

constexpr std::array<std::string_view, 3> kNames = {"application/json", "application/bson",
                                                    "application/octet-stream"};
// The most that a BSON value grows as JSON: a control character becomes six.
constexpr std::size_t kBsonToJson = 8;

// The message in which the last field of `path` would be; null when it is absent.
const Message* holder(const Message& message, const FieldPath& path) {
  const Message* at = &message;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (!at->GetReflection()->HasField(*at, path[i])) return nullptr;
    at = &at->GetReflection()->GetMessage(*at, path[i]);
  }
  return at;
}

bool present(const Message& message, const FieldPath& path) {
  const Message* in = holder(message, path);
  if (!in) return false;
  return path.back()->is_repeated() ? in->GetReflection()->FieldSize(*in, path.back()) != 0
                                    : in->GetReflection()->HasField(*in, path.back());
}

void clear(Message& message, const FieldPath& path) {
  if (!present(message, path)) return;
  Message* at = &message;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    at = at->GetReflection()->MutableMessage(at, path[i]);
  }
  at->GetReflection()->ClearField(at, path.back());
}

Result<void> write_shape(const Message& message, const BodyShape& shape, const JsonStyle& style,
                         std::string& out) {
  CAPSTAN_ASSERT(message.GetDescriptor() == shape.type);
  if (shape.element) {
    CAPSTAN_ASSERT(message.GetReflection()->FieldSize(message, shape.field) > 0);
    return write_json_value(message, *shape.field, 0, style, out);
  }
  if (shape.field) return write_json_field(message, *shape.field, style, out);
  if (shape.hidden.empty()) return write_json(message, style, out);
  const std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  for (const auto& path : shape.hidden) clear(*copy, path);
  return write_json(*copy, style, out);
}

BsonTop top_of(const pb::Descriptor& type) {
  switch (type.well_known_type()) {
    case pb::Descriptor::WELLKNOWNTYPE_LISTVALUE: return BsonTop::kArray;
    case pb::Descriptor::WELLKNOWNTYPE_VALUE: return BsonTop::kGuess;
    default: return BsonTop::kObject;
  }
}

BsonTop top_of(const BodyShape& shape) {
  if (!shape.field) return top_of(*shape.type);
  if (shape.field->is_map()) return BsonTop::kObject;
  if (shape.field->is_repeated() && !shape.element) return BsonTop::kArray;
  return shape.field->message_type() ? top_of(*shape.field->message_type()) : BsonTop::kObject;
}

}  // namespace

std::string_view media_name(Media media) {
  return kNames[static_cast<std::size_t>(media)];
}

std::optional<Media> media_named(std::string_view name) {
  const auto same = [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  };
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (std::ranges::equal(name, kNames[i], same)) return static_cast<Media>(i);
  }
  return std::nullopt;
}

Result<std::string> encode_json(const Message& message, const BodyShape& shape,
                                const JsonStyle& style) {
  std::string out;
  TRY(write_shape(message, shape, style, out));
  out += '\n';
  return out;
}

Result<std::string> encode_bson(const Message& message, const BodyShape& shape) {
  std::string json, out;
  TRY(write_shape(message, shape, JsonStyle::octez(), json));
  TRY(json_to_bson(json, out));
  return out;
}

Result<void> decode_json(std::string_view text, Message& into, const BodyShape& shape,
                         JsonReader& reader, const JsonStyle& style, std::size_t limit_bytes) {
  CAPSTAN_ASSERT(into.GetDescriptor() == shape.type);
  JsonReadOptions options;
  options.bytes = style.bytes;
  options.octez_texts = style.octez_texts;
  options.limit_bytes = limit_bytes;
  if (shape.field) return reader.read_field(text, into, *shape.field, shape.element, options);
  TRY(reader.read(text, into, options));
  for (const auto& path : shape.hidden) {
    if (!present(into, path)) continue;
    return fail(Code::kInvalidArgument, "$." + query_name(path) +
                                            ": the path or the query gives this; leave it out of "
                                            "the body");
  }
  return {};
}

Result<void> decode_bson(ByteView bytes, Message& into, const BodyShape& shape, JsonReader& reader,
                         std::size_t limit_bytes) {
  if (bytes.size() > limit_bytes) {
    return fail(Code::kResourceExhausted, "a BSON document of " + std::to_string(bytes.size()) +
                                              " bytes exceeds the limit of " +
                                              std::to_string(limit_bytes) + " bytes");
  }
  std::string json;
  TRY(bson_to_json(bytes, top_of(shape), json));
  return decode_json(json, into, shape, reader, JsonStyle::octez(), kBsonToJson * limit_bytes);
}

Result<std::string> encode_body(Media media, const Message& message, const BodyShape& shape,
                                const JsonStyle& style) {
  switch (media) {
    case Media::kJson: return encode_json(message, shape, style);
    case Media::kBson: return encode_bson(message, shape);
    case Media::kBinary: break;
  }
  return encode_binary(message, shape);
}

Result<void> decode_body(Media media, std::string_view bytes, Message& into, const BodyShape& shape,
                         JsonReader& reader, const JsonStyle& style, std::size_t limit_bytes) {
  switch (media) {
    case Media::kJson: return decode_json(bytes, into, shape, reader, style, limit_bytes);
    case Media::kBson: return decode_bson(as_bytes(bytes), into, shape, reader, limit_bytes);
    case Media::kBinary: break;
  }
  return decode_binary(as_bytes(bytes), into, shape, limit_bytes);
}

}  // namespace capstan::rpc
