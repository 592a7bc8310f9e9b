// Why this file exists: nearly every answer of a gRPC server has the same headers and the same
// trailers, and compressing them was a tenth of what a call cost. A block that consists of nothing
// but references into the table (RFC 7541 section 6.1) changes no table, so as long as no other
// block and no SETTINGS changes it, the same list is the same few bytes: they are learned from what
// nghttp2 made of it and sent again without asking it. Once the table may have changed they are
// forgotten, and a list that is already on its way goes out in a form that needs no table
// (section 6.2.2).
//
// Bytes in, bytes out. Thread-safety: none; one owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "wire/http2/byte_queue.h"

namespace capstan::wire {

// The bytes of one list; empty while they are not known.
class ReplayedBlock {
 public:
  ByteView bytes() const { return {bytes_.data(), size_}; }
  bool known() const { return size_ != 0; }
  void forget() { size_ = 0; }
  // What nghttp2 made of the list; kept when it is references alone.
  void learn(ByteView block);

 private:
  std::array<std::uint8_t, 8> bytes_{};
  std::uint8_t size_ = 0;
};

// True for a block that no table is changed by: references of one byte each.
bool block_is_references(ByteView block);
// True for a block without any header: nothing, or changes of the table's size (section 6.3).
bool block_is_empty(ByteView block);
// Appends a header that refers to no table and enters none. Names and values are shorter than 127.
void append_plain_header(ByteQueue& to, std::string_view name, std::string_view value);
// A frame header (RFC 9113 section 4.1).
void append_frame_header(ByteQueue& to, std::size_t length, std::uint8_t type, std::uint8_t flags,
                         std::int32_t stream);

}  // namespace capstan::wire
