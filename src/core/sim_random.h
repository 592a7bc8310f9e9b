// Why this file exists: the one source of chance in a simulation. Everything that is random under
// SimWorld draws from one SimRandom, so a seed and a commit fix the whole run.
// Not for cryptography: seeds are small and the state is visible. xoshiro256** by Blackman and
// Vigna, seeded through splitmix64.
#pragma once

#include <bit>
#include <cstdint>

#include "base/assert.h"
#include "base/bytes.h"

namespace capstan::core {

class SimRandom {
 public:
  explicit SimRandom(std::uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9E3779B97F4A7C15ULL;
      std::uint64_t mixed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9ULL;
      mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
      word = mixed ^ (mixed >> 31);
    }
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // 0 … bound-1. The bias of the modulo does not matter to a simulation.
  std::uint64_t below(std::uint64_t bound) {
    CAPSTAN_ASSERT(bound != 0);
    return next() % bound;
  }
  // low … high, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    CAPSTAN_ASSERT(low <= high);
    return low + below(high - low + 1);
  }
  bool chance(unsigned percent) { return below(100) < percent; }
  void fill(MutableBytes out) {
    for (auto& byte : out) byte = static_cast<std::uint8_t>(next() >> 56);
  }

 private:
  std::uint64_t state_[4];
};

}  // namespace capstan::core
