// Why this file exists: what chunk_table.h promises of chunks and of those who borrow them, and a
// long random run against a plain map.
#include "storage/device/chunk_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

namespace capstan::storage {
namespace {

constexpr std::size_t kBytes = ChunkTable::kChunkBytes;

ChunkTable::Memory filled(std::uint8_t value) {
  auto memory = ChunkTable::make();
  std::memset(memory.get(), value, kBytes);
  return memory;
}

bool all_are(const void* memory, std::uint8_t value) {
  const auto* bytes = static_cast<const std::uint8_t*>(memory);
  return std::all_of(bytes, bytes + kBytes, [value](std::uint8_t byte) { return byte == value; });
}

TEST(ChunkTable, AnAbsentChunkIsNull) {
  ChunkTable table;
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_EQ(table.find_own(UINT64_MAX), nullptr);
  table.erase(7);
  table.put(513, filled(1));
  EXPECT_EQ(table.find(512), nullptr);
  EXPECT_EQ(table.find(1), nullptr);  // the same place of another leaf
  EXPECT_TRUE(all_are(table.find(513), 1));
  EXPECT_EQ(table.size(), 1U);
}

TEST(ChunkTable, WhoHasBorrowedAChunkSeesNoWrite) {
  ChunkTable table;
  table.put(3, filled(1));
  auto first = table.lend(3);
  auto second = table.lend(3);
  EXPECT_EQ(table.find_own(3), nullptr);
  EXPECT_EQ(table.find(3), first.get());
  table.put(3, filled(2));
  EXPECT_TRUE(all_are(first.get(), 1));
  EXPECT_TRUE(all_are(table.find_own(3), 2));
  first = nullptr;
  EXPECT_TRUE(all_are(second.get(), 1));
  EXPECT_EQ(table.size(), 1U);
}

TEST(ChunkTable, AChunkThatCameBackIsWrittenInPlace) {
  ChunkTable table;
  table.put(3, filled(1));
  auto loan = table.lend(3);
  auto other = loan;
  loan = nullptr;
  EXPECT_EQ(table.find_own(3), nullptr);
  other = nullptr;
  ASSERT_NE(table.find_own(3), nullptr);
  EXPECT_EQ(table.find_own(3), table.find(3));
  loan = table.lend(3);
  EXPECT_EQ(table.find_own(3), nullptr);
}

TEST(ChunkTable, LoansOutliveTheChunkAndTheTable) {
  std::shared_ptr<const void> erased, left;
  {
    ChunkTable table;
    table.put(1, filled(1));
    table.put(2, filled(2));
    erased = table.lend(1);
    left = table.lend(2);
    table.erase(1);
    EXPECT_EQ(table.find(1), nullptr);
    table.put(1, filled(9));
    EXPECT_NE(table.find_own(1), nullptr);  // nobody has borrowed this one
  }
  EXPECT_TRUE(all_are(erased.get(), 1));
  EXPECT_TRUE(all_are(left.get(), 2));
}

TEST(ChunkTable, DoesWhatAMapDoes) {
  std::mt19937_64 random(7);
  ChunkTable table;
  std::map<std::uint64_t, std::uint8_t> model;
  std::vector<std::pair<std::shared_ptr<const void>, std::uint8_t>> loans;
  const auto any_index = [&] { return (random() % 3) * (1ULL << 40) + random() % 1100; };
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t index = any_index();
    switch (random() % 8) {
      case 0: table.erase(index), model.erase(index); break;
      case 1:
        if (step % 97 == 0) {
          table.erase_from(index);
          model.erase(model.lower_bound(index), model.end());
        }
        break;
      case 2:
        if (model.contains(index)) loans.emplace_back(table.lend(index), model[index]);
        break;
      case 3:
        if (loans.size() > 20) loans.erase(loans.begin());
        break;
      default: table.put(index, filled(model[index] = static_cast<std::uint8_t>(random())));
    }
    ASSERT_EQ(table.size(), model.size());
    ASSERT_EQ(table.find(index) != nullptr, model.contains(index));
    if (model.contains(index)) ASSERT_EQ(*table.find(index), model[index]);
  }
  for (const auto& [memory, value] : loans) EXPECT_TRUE(all_are(memory.get(), value));
  std::vector<std::uint64_t> expected;
  for (const auto& [index, value] : model) {
    if (index >= 5 && index <= (1ULL << 40) + 600) expected.push_back(index);
  }
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(table.indexes(5, (1ULL << 40) + 600), expected);
}

}  // namespace
}  // namespace capstan::storage
