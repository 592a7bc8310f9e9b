// Why this file exists: see bitcode_codec.h. A column of bytes is stored raw or, when all of its
// values are small (or close together), several to a byte; the class of a column says how:
// class 0 = raw, 1 = base 16, 2 = base 6, 3 = base 4, 4 = base 3, 5 = base 2. The first value of a
// group is the least significant digit.
#include "base/bitcode_codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"
#include "base/utf8.h"

namespace capstan::bitcode {

namespace {

constexpr std::array<unsigned, 6> kBases = {256, 16, 6, 4, 3, 2};
constexpr std::size_t kInlineBytes = 2;  // shorter columns have no header
constexpr std::size_t kMinFrom = 6;      // shorter columns never store a minimum
constexpr std::size_t kLookedAt = 16;    // numbers whose spread decides about packing at all
constexpr std::uint8_t kLongLength = 255;
constexpr std::uint64_t kLengthSumEnd = 0x7FFFFFFFFFFFFFFFULL / 4096;

constexpr std::size_t per_byte(unsigned base) {
  switch (base) {
    case 2: return 8;
    case 3: return 5;
    case 4: return 4;
    case 6: return 3;
    default: return 2;
  }
}

std::size_t byte_class(unsigned largest) {
  if (largest <= 1) return 5;
  if (largest == 2) return 4;
  if (largest == 3) return 3;
  if (largest <= 5) return 2;
  return largest <= 15 ? 1 : 0;
}

std::size_t number_class(std::uint64_t largest) {
  if (largest <= 0xFF) return 3;
  if (largest <= 0xFFFF) return 2;
  return largest <= 0xFFFFFFFF ? 1 : 0;
}

struct Range {
  std::uint8_t least, largest;
};

Range range_of(std::span<const ByteView> parts) {
  Range range{255, 0};
  for (const ByteView part : parts) {
    std::uint8_t least = 255, largest = 0;
    for (const std::uint8_t byte : part) {  // one loop without branches: the compiler widens it
      least = std::min(least, byte);
      largest = std::max(largest, byte);
    }
    range = {std::min(range.least, least), std::max(range.largest, largest)};
  }
  return range;
}

std::string joined(std::span<const ByteView> parts, std::size_t size) {
  std::string all;
  all.reserve(size);
  for (const ByteView part : parts) all.append(as_text(part));
  return all;
}

std::size_t size_of(std::span<const ByteView> parts) {
  std::size_t size = 0;
  for (const ByteView part : parts) size += part.size();
  return size;
}

template <class T>
void put(std::string& out, T value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  store_le(reinterpret_cast<std::uint8_t*>(out.data()) + at, value);
}

void pack(std::string& out, unsigned base, ByteView values, std::uint8_t least) {
  const std::size_t group = per_byte(base);
  for (std::size_t i = 0; i < values.size(); i += group) {
    unsigned byte = 0;
    for (std::size_t j = std::min(group, values.size() - i); j-- > 0;) {
      byte = byte * base + static_cast<std::uint8_t>(values[i + j] - least);
    }
    out.push_back(static_cast<char>(byte));
  }
}

void unpack(unsigned base, ByteView from, MutableBytes to, std::uint8_t least) {
  const std::size_t group = per_byte(base);
  for (std::size_t i = 0, at = 0; at < to.size(); ++i) {
    unsigned byte = from[i];
    for (std::size_t j = 0; j < group && at < to.size(); ++j) {
      to[at++] = static_cast<std::uint8_t>(byte % base + least);
      byte /= base;
    }
  }
}

std::unexpected<Error> bad(const char* reason) {
  return fail(Code::kInvalidArgument, reason);
}

std::unexpected<Error> too_large(const char* what, std::size_t limit) {
  return fail(Code::kResourceExhausted,
              std::string(what) + " exceed the limit of " + std::to_string(limit));
}

}  // namespace

// --- encoding -----------------------------------------------------------------------------------

void Encoder::packed(unsigned base, std::span<const std::uint8_t> values) {
  pack(out_, base, values, 0);
}

void Encoder::byte_column(ByteView bytes) {
  this->bytes({&bytes, 1});
}

void Encoder::bytes(std::span<const ByteView> parts) {
  const std::size_t size = size_of(parts);
  if (size > kInlineBytes) {
    const Range range = range_of(parts);
    const std::size_t plain = byte_class(range.largest);
    const std::size_t reduced = byte_class(range.largest - range.least);
    if (reduced > plain && size >= kMinFrom) {
      out_.push_back(static_cast<char>(2 * reduced - 1));
      out_.push_back(static_cast<char>(range.least));
      return pack(out_, kBases[reduced], as_bytes(joined(parts, size)), range.least);
    }
    out_.push_back(static_cast<char>(2 * plain));
    if (plain != 0) return pack(out_, kBases[plain], as_bytes(joined(parts, size)), 0);
  }
  for (const ByteView part : parts) out_.append(as_text(part));
}

void Encoder::value(std::uint64_t number) {
  const std::size_t kind = number_class(number);
  out_.push_back(static_cast<char>(2 * kind));
  std::array<char, sizeof number> bytes;
  std::memcpy(bytes.data(), &number, sizeof number);
  out_.append(bytes.data(), sizeof number >> kind);
}

void Encoder::numbers(std::span<const std::uint64_t> values) {
  if (values.empty()) return;
  const auto head = values.first(std::min(values.size(), kLookedAt));
  const auto [head_least, head_largest] = std::ranges::minmax(head);
  std::size_t kind = 0, header = 0;
  std::uint64_t least = 0;
  if (head_largest - head_least <= 0xFFFFFFFF) {
    const auto [all_least, all_largest] = std::ranges::minmax(values);
    kind = number_class(all_largest);
    header = 2 * kind;
    const std::size_t reduced = number_class(all_largest - all_least);
    if (reduced > kind && values.size() >= kMinFrom) {
      kind = reduced;
      header = 2 * kind - 1;
      least = all_least;
    }
  }
  out_.push_back(static_cast<char>(header));
  if (header % 2 == 1) put(out_, least);
  if (kind == 3) {
    std::vector<std::uint8_t> small(values.size());
    std::ranges::transform(values, small.begin(),
                           [&](auto v) { return static_cast<std::uint8_t>(v - least); });
    return byte_column(small);
  }
  for (const std::uint64_t value : values) {
    if (kind == 0)
      put(out_, value - least);
    else if (kind == 1)
      put(out_, static_cast<std::uint32_t>(value - least));
    else
      put(out_, static_cast<std::uint16_t>(value - least));
  }
}

void Encoder::lengths(std::span<const std::size_t> values) {
  if (values.size() == 1) {  // every single value: no vectors
    const std::size_t length = values[0];
    out_.push_back(static_cast<char>(std::min<std::size_t>(length, kLongLength)));
    if (length >= kLongLength) value(std::uint64_t{length});
    return;
  }
  std::vector<std::uint8_t> small(values.size());
  std::vector<std::uint64_t> large;
  for (std::size_t i = 0; i < values.size(); ++i) {
    small[i] = static_cast<std::uint8_t>(std::min<std::size_t>(values[i], kLongLength));
    if (values[i] >= kLongLength) large.push_back(values[i]);
  }
  byte_column(small);
  numbers(large);
}

void Encoder::value(ByteView bytes) {
  const std::size_t length = bytes.size();
  lengths({&length, 1});
  byte_column(bytes);
}

void Encoder::text(std::string_view text) {
  const std::size_t length = text.size();
  lengths({&length, 1});
  out_.append(text);
}

namespace {
template <class Items, class Part>
void put_values(Encoder& encoder, const Items& items, Part part) {
  std::vector<std::size_t> lengths;
  std::vector<ByteView> parts;
  lengths.reserve(items.size());
  parts.reserve(items.size());
  for (const auto& item : items) {
    parts.push_back(part(item));
    lengths.push_back(parts.back().size());
  }
  encoder.lengths(lengths);
  encoder.bytes(parts);
}
}  // namespace

void Encoder::list(std::span<const ByteView> items) {
  const std::size_t count = items.size();
  lengths({&count, 1});
  put_values(*this, items, [](ByteView item) { return item; });
}

void Encoder::entries(std::span<const Entry> items) {
  const std::size_t count = items.size();
  lengths({&count, 1});
  put_values(*this, items, [](const Entry& item) { return item.key; });
  put_values(*this, items, [](const Entry& item) { return item.value; });
}

void Encoder::optional(const std::optional<ByteView>& item) {
  out_.push_back(item ? '\1' : '\0');
  if (item) value(*item);
}

void Encoder::optionals(std::span<const std::optional<ByteView>> items) {
  const std::size_t count = items.size();
  lengths({&count, 1});
  std::vector<std::uint8_t> presence(count);
  std::vector<ByteView> present;
  for (std::size_t i = 0; i < count; ++i) {
    presence[i] = items[i].has_value();
    if (items[i]) present.push_back(*items[i]);
  }
  packed(2, presence);
  put_values(*this, present, [](ByteView item) { return item; });
}

// --- decoding -----------------------------------------------------------------------------------

Result<ByteView> Decoder::take(std::uint64_t count) {
  if (count > input_.size()) return bad("EOF");
  const ByteView taken = input_.first(count);
  input_ = input_.subspan(count);
  return taken;
}

MutableBytes Decoder::unpacked(std::size_t size) {
  unpacked_bytes_ += size;
  unpacked_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(size));
  return {unpacked_.back().get(), size};
}

