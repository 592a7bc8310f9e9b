// Why this file exists: what a session's memory keeps, and what giving it back changes: nothing
// that nghttp2 sees, and much that the system does.
#include "wire/http2/http2_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace capstan::wire {
namespace {

constexpr std::size_t kStreams = 256, kPlace = 16, kFrame = 16'394;

std::size_t resident_pages(void* memory, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  EXPECT_EQ(mincore(memory, bytes, pages.data()), 0);
  std::size_t count = 0;
  for (const auto one : pages) count += one & 1U;
  return count;
}

struct Session {
  Session()
      : streams(static_cast<char*>(memory.allocate_zeros(kStreams, kPlace))),
        frames(static_cast<char*>(memory.resize(nullptr, kFrame))) {
    memory.made();
  }
  ~Session() {
    memory.release(streams);
    memory.release(frames);
  }
  Http2Memory memory;
  char *streams, *frames;
};

TEST(Http2Memory, AnIdleSessionHoldsNeitherStreamsNorFrames) {
  Session session;
  std::memset(session.frames, 'f', kFrame);
  session.streams[100] = 's';
  session.streams[100] = 0;
  EXPECT_GE(resident_pages(session.streams, kStreams * kPlace), 1U);
  session.memory.give_back(false);
  EXPECT_EQ(resident_pages(session.streams, kStreams * kPlace), 0U);
  EXPECT_EQ(resident_pages(session.frames, kFrame), 0U);
  EXPECT_EQ(session.streams[100], 0);
  session.frames[0] = 'g';  // as good as before
  EXPECT_EQ(session.frames[0], 'g');
}

TEST(Http2Memory, WhatIsInUseStays) {
  Session session;
  std::memset(session.frames, 'f', kFrame);
  session.streams[kStreams * kPlace - 1] = 's';
  session.memory.give_back(true);
  EXPECT_EQ(session.frames[kFrame - 1], 'f');
  EXPECT_EQ(session.streams[kStreams * kPlace - 1], 's');
  session.memory.give_back(false);
  EXPECT_EQ(session.streams[kStreams * kPlace - 1], 's');
}

TEST(Http2Memory, WhatComesLaterIsOrdinaryMemory) {
  Session session;
  auto* later = static_cast<char*>(session.memory.resize(nullptr, kFrame));
  std::memset(later, 'l', kFrame);
  session.memory.give_back(false);
  EXPECT_EQ(later[kFrame - 1], 'l');
  session.memory.release(later);
}

TEST(Http2Memory, GrowsWithItsContents) {
  Session session;
  std::memset(session.frames, 'f', kFrame);
  session.frames = static_cast<char*>(session.memory.resize(session.frames, 3 * kFrame));
  session.memory.give_back(false);
  EXPECT_EQ(session.frames[kFrame - 1], 'f');
  std::memset(session.frames, 'g', 3 * kFrame);
}

}  // namespace
}  // namespace capstan::wire
