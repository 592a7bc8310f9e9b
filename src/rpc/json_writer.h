// Why this file exists: any protobuf message as JSON in one of our styles, by reflection: no code
// per message. The writer only appends, so wires write straight into their output buffer.
// google.protobuf.Struct, Value and ListValue are the JSON they stand for. Their numbers are
// doubles: what is integral is written as an integer, and integers are exact up to 2^53.
// What it refuses: messages nested deeper than kJsonNestingDepth, timestamps and durations out of
// range, and google.protobuf's Any and FieldMask, which no API here uses.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "base/result.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

// Appends compact JSON without line ends; map entries are sorted by key. Text that is not UTF-8 is
// written with U+FFFD in place of the wrong bytes. After an error `out` is as it was before.
Result<void> write_json(const google::protobuf::Message& message, const JsonStyle& style,
                        std::string& out);

// Appends the value of one field alone, also when it is not set (its default; {} for a message).
Result<void> write_json_field(const google::protobuf::Message& message,
                              const google::protobuf::FieldDescriptor& field,
                              const JsonStyle& style, std::string& out);

// Appends `text` as a JSON string with its quotes; with `ascii` as JsonStyle::ascii says.
void append_json_string(std::string_view text, std::string& out, bool ascii = false);

}  // namespace capstan::rpc
