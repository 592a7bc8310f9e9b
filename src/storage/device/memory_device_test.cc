// Why this file exists: memory and null devices, and with them what every Device promises: ranges,
// claims, counters, retirement.
#include "storage/device/memory_device.h"

#include "storage/device/null_device.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

constexpr std::size_t kChunk = MemoryDevice::kChunkBytes;

class Memory : public DeviceTest {
 protected:
  std::shared_ptr<MemoryDevice> make(std::uint64_t bytes, std::uint32_t block = 512) {
    return std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), block, bytes / block);
  }
};

TEST_F(Memory, ReadsWhatWasWrittenAndZerosElsewhere) {
  const auto device = make(1U << 20);
  const Bytes content = pattern(2 * kChunk + 1024, 3);
  write(*device, kChunk - 512, content);
  EXPECT_EQ(read_all(*device, kChunk - 512, content.size()), content);
  EXPECT_TRUE(all_zero(read_all(*device, 0, kChunk - 512)));
  EXPECT_TRUE(all_zero(read_all(*device, 3 * kChunk + 512, kChunk)));
  EXPECT_EQ(device->resident_bytes(), 4 * kChunk);
}

TEST_F(Memory, BigDevicesCostNothingUntilWritten) {
  const auto device = make(1ULL << 40, 4096);
  EXPECT_EQ(device->size_bytes(), 1ULL << 40);
  write(*device, (1ULL << 40) - 4096, pattern(4096, 1));
  EXPECT_EQ(device->resident_bytes(), kChunk);
}

TEST_F(Memory, UnmapAndWriteZeroesGiveChunksBack) {
  const auto device = make(1U << 20);
  write(*device, 0, pattern(4 * kChunk, 1));
  ASSERT_TRUE(run(device->unmap(512, 2 * kChunk)));
  EXPECT_EQ(device->resident_bytes(), 3 * kChunk);
  EXPECT_EQ(read_all(*device, 0, 512), Bytes(pattern(512, 1)));
  EXPECT_TRUE(all_zero(read_all(*device, 512, 2 * kChunk)));
  EXPECT_FALSE(all_zero(read_all(*device, 2 * kChunk + 512, 512)));
  ASSERT_TRUE(run(device->write_zeroes(0, 4 * kChunk)));
  EXPECT_EQ(device->resident_bytes(), 0U);
}

TEST_F(Memory, AllocatedListsDataOnly) {
  const auto device = make(1U << 20);
  write(*device, kChunk, pattern(2 * kChunk, 1));
  write(*device, 8 * kChunk, pattern(512, 1));
  const auto all = run(device->allocated(0, 1U << 20));
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].offset, kChunk);
  EXPECT_EQ((*all)[0].length, 2 * kChunk);
  EXPECT_EQ((*all)[1].offset, 8 * kChunk);
  const auto part = run(device->allocated(kChunk + 512, 512));
  ASSERT_EQ(part->size(), 1U);
  EXPECT_EQ((*part)[0].offset, kChunk + 512);
  EXPECT_EQ((*part)[0].length, 512U);
  EXPECT_TRUE(run(device->allocated(0, 0))->empty());
  EXPECT_EQ(code_of(device->allocated(0, 2U << 20)), Code::kOutOfRange);
}

// On a reactor, whose clock times it.
core::Task<bool> on_the_spot(std::shared_ptr<MemoryDevice> device) {
  EXPECT_TRUE(device->in_memory());
  const Bytes content = pattern(2 * kChunk + 1024, 3);
  EXPECT_TRUE(device->write_now(kChunk - 512, content));
  Bytes found(content.size(), 0xFF);
  EXPECT_TRUE(co_await device->read(kChunk - 512, found));
  EXPECT_EQ(found, content);
  std::ranges::fill(found, 0xFF);
  EXPECT_TRUE(device->read_now(kChunk - 512, found));
  EXPECT_EQ(found, content);
  EXPECT_TRUE(device->read_now(8 * kChunk, found));
  EXPECT_TRUE(all_zero(found));
  EXPECT_FALSE(device->read_now(100, found)) << "read() says why not";
  EXPECT_FALSE(device->write_now((1U << 20) - 512, content));
  device->retire();
  EXPECT_FALSE(device->read_now(0, found));
  EXPECT_FALSE(device->write_now(0, content));
  EXPECT_EQ(device->stats().write.ops, 1U);
  EXPECT_EQ(device->stats().read.ops, 3U);
  co_return true;
}
TEST_F(Memory, OnTheSpotIsTheSame) {
  EXPECT_TRUE(run(on_the_spot(make(1U << 20))));
}

