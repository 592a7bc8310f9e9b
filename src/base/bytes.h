// Why this file exists: one vocabulary for raw memory, and endian-explicit loads and stores for
// every on-disk and on-wire format. Loads and stores never check bounds: the caller has already
// established the size (a parser checks once per structure, not once per field).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace capstan {

using ByteView = std::span<const std::uint8_t>;  // borrowed, read-only
using MutableBytes = std::span<std::uint8_t>;    // borrowed, writable

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Little-endian, as in lvstore, NVMe and bitcode.
template <class T>
T load_le(const std::uint8_t* from) {
  static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store_le(std::uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
// Big-endian, as in gRPC's length prefix and HTTP/2.
inline std::uint32_t load_be32(const std::uint8_t* from) {
  return __builtin_bswap32(load_le<std::uint32_t>(from));
}
inline void store_be32(std::uint8_t* to, std::uint32_t value) {
  store_le(to, __builtin_bswap32(value));
}

bool all_zero(ByteView bytes);

}  // namespace capstan
