// Why this file exists: see etag.h. Maps have no order in memory, so the bytes that are hashed are
// those of the deterministic serialization.
#include "rpc/etag.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/xxh3.h"

namespace capstan::rpc {

namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value, 16);
  return {std::begin(digits), end.ptr};
}

}  // namespace

std::string etag_of(const google::protobuf::Message& message, Media media, std::string_view shape) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&out);
  }
  const std::uint64_t seed = xxh3_64(as_bytes(shape), static_cast<std::uint64_t>(media));
  return '"' + hexadecimal(xxh3_64(as_bytes(bytes), seed)) + '-' + hexadecimal(bytes.size()) + '"';
}

// Tags have no commas in what this node makes; one of another's that has some matches nothing.
bool etag_listed(std::string_view header, std::string_view tag, Weak weak) {
  while (!header.empty()) {
    const auto comma = std::min(header.find(','), header.size());
    auto one = trimmed(header.substr(0, comma));
    if (weak == Weak::kCounts && one.starts_with("W/")) one.remove_prefix(2);
    if (one == tag || one == "*") return true;
    header.remove_prefix(std::min(comma + 1, header.size()));
  }
  return false;
}

}  // namespace capstan::rpc