Bytes content_of(const std::vector<Loan>& loans) {
  Bytes out;
  for (const Loan& loan : loans) out.insert(out.end(), loan.bytes.begin(), loan.bytes.end());
  return out;
}

// What is lent is what was there, though the blocks change in every way that blocks can.
core::Task<bool> lending(std::shared_ptr<MemoryDevice> device) {
  const std::uint64_t at = kChunk - 512;
  const Bytes before = pattern(kChunk + 1024, 3), after = pattern(kChunk + 1024, 4);
  std::vector<Loan> loans;
  EXPECT_TRUE(device->write_now(at, before));
  EXPECT_TRUE(device->lend(at, before.size(), loans));
  EXPECT_EQ(loans.size(), 3U);
  EXPECT_TRUE(content_of(loans) == before);
  EXPECT_EQ(device->resident_bytes(), 3 * kChunk);
  EXPECT_TRUE(device->write_now(at, after));
  EXPECT_TRUE(content_of(loans) == before);
  Bytes found(before.size());
  EXPECT_TRUE(device->read_now(at, found));
  EXPECT_TRUE(found == after);

  std::vector<Loan> second;
  EXPECT_TRUE(device->lend(at, after.size(), second));
  EXPECT_TRUE(co_await device->write_zeroes(at, 1024));  // parts of two chunks
  EXPECT_TRUE(co_await device->unmap(kChunk, kChunk));   // a whole one
  EXPECT_TRUE(device->resize(2 * kChunk / 512));         // and the last
  EXPECT_TRUE(content_of(second) == after);
  EXPECT_EQ(device->resident_bytes(), kChunk);
  device.reset();
  EXPECT_TRUE(content_of(loans) == before);
  EXPECT_TRUE(content_of(second) == after);
  co_return true;
}
TEST_F(Memory, WhatIsLentStaysAsItIs) {
  EXPECT_TRUE(run(lending(make(1U << 20))));
}

core::Task<bool> lending_once(std::shared_ptr<MemoryDevice> device) {
  EXPECT_TRUE(device->write_now(0, pattern(kChunk, 3)));
  std::vector<Loan> loans;
  EXPECT_TRUE(device->lend(0, kChunk, loans));
  const std::uint8_t* const lent = loans[0].bytes.data();
  EXPECT_TRUE(device->write_now(512, pattern(512, 4)));
  const Bytes mixed = [&] {
    Bytes out = pattern(kChunk, 3);
    std::ranges::copy(pattern(512, 4), out.begin() + 512);
    return out;
  }();
  loans.clear();
  EXPECT_TRUE(device->lend(0, kChunk, loans));
  EXPECT_NE(loans[0].bytes.data(), lent) << "the write went elsewhere";
  EXPECT_TRUE(content_of(loans) == mixed) << "and took the rest along";
  const std::uint8_t* const now = loans[0].bytes.data();
  loans.clear();
  EXPECT_TRUE(device->write_now(512, pattern(512, 5)));
  EXPECT_TRUE(device->lend(0, kChunk, loans));
  EXPECT_EQ(loans[0].bytes.data(), now) << "what is not lent is written in place";
  loans.clear();
  EXPECT_TRUE(device->lend(4 * kChunk, 2 * kChunk, loans));
  EXPECT_EQ(loans.size(), 2U);
  EXPECT_TRUE(all_zero(content_of(loans)));
  EXPECT_EQ(device->resident_bytes(), kChunk);
  const std::uint64_t reads = device->stats().read.ops;
  EXPECT_FALSE(device->lend(100, kChunk, loans));
  EXPECT_FALSE(device->lend((1U << 20) - 512, kChunk, loans));
  device->retire();
  EXPECT_FALSE(device->lend(0, kChunk, loans));
  EXPECT_EQ(loans.size(), 2U);
  EXPECT_EQ(device->stats().read.ops, reads);
  EXPECT_EQ(reads, 4U);
  co_return true;
}
TEST_F(Memory, OnlyWhatIsLentIsCopied) {
  EXPECT_TRUE(run(lending_once(make(1U << 20))));
}

