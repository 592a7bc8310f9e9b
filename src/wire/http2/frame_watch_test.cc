// Why this file exists: which frames of a client are wrong, in whatever pieces they come.
#include "wire/http2/frame_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/assert.h"

namespace capstan::wire {
namespace {

using Fate = StreamHistory::Fate;

std::string frame(char type, char flags, char stream, std::size_t size = 0) {
  const std::string payload(size, '\1');
  return std::string("\0", 1) + static_cast<char>(size >> 8) + static_cast<char>(size) + type +
         flags + std::string("\0\0\0", 3) + stream + payload;
}
std::string headers(char stream, bool end) {
  return frame(1, static_cast<char>(end ? 5 : 4), stream, 20);
}
std::string data(char stream, bool end, std::size_t size = 300) {
  return frame(0, static_cast<char>(end ? 1 : 0), stream, size);
}
std::string reset(char stream) {
  return frame(3, 0, stream, 4);
}

struct Wrong {
  std::int32_t stream;
  Fate fate;
  bool operator==(const Wrong&) const = default;
};

// The same whether it comes at once or in pieces.
std::vector<Wrong> wrong_in(const std::string& frames) {
  const std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, 18) + frames;
  std::vector<std::vector<Wrong>> found;
  for (const std::size_t piece : {bytes.size(), std::size_t{1}, std::size_t{7}}) {
    auto& these = found.emplace_back();
    FrameWatch watch;
    std::size_t passed = 0;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      auto part = as_bytes(std::string_view(bytes).substr(at, piece));
      while (!part.empty()) {
        const auto step = watch.look(part);
        CAPSTAN_ASSERT(step.bytes != 0 && step.bytes <= part.size());
        passed += step.bytes;
        part = part.subspan(step.bytes);
        if (step.wrong != Fate::kUsed) these.push_back({step.stream, step.wrong});
      }
    }
    EXPECT_EQ(passed, bytes.size());
    EXPECT_EQ(these, found.front()) << "in pieces of " << piece;
  }
  return found.front();
}

TEST(FrameWatch, RegularStreamsAreFine) {
  EXPECT_TRUE(wrong_in(headers(1, false) + data(1, false) + data(1, false, 0) + headers(3, true) +
                       data(1, true) + headers(9, false) + frame(8, 0, 1, 4) + reset(9) +
                       frame(2, 0, 7, 5) + reset(1) + frame(6, 0, 0, 8))
                  .empty());
  EXPECT_TRUE(wrong_in(headers(1, false) + data(1, false) + headers(1, true)).empty());  // trailers
}

TEST(FrameWatch, NothingFollowsAnEnd) {
  const std::vector<Wrong> ended{{1, Fate::kEnded}};
  EXPECT_EQ(wrong_in(headers(1, true) + data(1, false)), ended);
  EXPECT_EQ(wrong_in(headers(1, true) + headers(1, true)), ended);
  EXPECT_EQ(wrong_in(headers(1, false) + data(1, true) + headers(3, true) + data(1, true)), ended);
}

TEST(FrameWatch, NothingFollowsAReset) {
  const std::vector<Wrong> reset_twice{{1, Fate::kReset}, {1, Fate::kReset}};
  EXPECT_EQ(wrong_in(headers(1, false) + reset(1) + data(1, false) + headers(1, true)),
            reset_twice);
}

TEST(FrameWatch, StreamsThatWerePassedOverAreClosed) {
  EXPECT_EQ(wrong_in(headers(5, false) + headers(3, true) + data(5, true)),
            (std::vector<Wrong>{{3, Fate::kSkipped}}));
}

TEST(FrameWatch, OtherBytesMeanNothing) {
  FrameWatch watch;
  const std::string text(10'000, 'x');
  EXPECT_EQ(watch.look(as_bytes(text)).bytes, text.size());
}

}  // namespace
}  // namespace capstan::wire
