// Why this file exists: both directions of rpc/bson_codec.h. Lengths are written as zeros first and
// filled in when the document is closed; when reading, a document's length bounds everything in it.
#include "rpc/bson_codec.h"

#include <simdjson.h>

#include <cmath>

#include "base/limits.h"
#include "base/utf8.h"
#include "rpc/json_text.h"

namespace capstan::rpc {

namespace {

using simdjson::dom::element_type;

enum : std::uint8_t {
  kNumber = 0x01,
  kText = 0x02,
  kDocument = 0x03,
  kArray = 0x04,
  kBool = 0x08,
  kNull = 0x0A,
  kInt32 = 0x10,
  kInt64 = 0x12,
  kPseudo = 0x80,  // added to the type of a scalar at the top
};

template <class T>
void append_le(T value, std::string& out) {
  std::uint8_t bytes[sizeof value];
  store_le(bytes, value);
  out += as_text(bytes);
}

class ToBson {
 public:
  explicit ToBson(std::string& out) : out_(out) {}
  Result<void> top(const simdjson::dom::element& value);

 private:
  Result<void> document(const simdjson::dom::element& value);
  // A type byte, the name (none for pseudo-documents) and the value.
  Result<void> element(const simdjson::dom::element& value, std::string_view name);
  Result<void> scalar(const simdjson::dom::element& value);
  static std::uint8_t type_of(const simdjson::dom::element& value);
  std::size_t open() {
    append_le<std::uint32_t>(0, out_);
    return out_.size() - 4;
  }
  Result<void> close(std::size_t start);

  std::string& out_;
};

std::uint8_t ToBson::type_of(const simdjson::dom::element& value) {
  switch (value.type()) {
    case element_type::OBJECT: return kDocument;
    case element_type::ARRAY: return kArray;
    case element_type::STRING: return kText;
    case element_type::BOOL: return kBool;
    case element_type::NULL_VALUE: return kNull;
    default: return kNumber;
  }
}

Result<void> ToBson::close(std::size_t start) {
  out_ += '\0';
  const std::size_t size = out_.size() - start;
  if (size > INT32_MAX) {
    return fail(Code::kResourceExhausted,
                "a value of " + std::to_string(size) + " bytes has no BSON form; ask for JSON");
  }
  store_le(reinterpret_cast<std::uint8_t*>(out_.data()) + start, static_cast<std::uint32_t>(size));
  return {};
}

Result<void> ToBson::top(const simdjson::dom::element& value) {
  const auto type = type_of(value);
  if (type == kDocument || type == kArray) return document(value);
  const std::size_t start = open();
  out_ += static_cast<char>(type | kPseudo);
  TRY(scalar(value));
  return close(start);
}

Result<void> ToBson::document(const simdjson::dom::element& value) {
  const std::size_t start = open();
  if (value.type() == element_type::ARRAY) {
    std::size_t index = 0;
    for (const auto member : value.get_array().value_unsafe()) {
      TRY(element(member, std::to_string(index++)));
    }
  } else {
    for (const auto& [name, member] : value.get_object().value_unsafe()) {
      TRY(element(member, name));
    }
  }
  return close(start);
}

Result<void> ToBson::element(const simdjson::dom::element& value, std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    return fail(Code::kInvalidArgument, "a member name with a NUL has no BSON form; ask for JSON");
  }
  const auto type = type_of(value);
  out_ += static_cast<char>(type);
  out_ += name;
  out_ += '\0';
  return type == kDocument || type == kArray ? document(value) : scalar(value);
}

Result<void> ToBson::scalar(const simdjson::dom::element& value) {
  switch (type_of(value)) {
    case kText: {
      const std::string_view text = value.get_string().value_unsafe();
      if (text.size() >= INT32_MAX) {
        return fail(Code::kResourceExhausted, "a text too long for BSON; ask for JSON");
      }
      append_le(static_cast<std::uint32_t>(text.size() + 1), out_);
      out_ += text;
      out_ += '\0';
      return {};
    }
    case kBool: out_ += value.get_bool().value_unsafe() ? '\1' : '\0'; return {};
    case kNumber: append_le(value.get_double().value_unsafe(), out_); return {};
    default: return {};
  }
}

class ToJson {
 public:
  ToJson(ByteView bson, std::string& out) : bson_(bson), out_(out) {}
  Result<void> top(BsonTop as);

 private:
  std::unexpected<Error> refuse(std::string_view what) const {
    return fail(Code::kInvalidArgument,
                "malformed BSON at byte " + std::to_string(at_) + ": " + std::string(what));
  }
  bool have(std::size_t bytes) const { return end_ - at_ >= bytes; }
  // Reads the length of a document and makes its closing NUL the end; gives the end to restore.
  Result<std::size_t> enter();
  Result<void> leave(std::size_t outer_end);
  Result<void> members(bool array);
  Result<std::string_view> name();
  Result<void> value(std::uint8_t type);
  Result<void> nested(bool array);
  Result<void> text();
  bool counts_from_zero();

