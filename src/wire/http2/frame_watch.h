// Why this file exists: nghttp2 ignores frames on streams that it has forgotten and tells nobody. A
// server looks at the frame headers itself, as they pass, and finds those that a client may never
// send: HEADERS and DATA on a stream that it has ended, reset or passed over. What becomes of the
// rest of a frame is nghttp2's business; bytes that are no HTTP/2 are survived and mean nothing.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "wire/http2/stream_history.h"

namespace capstan::wire {

class FrameWatch {
 public:
  struct Step {
    std::size_t bytes = 0;  // looked at; at least one of those given
    // Of the stream whose frame header ends with them: kEnded, kReset, kSkipped. Else kUsed.
    StreamHistory::Fate wrong = StreamHistory::Fate::kUsed;
    std::int32_t stream = 0;
  };
  // Stops behind the first frame header that is wrong, else at the end.
  Step look(ByteView bytes);

 private:
  static constexpr std::size_t kPrefaceBytes = 24;
  static constexpr std::size_t kHeaderBytes = 9;
  bool header_is_wrong(Step& step);

  StreamHistory history_;
  std::size_t skip_ = kPrefaceBytes;  // of the preface, or of a frame
  std::array<std::uint8_t, kHeaderBytes> header_{};
  std::uint8_t header_bytes_ = 0;
};

}  // namespace capstan::wire
