// Why this file exists: the compatible APIs agree on protobuf's messages but not on how they look
// as JSON. A JsonStyle names the differences; the presets are the four looks that Capstan serves.
// Reading needs only `bytes` of it: names, numbers and enums are understood in every spelling.
#pragma once

#include <cstdint>

namespace capstan::rpc {

struct JsonStyle {
  enum class Wide : std::uint8_t { kText, kNumber };          // 64-bit integers
  enum class Names : std::uint8_t { kCamelCase, kDeclared };  // declared = snake_case in our protos
  enum class Enums : std::uint8_t { kNames, kNumbers };
  enum class Bytes : std::uint8_t { kBase64, kHex };

  Wide wide = Wide::kText;
  Names names = Names::kCamelCase;
  Enums enums = Enums::kNames;
  Bytes bytes = Bytes::kBase64;
  // Also writes fields that equal their default. Fields with presence (messages, `optional`,
  // members of a oneof) are written exactly when they are set, in every style.
  bool show_defaults = false;
  // Text beyond ASCII, and DEL, as \uXXXX: for clients that decode what they read in pieces.
  bool ascii = false;
  // Octez's habits: integral floating-point numbers without point and exponent, text that is not
  // UTF-8 as {"invalid_utf8_string":[255,…]}, a form feed as \u000c.
  bool octez_texts = false;

  // protobuf.dev, "ProtoJSON Format".
  static constexpr JsonStyle canonical() { return {}; }
  // The native HTTP tree (http-rpc section 7.4): wide integers as text, bytes in hex.
  static constexpr JsonStyle octez() {
    return {Wide::kText, Names::kDeclared, Enums::kNames, Bytes::kHex, false, false, true};
  }
  // JSON-RPC as SPDK speaks it: every field present, numbers are numbers, ASCII only.
  static constexpr JsonStyle spdk() {
    return {Wide::kNumber, Names::kDeclared, Enums::kNames, Bytes::kBase64, true, true};
  }
  // The /v0 tree of the Mayastor controller.
  static constexpr JsonStyle v0() {
    return {Wide::kNumber, Names::kCamelCase, Enums::kNames, Bytes::kBase64, true, false};
  }
};

}  // namespace capstan::rpc
