// Why this file exists: bitcode 0.6 (0.6.6 to 0.6.9 are one format) for exactly the types that the
// DataStore methods and the RPC layer of the released clients use (muxio-wire section 7). What is
// encoded is byte for byte what upstream encodes; what is rejected is exactly what upstream
// rejects, plus what exceeds the limits (base/limits.h), which upstream does not have.
//
// The format is columnar: a value is a fixed sequence of columns, and how many elements a column
// has follows from the columns before it. Nothing in it names a type.
// Lifetimes: decoded views point into the input or into the decoder; both must outlive them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::bitcode {

struct Entry {
  ByteView key, value;
};

// Appends columns to a string.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  // The four kinds of columns. The bytes of a column may come in parts.
  void lengths(std::span<const std::size_t> values);
  void bytes(std::span<const ByteView> parts);
  void numbers(std::span<const std::uint64_t> values);
  void packed(unsigned base, std::span<const std::uint8_t> values);  // each below base

  // Values. A message is the values of its fields, in order.
  void value(ByteView bytes);
  void value(std::uint64_t number);
  void value(bool flag) { out_.push_back(flag ? '\1' : '\0'); }
  void text(std::string_view text);
  void list(std::span<const ByteView> items);
  void entries(std::span<const Entry> items);
  void optional(const std::optional<ByteView>& item);
  void optionals(std::span<const std::optional<ByteView>> items);

 private:
  void byte_column(ByteView bytes);
  std::string& out_;
};

// Takes columns off the front of `input`. Every error is kInvalidArgument with one of upstream's
// reasons ("EOF", "Expected EOF", "invalid packing", "huge length", "length overflow", "invalid
// utf8"), or kResourceExhausted when one of our limits is exceeded. After an error the decoder is
// of no further use.
class Decoder {
 public:
  explicit Decoder(ByteView input) : input_(input) {}

  Result<std::vector<std::uint64_t>> lengths(std::uint64_t count, std::uint64_t& sum);
  Result<ByteView> bytes(std::uint64_t count);
  Result<std::vector<std::uint64_t>> numbers(std::uint64_t count);
  Result<std::vector<std::uint8_t>> packed(unsigned base, std::uint64_t count);

  Result<ByteView> value();
  Result<std::uint64_t> number();
  Result<bool> flag();
  Result<std::string_view> text();
  Result<std::vector<ByteView>> list();
  Result<std::vector<Entry>> entries();
  Result<std::optional<ByteView>> optional();
  Result<std::vector<std::optional<ByteView>>> optionals();
  // Nothing may be left after the last field.
  Result<void> finish() const;

 private:
  Result<ByteView> take(std::uint64_t count);
  Result<std::vector<ByteView>> values(std::uint64_t count);
  MutableBytes unpacked(std::size_t size);

  ByteView input_;
  std::vector<std::unique_ptr<std::uint8_t[]>> unpacked_;  // columns that were stored packed
  std::size_t unpacked_bytes_ = 0;
};

// The error payload of services of muxio 0.10 and later (muxio-wire section 6.4).
struct CodedError {
  enum class Kind : std::uint8_t { kFail = 0, kSystem = 1, kNotFound = 2 } kind = Kind::kFail;
  std::string message;
};
void encode(const CodedError& error, std::string& out);
Result<CodedError> decode_error(ByteView input);

}  // namespace capstan::bitcode
