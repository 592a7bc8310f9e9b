// Why this file exists: BSON as Octez uses it: a JSON value in other bytes. Numbers are doubles,
// there are no dates, binaries or object ids. At the top an array is a document with the keys "0",
// "1", …, and a scalar a pseudo-document with one nameless element whose type byte has 0x80 added.
// Source: http-rpc section 7.4; layout by bsonspec.org 1.1. No I/O; hostile bytes cost at most
// their length and kJsonNestingDepth levels.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::rpc {

// Appends the value of a JSON text, which must be valid and not deeper than kJsonNestingDepth.
// kInvalidArgument for texts that are not, and for member names with a NUL.
Result<void> json_to_bson(std::string_view json, std::string& out);

// What a top-level document stands for: the two cannot be told apart by its bytes. kGuess takes
// keys that count from "0" for an array.
enum class BsonTop : std::uint8_t { kObject, kArray, kGuess };

// Appends compact JSON. Takes 32- and 64-bit integers, too. kInvalidArgument with the offset.
Result<void> bson_to_json(ByteView bson, BsonTop top, std::string& out);

}  // namespace capstan::rpc
