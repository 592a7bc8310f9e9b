// Why this file exists: the sets of the pool format are bitmaps (used pages, used clusters, used
// blob ids). This is the in-memory form: fixed size, lowest clear bit first, a running count of set
// bits. Thread-safety: plain value.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"

namespace capstan::storage::lvs {

class Bitmap {
 public:
  Bitmap() = default;
  explicit Bitmap(std::uint64_t bits) : bits_(bits), words_((bits + 63) / 64) {}

  std::uint64_t size() const { return bits_; }
  std::uint64_t count() const { return count_; }
  bool test(std::uint64_t bit) const {
    CAPSTAN_ASSERT(bit < bits_);
    return (words_[bit / 64] >> (bit % 64)) & 1;
  }
  void set(std::uint64_t bit) {
    if (test(bit)) return;
    words_[bit / 64] |= 1ULL << (bit % 64);
    ++count_;
  }
  void clear(std::uint64_t bit) {
    if (!test(bit)) return;
    words_[bit / 64] &= ~(1ULL << (bit % 64));
    --count_;
  }
  // The lowest clear bit at or above `from`.
  std::optional<std::uint64_t> first_clear(std::uint64_t from) const {
    for (std::uint64_t word = from / 64; word < words_.size(); ++word) {
      std::uint64_t free = ~words_[word];
      if (word == from / 64) free &= ~0ULL << (from % 64);
      if (free == 0) continue;
      std::uint64_t bit = word * 64 + std::countr_zero(free);
      if (bit >= bits_) return std::nullopt;
      return bit;
    }
    return std::nullopt;
  }
  // Ascending.
  template <class Visit>
  void for_each_set(Visit visit) const {
    for (std::uint64_t word = 0; word < words_.size(); ++word) {
      for (std::uint64_t rest = words_[word]; rest != 0; rest &= rest - 1)
        visit(word * 64 + static_cast<std::uint64_t>(std::countr_zero(rest)));
    }
  }
  void merge(const Bitmap& other) {
    CAPSTAN_ASSERT(other.bits_ == bits_);
    count_ = 0;
    for (std::size_t word = 0; word < words_.size(); ++word) {
      words_[word] |= other.words_[word];
      count_ += std::popcount(words_[word]);
    }
  }
  void subtract(const Bitmap& other) {
    CAPSTAN_ASSERT(other.bits_ == bits_);
    count_ = 0;
    for (std::size_t word = 0; word < words_.size(); ++word) {
      words_[word] &= ~other.words_[word];
      count_ += std::popcount(words_[word]);
    }
  }
  // New bits are clear. Never smaller.
  void grow(std::uint64_t bits) {
    CAPSTAN_ASSERT(bits >= bits_);
    bits_ = bits;
    words_.resize((bits + 63) / 64);
  }
  // Bit i is bit i mod 8 of byte i / 8; what follows the last bit is ignored, or zero.
  static Bitmap from_bytes(std::uint64_t bits, ByteView bytes) {
    CAPSTAN_ASSERT(bytes.size() >= (bits + 7) / 8);
    Bitmap result(bits);
    for (std::uint64_t at = 0; at < (bits + 7) / 8; ++at)
      result.words_[at / 8] |= std::uint64_t{bytes[at]} << (at % 8 * 8);
    if (bits % 64 != 0) result.words_.back() &= ~0ULL >> (64 - bits % 64);
    for (std::uint64_t word : result.words_) result.count_ += std::popcount(word);
    return result;
  }
  void to_bytes(MutableBytes bytes) const {
    CAPSTAN_ASSERT(bytes.size() >= (bits_ + 7) / 8);
    for (std::uint64_t at = 0; at < (bits_ + 7) / 8; ++at)
      bytes[at] = static_cast<std::uint8_t>(words_[at / 8] >> (at % 8 * 8));
  }
  bool operator==(const Bitmap&) const = default;

 private:
  std::uint64_t bits_ = 0, count_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace capstan::storage::lvs