  ByteView bson_;
  std::string& out_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  std::size_t depth_ = 0;
};

Result<std::size_t> ToJson::enter() {
  if (!have(5)) return refuse("not enough data");
  const std::uint32_t length = load_le<std::uint32_t>(bson_.data() + at_);
  if (length < 5 || length > end_ - at_) return refuse("a document's length is wrong");
  if (++depth_ > limits::kJsonNestingDepth) return refuse("too many levels");
  const std::size_t outer = std::exchange(end_, at_ + length - 1);
  if (bson_[end_] != 0) return refuse("a document does not end with a zero byte");
  at_ += 4;
  return outer;
}

Result<void> ToJson::leave(std::size_t outer_end) {
  if (at_ != end_) return refuse("extra bytes in a document");
  --depth_;
  at_ = end_ + 1;
  end_ = outer_end;
  return {};
}

Result<void> ToJson::top(BsonTop as) {
  end_ = bson_.size();
  TRY_SET(const std::size_t outer, enter());
  if (outer != end_ + 1) return refuse("extra bytes after the document");
  if (have(1) && (bson_[at_] & kPseudo) != 0) {
    const auto type = static_cast<std::uint8_t>(bson_[at_++] & ~kPseudo);
    if (type == kDocument || type == kArray) return refuse("unexpected type");
    TRY(value(type));
  } else {
    const bool array =
        as == BsonTop::kGuess ? have(1) && counts_from_zero() : as == BsonTop::kArray;
    TRY(members(array));
  }
  return leave(outer);
}

Result<std::string_view> ToJson::name() {
  const auto rest = as_text(bson_.subspan(at_, end_ - at_));
  const auto end = rest.find('\0');
  if (end == std::string_view::npos) return refuse("a name does not end");
  const auto found = rest.substr(0, end);
  if (!is_utf8(as_bytes(found))) return refuse("a name is not UTF-8");
  at_ += end + 1;
  return found;
}

// Looks at the names of the members of this level, without reading the values in depth.
bool ToJson::counts_from_zero() {
  const std::size_t start = at_;
  const std::size_t written = out_.size();
  const std::size_t depth = depth_, end = end_;
  bool counts = true;
  for (std::size_t index = 0; counts && at_ < end_; ++index) {
    const std::uint8_t type = bson_[at_++];
    const auto key = name();
    counts = key && *key == std::to_string(index) && value(type).has_value();
    out_.resize(written);
  }
  at_ = start;
  depth_ = depth;
  end_ = end;
  return counts;
}

Result<void> ToJson::members(bool array) {
  out_ += array ? '[' : '{';
  for (std::size_t index = 0; at_ < end_; ++index) {
    if (index > 0) out_ += ',';
    const std::uint8_t type = bson_[at_++];
    TRY_SET(const auto key, name());
    if (!array) {
      append_json_string(key, out_);
      out_ += ':';
    } else if (key != std::to_string(index)) {
      return refuse("an array's elements are not numbered from 0");
    }
    TRY(value(type));
  }
  out_ += array ? ']' : '}';
  return {};
}

Result<void> ToJson::nested(bool array) {
  TRY_SET(const std::size_t outer, enter());
  TRY(members(array));
  return leave(outer);
}

Result<void> ToJson::text() {
  if (!have(5)) return refuse("not enough data");
  const std::uint32_t size = load_le<std::uint32_t>(bson_.data() + at_);
  at_ += 4;
  if (size == 0 || !have(size)) return refuse("a text's length is wrong");
  const ByteView content = bson_.subspan(at_, size - 1);
  if (bson_[at_ + size - 1] != 0) return refuse("a text does not end with a zero byte");
  if (!is_utf8(content)) return refuse("a text is not UTF-8");
  append_json_string(as_text(content), out_);
  at_ += size;
  return {};
}

Result<void> ToJson::value(std::uint8_t type) {
  const auto* here = bson_.data() + at_;
  switch (type) {
    case kNumber:
    case kInt64:
      if (!have(8)) return refuse("not enough data");
      if (type == kInt64) {
        out_ += std::to_string(load_le<std::int64_t>(here));
      } else {
        append_json_number(load_le<double>(here), out_);
      }
      at_ += 8;
      return {};
    case kInt32:
      if (!have(4)) return refuse("not enough data");
      out_ += std::to_string(load_le<std::int32_t>(here));
      at_ += 4;
      return {};
    case kText: return text();
    case kDocument: return nested(false);
    case kArray: return nested(true);
    case kBool:
      if (!have(1) || *here > 1) return refuse("a boolean is 0 or 1");
      out_ += *here != 0 ? "true" : "false";
      ++at_;
      return {};
    case kNull: out_ += "null"; return {};
    default: --at_; return refuse("unexpected type " + std::to_string(type));
  }
}

}  // namespace

Result<void> json_to_bson(std::string_view json, std::string& out) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  auto error =
      parser.allocate(std::max<std::size_t>(json.size(), 64), limits::kJsonNestingDepth + 1);
  if (!error) error = parser.parse(json.data(), json.size(), true).get(root);
  if (error) {
    return fail(Code::kInvalidArgument,
                std::string("malformed JSON: ") + simdjson::error_message(error));
  }
  const std::size_t start = out.size();
  auto result = ToBson(out).top(root);
  if (!result) out.resize(start);
  return result;
}

Result<void> bson_to_json(ByteView bson, BsonTop top, std::string& out) {
  const std::size_t start = out.size();
  auto result = ToJson(bson, out).top(top);
  if (!result) out.resize(start);
  return result;
}

}  // namespace capstan::rpc