Result<ByteView> Decoder::bytes(std::uint64_t count) {
  if (count <= kInlineBytes) return take(count);
  TRY_SET(const ByteView header, take(1));
  if (header[0] >= 2 * kBases.size() - 1) return bad("invalid packing");
  const std::size_t kind = (header[0] + 1U) / 2;
  std::uint8_t least = 0;
  if (header[0] % 2 == 1) {
    TRY_SET(const ByteView stored, take(1));
    least = stored[0];
  }
  if (kind == 0) return take(count);
  const std::size_t group = per_byte(kBases[kind]);
  TRY_SET(const ByteView stored, take(count / group + (count % group != 0)));
  if (count + unpacked_bytes_ > limits::kBitcodeUnpackedBytes) {
    return too_large("unpacked bytes", limits::kBitcodeUnpackedBytes);
  }
  const MutableBytes into = unpacked(count);
  unpack(kBases[kind], stored, into, least);
  return ByteView(into);
}

Result<std::vector<std::uint8_t>> Decoder::packed(unsigned base, std::uint64_t count) {
  const std::size_t group = per_byte(base);
  TRY_SET(const ByteView stored, take(count / group + (count % group != 0)));
  if (count > limits::kBitcodeListItems) return too_large("items", limits::kBitcodeListItems);
  std::vector<std::uint8_t> values(count);
  unpack(base, stored, values, 0);
  return values;
}

