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
#include "rpc/json_text.h"  // append_json_string

namespace capstan::rpc {

// Appends compact JSON without line ends; map entries are sorted by key. Text that is not UTF-8 is
// written with U+FFFD in place of the wrong bytes, or as JsonStyle::octez_texts says. After an
// error `out` is as it was before.
Result<void> write_json(const google::protobuf::Message& message, const JsonStyle& style,
                        std::string& out);

// Appends the value of one field alone, also when it is not set (its default; {} for a message).
// `depth` objects and arrays stand around it already.
Result<void> write_json_field(const google::protobuf::Message& message,
                              const google::protobuf::FieldDescriptor& field,
                              const JsonStyle& style, std::string& out, std::size_t depth = 0);

// Appends one element of a repeated field (not of a map).
Result<void> write_json_value(const google::protobuf::Message& message,
                              const google::protobuf::FieldDescriptor& field, int index,
                              const JsonStyle& style, std::string& out);

// For those who write a message field by field: whether a field is written, and its name with the
// colon.
bool json_shows(const google::protobuf::Message& message,
                const google::protobuf::FieldDescriptor& field, const JsonStyle& style);
void append_json_name(const google::protobuf::FieldDescriptor& field, const JsonStyle& style,
                      std::string& out);

}  // namespace capstan::rpc
