// Why this file exists: reads whose data is sent from the memory of its device. A host that does
// not take its answers meanwhile must find what was there when its commands ran, though the blocks
// are written, deallocated, cut off or taken away before the bytes have left; and a connection that
// dies gives all of it back (whole() looks at the budget, AddressSanitizer at the memory).
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

constexpr std::uint32_t kReadBlocks = 256;  // 128 KiB, of which 4 MiB go to one connection
constexpr std::size_t kReadSize = kReadBlocks * kBlock;
constexpr unsigned kReads = 100;  // more than budget and buffers of the sockets hold

// Namespace 2 is memory that is read on the spot or, away, by message.
core::Task<void> ask(TargetWorld& world, RawHost& admin, RawHost& io, Digests digests) {
  EXPECT_TRUE(world.subsystem->add_namespace(world.memory, 2));
  admin.digests = io.digests = digests;
  co_await open_both(world, admin, io);
  io.space = 2;
  EXPECT_TRUE((co_await io.write(0, pattern(kReadSize, 1))).completion.status.ok());
  for (unsigned i = 0; i < kReads; ++i) {
    Command command = io.io(opcode::kRead, 0, kReadBlocks);
    point(command, kSglTransport, kReadSize);
    co_await io.submit(command);
  }
  co_await pause();
}

// All answers, each whole: that of one of the contents, in their order.
core::Task<void> expect_whole(RawHost& io, std::vector<Bytes> contents) {
  std::size_t now = 0;
  for (unsigned i = 0; i < kReads; ++i) {
    const Answer answer = co_await io.finish();
    if (!answer.completion.status.ok()) {
      EXPECT_EQ(now + 1, contents.size()) << "only when the blocks have gone";
      continue;
    }
    while (now + 1 < contents.size() && answer.data != contents[now]) ++now;
    EXPECT_TRUE(answer.data == contents[now]) << i;
    if (i == 0) EXPECT_EQ(now, 0U);
  }
  EXPECT_EQ(now + 1, contents.size());
}

core::Task<void> overwritten(TargetWorld& world, Digests digests) {
  RawHost admin, io;
  co_await ask(world, admin, io, digests);
  Bytes half = pattern(kReadSize, 1);
  std::ranges::copy(pattern(kReadSize / 2, 2), half.begin() + kReadSize / 4);
  EXPECT_TRUE(co_await world.memory->write(kReadSize / 4,
                                           ByteView(half).subspan(kReadSize / 4, kReadSize / 2)));
  co_await expect_whole(io, {pattern(kReadSize, 1), half});
}
core::Task<void> overwritten_plain(TargetWorld& world) {
  return overwritten(world, {});
}
core::Task<void> overwritten_with_digests(TargetWorld& world) {
  return overwritten(world, {true, true});
}
TEST(NvmeZeroCopy, WritesDoNotReachWhatIsBeingSent) {
  in_simulation(overwritten_plain);
  in_simulation(overwritten_with_digests);
  for_real(overwritten_plain);
  for_real(overwritten_with_digests);
}

core::Task<void> unmapped(TargetWorld& world) {
  RawHost admin, io;
  co_await ask(world, admin, io, {});
  EXPECT_TRUE(co_await world.memory->unmap(0, kReadSize));
  EXPECT_EQ(world.memory->resident_bytes(), 0U);
  co_await expect_whole(io, {pattern(kReadSize, 1), Bytes(kReadSize)});
}
core::Task<void> cut_off(TargetWorld& world) {
  RawHost admin, io;
  co_await ask(world, admin, io, {});
  EXPECT_TRUE(world.memory->resize(1));
  co_await expect_whole(io, {pattern(kReadSize, 1)});
}
core::Task<void> taken_away(TargetWorld& world) {
  RawHost admin, io;
  co_await ask(world, admin, io, {});
  EXPECT_TRUE(world.subsystem->remove_namespace(2));
  EXPECT_TRUE(world.subsystem->remove_namespace(1));
  world.device.reset();
  const std::weak_ptr<MemoryDevice> device = std::exchange(world.memory, nullptr);
  co_await pause();
  EXPECT_TRUE(device.expired());
  co_await expect_whole(io, {pattern(kReadSize, 1)});
}
TEST(NvmeZeroCopy, BlocksThatGoAreSentAllTheSame) {
  for (const auto test : {unmapped, cut_off, taken_away}) {
    in_simulation(test);
    for_real(test);
  }
}

// Before it has read, in the middle of an answer, and after some.
core::Task<void> killed(TargetWorld& world) {
  for (const unsigned answers : {0U, 1U, 3U}) {
    RawHost admin, io;
    co_await ask(world, admin, io, {});
    EXPECT_TRUE(world.subsystem->remove_namespace(2));
    for (unsigned i = 0; i < answers; ++i) co_await io.finish();
    if (answers == 1) {
      Bytes part(1000);
      EXPECT_TRUE(co_await io.stream().read(part));
    }
    io.hang_up();
    admin.hang_up();
    while (world.target.connections() != 0) co_await pause();
    EXPECT_EQ(world.target.budget().left(), world.buffer_bytes);
  }
}
TEST(NvmeZeroCopy, AConnectionThatDiesGivesAllBack) {
  in_simulation(killed);
  for_real(killed);
}

}  // namespace
}  // namespace capstan::storage::nvme