Result<std::vector<std::uint64_t>> Decoder::numbers(std::uint64_t count) {
  std::vector<std::uint64_t> values;
  if (count == 0) return values;
  TRY_SET(const ByteView header, take(1));
  if (header[0] >= 7) return bad("invalid packing");
  const std::size_t kind = (header[0] + 1U) / 2;
  std::uint64_t least = 0;
  if (header[0] % 2 == 1) {
    TRY_SET(const ByteView stored, take(8));
    least = load_le<std::uint64_t>(stored.data());
  }
  if (kind == 3) {
    TRY_SET(const ByteView small, bytes(count));
    if (count > limits::kBitcodeListItems) return too_large("items", limits::kBitcodeListItems);
    values.reserve(count);
    for (const std::uint8_t value : small) values.push_back(value + least);
    return values;
  }
  const std::size_t width = std::size_t{8} >> kind;
  if (count > input_.size() / width) return bad("EOF");
  if (count > limits::kBitcodeListItems) return too_large("items", limits::kBitcodeListItems);
  TRY_SET(const ByteView stored, take(count * width));
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* at = stored.data() + i * width;
    const std::uint64_t value = kind == 0   ? load_le<std::uint64_t>(at)
                                : kind == 1 ? load_le<std::uint32_t>(at)
                                            : load_le<std::uint16_t>(at);
    values.push_back(value + least);
  }
  return values;
}

Result<std::vector<std::uint64_t>> Decoder::lengths(std::uint64_t count, std::uint64_t& sum) {
  sum = 0;
  TRY_SET(const ByteView small, bytes(count));
  if (count > limits::kBitcodeListItems) return too_large("items", limits::kBitcodeListItems);
  std::vector<std::uint64_t> values(small.begin(), small.end());
  const auto long_ones = static_cast<std::uint64_t>(std::ranges::count(small, kLongLength));
  if (long_ones != 0) {
    TRY_SET(const auto large, numbers(long_ones));
    auto next = large.begin();
    for (auto& value : values) {
      if (value == kLongLength) value = *next++;
    }
  }
  for (const std::uint64_t value : values) {
    if (__builtin_add_overflow(sum, value, &sum)) return bad("length overflow");
  }
  if (sum >= kLengthSumEnd) return bad("huge length");
  return values;
}

