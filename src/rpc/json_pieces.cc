// Why this file exists: JsonPieces keeps the objects and arrays that are open as a stack and writes
// one lexeme or one small value per step, until a piece is full; a list of small messages is
// written by their plan. Long texts are a level of their own; maps and google.protobuf.Struct,
// which are small here, are written whole.
#include "rpc/json_pieces.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "rpc/error_text.h"
#include "rpc/json_text.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;
using pb::Reflection;

constexpr std::size_t kLongText = 1024;

JsonEscapes escapes_of(const JsonStyle& style) {
  if (style.octez_texts) return JsonEscapes::kOctez;
  return style.ascii ? JsonEscapes::kAscii : JsonEscapes::kStandard;
}

bool plain_message(const pb::Descriptor& type) {
  return type.well_known_type() == pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED;
}

// At most `size` bytes, cut between characters.
std::string_view cut(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<std::uint8_t>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

JsonPieces::JsonPieces(const Message& message, const BodyShape& shape, const JsonStyle& style,
                       JsonPlans& plans)
    : message_(message), shape_(shape), style_(style), plans_(plans) {
  CAPSTAN_ASSERT(message.GetDescriptor() == shape.type && shape.hidden.empty());
}

Result<std::string_view> JsonPieces::next() {
  if (given_ == buffer_.size()) {
    buffer_.clear();
    given_ = 0;
    if (!started_) {
      started_ = true;
      TRY(start());
    }
    while (!levels_.empty() && buffer_.size() < kJsonPieceBytes) TRY(step());
    if (levels_.empty() && !ended_) {
      ended_ = true;
      buffer_ += '\n';
    }
  }
  const auto piece = std::string_view(buffer_).substr(given_, kJsonPieceBytesMax);
  given_ += piece.size();
  return piece;
}

Result<void> JsonPieces::start() {
  const Reflection& r = *message_.GetReflection();
  if (!shape_.field) {
    if (plain_message(*shape_.type)) return open({Level::Kind::kMessage, &message_}, '{');
    return write_json(message_, style_, buffer_);
  }
  if (shape_.element) {
    CAPSTAN_ASSERT(r.FieldSize(message_, shape_.field) > 0);
    return value(message_, *shape_.field, 0);
  }
  return value(message_, *shape_.field, -1);
}

Result<void> JsonPieces::open(Level level, char bracket) {
  // As the writer counts; long texts are no level of the value.
  if (levels_.size() >= limits::kJsonNestingDepth) {
    return fail(Code::kResourceExhausted, "an answer is nested deeper than " +
                                              std::to_string(limits::kJsonNestingDepth) +
                                              " levels and has no JSON form");
  }
  buffer_ += bracket;
  levels_.push_back(level);
  return {};
}

Result<void> JsonPieces::step() {
  Level& level = levels_.back();
  switch (level.kind) {
    case Level::Kind::kMessage: return message_step(level);
    case Level::Kind::kList: return list_step(level);
    default: text_step(level); return {};
  }
}

Result<void> JsonPieces::message_step(Level& level) {
  const auto& type = *level.message->GetDescriptor();
  while (level.index < type.field_count() &&
         !json_shows(*level.message, *type.field(level.index), style_)) {
    ++level.index;
  }
  if (level.index == type.field_count()) {
    buffer_ += '}';
    levels_.pop_back();
    return {};
  }
  if (!std::exchange(level.first, false)) buffer_ += ',';
  const FieldDescriptor& field = *type.field(level.index++);
  append_json_name(field, style_, buffer_);
  return value(*level.message, field, -1);
}

Result<void> JsonPieces::list_step(Level& level) {
  const Reflection& r = *level.message->GetReflection();
  const int size = r.FieldSize(*level.message, level.field);
  // Small messages by their plan, as many as a piece takes.
  while (level.messages && level.index < size && buffer_.size() < kJsonPieceBytes) {
    const std::size_t before = buffer_.size();
    if (!level.first) buffer_ += ',';
    const Message& element = r.GetRepeatedMessage(*level.message, level.field, level.index);
    TRY_SET(const bool written,
            plans_.write_small(element, kJsonPieceBytes / 4, levels_.size(), buffer_));
    if (!written) {
      buffer_.resize(before);
      break;
    }
    level.first = false;
    ++level.index;
  }
  if (level.messages && buffer_.size() >= kJsonPieceBytes) return {};
  if (level.index == size) {
    buffer_ += ']';
    levels_.pop_back();
    return {};
  }
  if (!std::exchange(level.first, false)) buffer_ += ',';
  return value(*level.message, *level.field, level.index++);
}

void JsonPieces::text_step(Level& level) {
  const auto part = level.kind == Level::Kind::kText ? cut(level.rest, kLongText)
                                                     : level.rest.substr(0, kLongText);
  level.rest.remove_prefix(part.size());
  if (level.kind == Level::Kind::kText) {
    append_json_text(part, buffer_, escapes_of(style_));
  } else {
    append_hex(part, buffer_);
  }
  if (!level.rest.empty()) return;
  buffer_ += '"';
  levels_.pop_back();
}

Result<void> JsonPieces::value(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool one = index < 0;
  if (one && field.is_repeated()) {
    if (field.is_map()) return write_json_field(message, field, style_, buffer_);
    if (r.FieldSize(message, &field) != 0) {
      Level level{Level::Kind::kList, &message, &field};
      level.messages = field.message_type() && plain_message(*field.message_type());
      return open(level, '[');
    }
    buffer_ += "[]";
    return {};
  }
  if (field.message_type() && plain_message(*field.message_type())) {
    const Message& inner =
        one ? r.GetMessage(message, &field) : r.GetRepeatedMessage(message, &field, index);
    return open({Level::Kind::kMessage, &inner}, '{');
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    std::string scratch;  // stays unused: our fields are std::string
    const std::string& text = one ? r.GetStringReference(message, &field, &scratch)
                                  : r.GetRepeatedStringReference(message, &field, index, &scratch);
    const bool is_bytes = field.type() == FieldDescriptor::TYPE_BYTES;
    const bool in_pieces =
        &text != &scratch && text.size() > kLongText &&
        (is_bytes ? style_.bytes == JsonStyle::Bytes::kHex : is_utf8(as_bytes(text)));
    if (in_pieces) {
      buffer_ += '"';
      Level level{is_bytes ? Level::Kind::kBytes : Level::Kind::kText};
      level.rest = text;
      levels_.push_back(level);
      return {};
    }
  }
  return one ? write_json_field(message, field, style_, buffer_)
             : write_json_value(message, field, index, style_, buffer_);
}

}  // namespace capstan::rpc