TEST_F(Memory, ResizeKeepsContentAndNewBlocksAreZero) {
  const auto device = make(4 * kChunk);
  write(*device, 0, pattern(4 * kChunk, 9));
  ASSERT_TRUE(device->resize((kChunk + 512) / 512));
  EXPECT_EQ(device->size_bytes(), kChunk + 512);
  ASSERT_TRUE(device->resize(4 * kChunk / 512));
  const Bytes before = pattern(4 * kChunk, 9);
  EXPECT_EQ(read_all(*device, 0, kChunk + 512),
            Bytes(before.begin(), before.begin() + kChunk + 512));
  EXPECT_TRUE(all_zero(read_all(*device, kChunk + 512, 3 * kChunk - 512)));
  EXPECT_EQ(device->resize(0).error().code, Code::kInvalidArgument);
  ASSERT_TRUE(device->claim("pool 'p'"));
  EXPECT_TRUE(device->resize(8 * kChunk / 512));
  EXPECT_EQ(device->resize(kChunk / 512).error().sys_errno, EBUSY);
}

TEST_F(Memory, RangesAreChecked) {
  const auto device = make(8192);
  Bytes buffer(1024);
  EXPECT_EQ(code_of(device->read(0, MutableBytes(buffer).first(100))), Code::kInvalidArgument);
  EXPECT_EQ(code_of(device->read(100, buffer)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(device->read(7680, buffer)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->write(8192, buffer)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->unmap(0, ~511ULL)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->write_zeroes(1ULL << 63, 512)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->read(8192, {})), Code::kOk);
  const auto failed = run(device->write(8192, buffer));
  EXPECT_NE(failed.error().text().find("'m0'"), std::string::npos);
}

TEST_F(Memory, OneOwnerAtATime) {
  const auto device = make(8192);
  EXPECT_FALSE(device->claimed());
  ASSERT_TRUE(device->claim("pool 'a'"));
  EXPECT_EQ(device->claimed_by(), "pool 'a'");
  const auto second = device->claim("pool 'b'");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kFailedPrecondition);
  EXPECT_NE(second.error().message.find("pool 'a'"), std::string::npos);
  device->release();
  EXPECT_TRUE(device->claim("pool 'b'"));
}

TEST_F(Memory, ARetiredDeviceAnswersNothing) {
  const auto device = make(8192);
  Bytes buffer(512);
  device->retire();
  EXPECT_EQ(code_of(device->read(0, buffer)), Code::kUnavailable);
  EXPECT_EQ(code_of(device->write(0, buffer)), Code::kUnavailable);
  EXPECT_EQ(code_of(device->flush()), Code::kUnavailable);
  EXPECT_EQ(code_of(device->unmap(0, 512)), Code::kUnavailable);
  EXPECT_EQ(code_of(device->write_zeroes(0, 512)), Code::kUnavailable);
  EXPECT_EQ(run(device->flush()).error().sys_errno, ENODEV);
}

TEST_F(Memory, SuccessIsCounted) {
  const auto device = make(8192);
  Bytes buffer(1024);
  write(*device, 0, buffer);
  write(*device, 1024, buffer);
  read_all(*device, 0, 512);
  EXPECT_EQ(code_of(device->write(8192, buffer)), Code::kOutOfRange);
  ASSERT_TRUE(run(device->unmap(0, 4096)));
  EXPECT_EQ(device->stats().write.ops, 2U);
  EXPECT_EQ(device->stats().write.bytes, 2048U);
  EXPECT_EQ(device->stats().read.ops, 1U);
  EXPECT_EQ(device->stats().unmap.bytes, 4096U);
}

TEST(IoStats, LatenciesKeepTheirExtremes) {
  IoStats::Kind kind;
  kind.add(1, 50);
  kind.add(2, 20);
  kind.add(3, 70);
  EXPECT_EQ(kind.ops, 3U);
  EXPECT_EQ(kind.bytes, 6U);
  EXPECT_EQ(kind.latency_ns, 140U);
  EXPECT_EQ(kind.min_latency_ns, 20U);
  EXPECT_EQ(kind.max_latency_ns, 70U);
}

TEST_F(Memory, TheNullDeviceForgets) {
  NullDevice device("n0", Uuid::from_name("n0"), 4096, 256);
  write(device, 0, pattern(8192, 1));
  EXPECT_TRUE(all_zero(read_all(device, 0, 8192)));
  EXPECT_TRUE(run(device.allocated(0, 8192))->empty());
  EXPECT_TRUE(run(device.unmap(0, 8192)));
  EXPECT_EQ(code_of(device.write_zeroes(0, 512)), Code::kInvalidArgument);
  EXPECT_EQ(device.stats().read.bytes, 8192U);
}

}  // namespace
}  // namespace capstan::storage
