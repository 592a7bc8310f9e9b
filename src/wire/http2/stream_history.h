// Why this file exists: nghttp2 forgets a stream once it is closed, so it cannot tell a frame that
// was under way when we closed it, which is fine, from one that its peer must not have sent. This
// remembers what the peer itself did to the latest streams that it could open: frames of one
// connection stay in order, so what it sends on a stream after it has ended or reset it is its
// mistake and nobody's haste (RFC 9113 section 5.1). 32 bytes, whatever the peer does.
#pragma once

#include <cstdint>

namespace capstan::wire {

class StreamHistory {
 public:
  static constexpr std::int32_t kRemembered = 64;  // streams
  enum class Fate : std::uint8_t {
    kUnknown,  // too long ago, or not yet
    kSkipped,  // passed over: opening a later stream closed it unused (section 5.1.1)
    kUsed,
    kEnded,  // the peer sent END_STREAM
    kReset,  // the peer sent RST_STREAM
  };

  // A request on a stream; those before the latest one change nothing.
  void opened(std::int32_t id) {
    if (!is_clients(id) || id <= latest_) return;
    const std::int64_t steps = (std::int64_t{id} - latest_) / 2;
    used_ = shifted(used_, steps) | 1;
    ended_ = shifted(ended_, steps);
    reset_ = shifted(reset_, steps);
    latest_ = id;
  }
  void ended(std::int32_t id) { ended_ |= bit(id); }
  void reset(std::int32_t id) { reset_ |= bit(id); }

  Fate of(std::int32_t id) const {
    const std::uint64_t mask = bit(id);
    if (mask == 0) return Fate::kUnknown;
    if ((used_ & mask) == 0) return Fate::kSkipped;
    if ((reset_ & mask) != 0) return Fate::kReset;
    return (ended_ & mask) != 0 ? Fate::kEnded : Fate::kUsed;
  }

 private:
  static bool is_clients(std::int32_t id) { return id > 0 && id % 2 == 1; }
  static std::uint64_t shifted(std::uint64_t bits, std::int64_t steps) {
    return steps < kRemembered ? bits << steps : 0;
  }
  std::uint64_t bit(std::int32_t id) const {
    if (!is_clients(id) || id > latest_ || (latest_ - id) / 2 >= kRemembered) return 0;
    return std::uint64_t{1} << (latest_ - id) / 2;
  }

  std::int32_t latest_ = -1;
  std::uint64_t used_ = 0, ended_ = 0, reset_ = 0;  // bit n: the n-th before the latest
};

}  // namespace capstan::wire