Result<std::vector<ByteView>> Decoder::values(std::uint64_t count) {
  std::uint64_t sum = 0;
  TRY_SET(const auto sizes, lengths(count, sum));
  TRY_SET(ByteView all, bytes(sum));
  std::vector<ByteView> out;
  out.reserve(sizes.size());
  for (const std::uint64_t size : sizes) {
    out.push_back(all.first(size));
    all = all.subspan(size);
  }
  return out;
}

// One length needs no vector.
Result<ByteView> Decoder::value() {
  TRY_SET(const ByteView small, take(1));
  std::uint64_t length = small[0];
  if (length == kLongLength) {
    TRY_SET(length, number());
    if (length >= kLengthSumEnd) return bad("huge length");
  }
  return bytes(length);
}

// One number as well: a header, a minimum with odd headers, and the value.
Result<std::uint64_t> Decoder::number() {
  TRY_SET(const ByteView header, take(1));
  if (header[0] >= 7) return bad("invalid packing");
  std::uint64_t least = 0;
  if (header[0] % 2 == 1) {
    TRY_SET(const ByteView stored, take(8));
    least = load_le<std::uint64_t>(stored.data());
  }
  const std::size_t width = std::size_t{8} >> (header[0] + 1U) / 2;
  TRY_SET(const ByteView stored, take(width));
  std::uint64_t value = 0;
  std::memcpy(&value, stored.data(), width);
  return value + least;
}

Result<bool> Decoder::flag() {
  TRY_SET(const ByteView byte, take(1));
  return (byte[0] & 1) != 0;
}

Result<std::string_view> Decoder::text() {
  std::uint64_t length = 0;
  TRY(lengths(1, length));
  TRY_SET(const ByteView bytes, take(length));
  if (!is_utf8(bytes)) return bad("invalid utf8");
  return as_text(bytes);
}

Result<std::vector<ByteView>> Decoder::list() {
  std::uint64_t count = 0;
  TRY(lengths(1, count));
  return values(count);
}

Result<std::vector<Entry>> Decoder::entries() {
  std::uint64_t count = 0;
  TRY(lengths(1, count));
  TRY_SET(const auto keys, values(count));
  TRY_SET(const auto contents, values(count));
  std::vector<Entry> out;
  out.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) out.push_back({keys[i], contents[i]});
  return out;
}

Result<std::optional<ByteView>> Decoder::optional() {
  TRY_SET(const bool present, flag());
  if (!present) return std::optional<ByteView>();
  TRY_SET(const ByteView bytes, value());
  return std::optional<ByteView>(bytes);
}

Result<std::vector<std::optional<ByteView>>> Decoder::optionals() {
  std::uint64_t count = 0;
  TRY(lengths(1, count));
  TRY_SET(const auto presence, packed(2, count));
  TRY_SET(const auto present,
          values(static_cast<std::uint64_t>(std::ranges::count(presence, std::uint8_t{1}))));
  std::vector<std::optional<ByteView>> out(presence.size());
  auto next = present.begin();
  for (std::size_t i = 0; i < presence.size(); ++i) {
    if (presence[i] != 0) out[i] = *next++;
  }
  return out;
}

Result<void> Decoder::finish() const {
  if (!input_.empty()) return bad("Expected EOF");
  return {};
}

// --- errors -------------------------------------------------------------------------------------

void encode(const CodedError& error, std::string& out) {
  Encoder encoder(out);
  const auto kind = static_cast<std::uint8_t>(error.kind);
  encoder.packed(3, {&kind, 1});
  encoder.text(error.message);
}

Result<CodedError> decode_error(ByteView input) {
  Decoder decoder(input);
  TRY_SET(const auto kind, decoder.packed(3, 1));
  TRY_SET(const std::string_view message, decoder.text());
  TRY(decoder.finish());
  return CodedError{static_cast<CodedError::Kind>(kind[0]), std::string(message)};
}

}  // namespace capstan::bitcode
