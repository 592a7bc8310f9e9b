// Why this file exists: the cutting behind ElementSplitter. A line is searched once, however small
// the pieces are in which it arrives; the buffer is moved together only when most of it is used up.
#include "rpc/element_codec.h"

namespace capstan::rpc {

namespace {

constexpr std::size_t kPrefixBytes = 4;
constexpr std::size_t kBsonBytesMin = 5;  // length and the closing NUL
constexpr std::size_t kMoveBytes = 4096;

}  // namespace

ElementSplitter::ElementSplitter(Format format, std::size_t limit_bytes)
    : format_(format), limit_(limit_bytes) {}

void ElementSplitter::add(std::string_view bytes) {
  if (start_ == bytes_.size()) {
    bytes_.clear();
    start_ = 0;
  } else if (start_ >= kMoveBytes && start_ >= bytes_.size() / 2) {
    bytes_.erase(0, start_);
    start_ = 0;
  }
  bytes_ += bytes;
}

Result<std::size_t> ElementSplitter::length() {
  const std::string_view rest = std::string_view(bytes_).substr(start_);
  std::size_t length = 0;
  if (format_ == Format::kLines) {
    const auto end = rest.find('\n', scanned_);
    scanned_ = rest.size();
    length = end == std::string_view::npos ? 0 : end + 1;
    if (length == 0 && rest.size() > limit_) length = rest.size();  // too long already
  } else if (rest.size() >= kPrefixBytes) {
    const auto* first = as_bytes(rest).data();
    if (format_ == Format::kLengthPrefixed) {
      length = kPrefixBytes + load_be32(first);
    } else {
      length = load_le<std::uint32_t>(first);
      if (length < kBsonBytesMin) {
        return fail(Code::kInvalidArgument,
                    "a BSON document of " + std::to_string(length) + " bytes is none");
      }
    }
  }
  if (length > limit_) {
    return fail(Code::kResourceExhausted, "an element of " + std::to_string(length) +
                                              " bytes or more exceeds the limit of " +
                                              std::to_string(limit_) + " bytes");
  }
  return length;
}

Result<std::optional<std::string_view>> ElementSplitter::next() {
  for (;;) {
    TRY_SET(const std::size_t size, length());
    if (size == 0 || bytes_.size() - start_ < size) return std::nullopt;
    const auto element = std::string_view(bytes_).substr(start_, size);
    start_ += size;
    scanned_ = 0;
    if (format_ != Format::kLines || element.find_first_not_of(" \t\r\n") != element.npos) {
      return element;
    }
  }
}

bool ElementSplitter::complete() const {
  const auto rest = std::string_view(bytes_).substr(start_);
  if (format_ != Format::kLines) return rest.empty();
  return rest.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace capstan::rpc
