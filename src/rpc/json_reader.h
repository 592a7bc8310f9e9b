// Why this file exists: JSON from clients into protobuf messages, strictly, with errors that name
// the place: "$.disks[0]: expected string, got number". Understood in every style
// (rpc/json_style.h): camelCase and snake_case names, integers as numbers or text, enums as names
// or numbers. null means absent. Refused: unknown and duplicate fields, two members of one oneof,
// numbers that do not fit, text that is not UTF-8, more than kJsonBytes of text or
// kJsonNestingDepth levels. google.protobuf.Struct, Value and ListValue take the JSON they stand
// for; their numbers are doubles, and an integer that a double cannot hold exactly is refused.
//
// A JsonReader keeps its buffers between texts: one per connection or per server.
// Thread-safety: one core.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"
#include "rpc/json_style.h"

namespace simdjson::dom {
class element;
}

namespace capstan::rpc {

struct JsonReadOptions {
  bool ignore_unknown = false;  // skip unknown fields, for clients newer than this node
  // As SPDK decodes parameters: text is never a number, null never an absent member.
  bool strict = false;
  // {"invalid_utf8_string":[…]} is a text, too; its bytes must be UTF-8 all the same, because the
  // texts of this API are.
  bool octez_texts = false;
  JsonStyle::Bytes bytes = JsonStyle::Bytes::kBase64;
  std::size_t limit_bytes = limits::kJsonBytes;
};

class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  // Clears `into` first; after an error its content is unspecified. Errors are kInvalidArgument, or
  // kResourceExhausted for texts that are too long.
  Result<void> read(std::string_view text, google::protobuf::Message& into,
                    const JsonReadOptions& options = {});
  // The text is the value of one field of `into`; with `element` that of the first element of a
  // repeated one. null: the field stays absent.
  Result<void> read_field(std::string_view text, google::protobuf::Message& into,
                          const google::protobuf::FieldDescriptor& field, bool element,
                          const JsonReadOptions& options = {});

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

// For wires that have parsed an envelope themselves and hold the arguments as a value in it. `at`
// names that value in errors ("$.params").
Result<void> read_json_value(const simdjson::dom::element& value, google::protobuf::Message& into,
                             std::string_view at, const JsonReadOptions& options = {});

}  // namespace capstan::rpc
