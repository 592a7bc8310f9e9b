// Why this file exists: what a session's memory keeps, and what giving it back changes: nothing
// that nghttp2 sees, and much that the system does.
#include "wire/http2/http2_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
  // Makes many calls, so that blocks are kept.
  void be_busy() {
    for (int i = 0; i < 100; ++i) memory.release(memory.allocate(1000));
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

TEST(Http2Memory, SmallBlocksComeBack) {
  Session session;
  session.be_busy();
  void* first = session.memory.allocate(200);
  void* second = session.memory.allocate(200);
  std::memset(first, 'f', 200);
  session.memory.release(first);
  session.memory.release(second);
  EXPECT_EQ(session.memory.allocate(200), second);
  auto* zeros = static_cast<char*>(session.memory.allocate_zeros(2, 100));
  EXPECT_EQ(static_cast<void*>(zeros), first);
  EXPECT_EQ(std::count(zeros, zeros + 200, 0), 200);
  session.memory.release(zeros);
  session.memory.release(second);
  session.memory.give_back(
      false);  // emptied: what comes now is malloc's choice, and all of it usable
  auto* again = static_cast<char*>(session.memory.allocate(200));
  std::memset(again, 'a', 200);
  session.memory.release(again);
  session.memory.release(nullptr);
}

TEST(Http2Memory, ABlockIsOnlyTakenForWhatFits) {
  Session session;
  session.be_busy();
  for (std::size_t bytes = 1; bytes < 400; ++bytes) {
    session.memory.release(session.memory.allocate(bytes));
    for (const std::size_t other : {bytes / 2 + 1, bytes, bytes + 1, bytes + 24}) {
      auto* block = static_cast<char*>(session.memory.allocate(other));
      std::memset(block, 'b', other);  // the address sanitizer watches
      session.memory.release(block);
    }
  }
}

TEST(Http2Memory, ShelvesAreBounded) {
  Session session;
  session.be_busy();
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(session.memory.allocate(104));
  for (void* block : blocks) session.memory.release(block);
  std::size_t same = 0;
  std::vector<void*> again;
  for (int i = 0; i < 200; ++i) again.push_back(session.memory.allocate(104));
  for (const void* block : again) same += std::ranges::count(blocks, block);
  EXPECT_GE(same, 128U);
  for (void* block : again) session.memory.release(block);
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
