// Why this file exists: cutting the body of a stream into its elements, for clients and for
// operations that read a stream. Borders of chunks mean nothing: a chunk may hold several elements,
// an element may span chunks. JSON elements end with a line feed, BSON documents and octet-stream
// values start with their length. Source: http-rpc section 7.6. Bytes in, elements out; no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::rpc {

class ElementSplitter {
 public:
  enum class Format : std::uint8_t { kLines, kBsonDocuments, kLengthPrefixed };

  // Elements longer than `limit_bytes` are an error: kResourceExhausted.
  ElementSplitter(Format format, std::size_t limit_bytes);

  void add(std::string_view bytes);
  // The next complete element, whole as it would be a body by itself (with line feed or length);
  // empty lines are skipped. Nothing: more bytes are needed. The view lives until the next call of
  // any function. kInvalidArgument when the bytes cannot be of this format; it stays in that state.
  Result<std::optional<std::string_view>> next();
  // After the last add(): nothing of an element is left over. A last line without its line feed is
  // left over.
  bool complete() const;
  std::size_t buffered() const { return bytes_.size() - start_; }

 private:
  Result<std::size_t> length();  // of the first element; 0: not known yet

  Format format_;
  std::size_t limit_;
  std::string bytes_;
  std::size_t start_ = 0;    // what next() has given out
  std::size_t scanned_ = 0;  // of the first line, known to hold no line feed
};

}  // namespace capstan::rpc
