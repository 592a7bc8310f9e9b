// Why this file exists: the vectors of the format, and recovery proven exhaustively: every cut,
// every zeroed and every torn tail of files with known content.
#include "storage/kv/kv_codec.h"

#include "base/checksum.h"
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Kind = Recovery::Kind;

// Appends an entry as a store does.
void append(Bytes& file, std::string_view key, std::string_view value) {
  const std::uint64_t tail = file.size();
  const bool tombstone = value == std::string_view("\0", 1);
  file.resize(tail + (tombstone ? 0 : padding(tail)));
  file.insert(file.end(), value.begin(), value.end());
  const std::size_t end = file.size();
  file.resize(end + kMetadataBytes);
  encode_metadata({hash_of(as_bytes(key)), tail, crc32(as_bytes(value))}, file.data() + end);
}

struct Sample {
  Bytes file;
  std::vector<std::uint64_t> tails;  // 0 and behind every entry
};
Sample sample(unsigned entries, std::size_t value_bytes) {
  Sample out{{}, {0}};
  for (unsigned i = 0; i < entries; ++i) {
    const std::string key = "key" + std::to_string(i);
    append(out.file, key, std::string(value_bytes + i, static_cast<char>('a' + i)));
    out.tails.push_back(out.file.size());
  }
  return out;
}

TEST(KvCodec, Checksums) {
  const std::pair<std::string, std::uint32_t> rows[] = {{"", 0},
                                                        {std::string(1, '\0'), 0xd202ef8d},
                                                        {"123456789", 0xcbf43926},
                                                        {"abc", 0x352441c2},
                                                        {"hello", 0x3610a686},
                                                        {"world", 0x3a771143}};
  for (const auto& [text, checksum] : rows) EXPECT_EQ(crc32(as_bytes(text)), checksum) << text;
  EXPECT_EQ(crc32(as_bytes("56789"), crc32(as_bytes("1234"))), 0xcbf43926U);
}

TEST(KvCodec, HashesOfKeys) {
  const std::pair<std::string, std::uint64_t> rows[] = {
      {"", 0x2d06800538d394c2},         {std::string(1, '\0'), 0xc44bdff4074eecdb},
      {"alice", 0x4da10dd61a0116b0},    {"bob", 0x1403c0c40f49b8e5},
      {"carol", 0xe2fdb994ad3fcba4},    {"key1", 0x384d070cd5d829e2},
      {"test_key", 0xe0614cc5ecbeed92}, {"longer_key_name", 0x4c21bc57c3b572ee}};
  for (const auto& [key, hash] : rows) EXPECT_EQ(hash_of(as_bytes(key)), hash) << key;
}

TEST(KvCodec, NamespacedKeys) {
  const std::array<std::string_view, 3> rows[] = {
      {"namespace1", "key1", "7c066c9df2e6eccbe229d8d50c074d38"},
      {"namespace2", "key1", "8d563a5c3c35166ce229d8d50c074d38"},
      {"opt", "my_key", "a4440cef596f8cc5243940403db32125"},
      {"users", "user123", "6936c8f757a2e84c8c230ba488ae3b6f"}};
  for (const auto& [prefix, key, hex] : rows) {
    std::string text;
    for (const auto byte : namespaced_key(as_bytes(prefix), as_bytes(key))) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", byte);
      text += digits;
    }
    EXPECT_EQ(text, hex);
  }
}

// The tails that upstream's writes returned for the three samples.
TEST(KvCodec, SampleFilesOfEachAlignment) {
  struct Row {
    const char* name;
    std::uint64_t alignment;
    std::vector<std::uint64_t> tails;
  };
  const Row rows[] = {{"a64.bin", 64, {25, 86, 154, 175, 213, 278}},
                      {"a16.bin", 16, {25, 54, 90, 111, 133, 166}},
                      {"a1.bin", 1, {25, 47, 73, 94, 115, 137}}};
  for (const auto& row : rows) {
    const Bytes file = vector_file(row.name);
    const auto found = recover(file);
    EXPECT_EQ(found.kind, row.alignment == 64 ? Kind::kClean : Kind::kOld) << row.name;
    EXPECT_EQ(found.alignment, row.alignment);
    EXPECT_EQ(found.tail, file.size());
    EXPECT_EQ(found.entries, 6U);
    std::vector<std::uint64_t> tails;
    for (std::uint64_t tail = file.size(); tail != 0;) {
      tails.insert(tails.begin(), tail);
      const auto entry = entry_before(file, tail, row.alignment);
      ASSERT_TRUE(entry);
      EXPECT_TRUE(checksum_right(file, *entry));
      EXPECT_EQ(entry->tombstone, tails.size() == 3);
      tail = entry->metadata.prev_offset;
    }
    EXPECT_EQ(tails, row.tails) << row.name;
  }
}

TEST(KvCodec, EveryCutKeepsEveryWholeEntry) {
  for (const std::size_t value_bytes : {1U, 5U, 63U, 64U, 200U}) {
    const auto [file, tails] = sample(4, value_bytes);
    for (std::size_t size = 0; size <= file.size(); ++size) {
      const auto found = recover(ByteView(file).first(size));
      std::uint64_t expected = 0;
      for (const auto tail : tails) expected = tail <= size ? tail : expected;
      EXPECT_EQ(found.tail, expected) << "cut to " << size;
      EXPECT_EQ(found.kind == Kind::kClean, expected == size) << "cut to " << size;
    }
  }
}

// The file's length survived, its last bytes did not.
TEST(KvCodec, EveryZeroedTailKeepsEveryWholeEntry) {
  const auto [file, tails] = sample(4, 70);
  for (std::size_t from = 0; from < file.size(); ++from) {
    Bytes torn = file;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(from), torn.end(), 0);
    std::uint64_t expected = 0;  // the last byte of an entry may have been zero anyway
    for (const auto tail : tails) {
      if (std::equal(torn.begin(), torn.begin() + static_cast<std::ptrdiff_t>(tail), file.begin()))
        expected = tail;
    }
    // A part of the checksum is gone: one damaged value by the rules, nothing is cut off.
    const bool linked =
        std::equal(torn.begin(), torn.end() - 4, file.begin()) && !all_zero(ByteView(torn).last(4));
    EXPECT_EQ(recover(torn).tail, linked ? file.size() : expected) << "zero from " << from;
    torn.resize(torn.size() + 4096);  // and space behind it
    EXPECT_EQ(recover(torn).tail, expected) << "zero from " << from;
  }
}

TEST(KvCodec, EveryTailOfGarbageIsCutOff) {
  const auto [file, tails] = sample(3, 9);
  core::SimRandom random(7);
  for (int round = 0; round < 500; ++round) {
    Bytes torn = file;
    const std::size_t more = random.between(1, 300);
    for (std::size_t i = 0; i < more; ++i) {
      torn.push_back(random.chance(50) ? 0 : static_cast<std::uint8_t>(random.below(256)));
    }
    EXPECT_EQ(recover(torn).tail, file.size()) << round;
  }
}

// Every piece of 16 bytes of the last write missing, as sectors may be.
TEST(KvCodec, AHoleInTheLastWriteLosesOnlyThatWrite) {
  const auto [file, tails] = sample(3, 100);
  for (std::size_t at = tails[2]; at < file.size(); at += 16) {
    Bytes torn = file;
    const std::size_t end = std::min(at + 16, torn.size());
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(at),
              torn.begin() + static_cast<std::ptrdiff_t>(end), 0);
    if (torn == file) continue;
    EXPECT_GE(recover(torn).tail, tails[2]) << at;
  }
}

TEST(KvCodec, TheRowsThatLoseKeysUpstream) {
  Bytes one;
  append(one, "key", "value");
  ASSERT_EQ(one.size(), 25U);
  const auto tail_with = [&one](std::size_t zeros, std::size_t bytes, std::uint8_t value) {
    Bytes file = one;
    file.resize(file.size() + zeros);
    file.resize(file.size() + bytes, value);
    return recover(file).tail;
  };
  EXPECT_EQ(tail_with(16, 0, 0), 25U);
  EXPECT_EQ(tail_with(100, 0, 0), 25U);
  EXPECT_EQ(tail_with(39, 10, 'x'), 25U);
  EXPECT_EQ(tail_with(39, 100, 'x'), 25U);
  EXPECT_EQ(tail_with(5, 0, 0), 25U);
  EXPECT_EQ(tail_with(0, 100, 0xff), 25U);
  Bytes corrupt = one;
  for (const char c : std::string_view("CORRUPT")) corrupt.push_back(static_cast<std::uint8_t>(c));
  EXPECT_EQ(recover(corrupt).tail, 25U);
}

TEST(KvCodec, ARottenValueIsNotATornTail) {
  for (const unsigned entries : {1U, 3U}) {
    const auto [file, tails] = sample(entries, 10);
    for (unsigned i = 0; i < entries; ++i) {
      Bytes rotten = file;
      rotten[tails[i] + padding(tails[i])] ^= 1;
      const auto found = recover(rotten);
      EXPECT_EQ(found.kind, Kind::kClean);
      EXPECT_EQ(found.tail, file.size());
      EXPECT_EQ(found.entries, entries);
    }
  }
}

TEST(KvCodec, WhatIsNoStore) {
  const Bytes text(1000, 'x');
  EXPECT_EQ(recover(text).kind, Kind::kForeign);
  EXPECT_EQ(recover(Bytes(4096, 0)).kind, Kind::kForeign);
  EXPECT_EQ(recover(Bytes(7, 'x')).kind, Kind::kTorn);
  EXPECT_EQ(recover(Bytes()).kind, Kind::kClean);
}

// Metadata across two sectors of which one never arrived: its entry must not pass for the first one
// and swallow those before it, wherever in the file it is.
TEST(KvCodec, FixedBugHalfOfTheMetadataSwallowedTheStore) {
  Bytes file;
  append(file, "first", "value");
  const std::size_t first = file.size();
  append(file, "second", std::string(512 - 64 - 12, 's'));  // metadata at 500
  ASSERT_EQ(file.size(), 520U);
  append(file, "third", "value");
  for (const bool earlier : {true, false}) {
    Bytes torn = file;
    std::fill(torn.begin() + (earlier ? 64 : 512), torn.begin() + (earlier ? 512 : 520), 0);
    EXPECT_EQ(recover(torn).tail, first) << earlier;
  }
}

// A store nested in a value: the outer entry is the one that counts.
TEST(KvCodec, AStoreInsideOfAStore) {
  const auto inner = sample(3, 50);
  Bytes outer;
  append(outer, "nested", as_text(inner.file));
  EXPECT_EQ(recover(outer).entries, 1U);
  Bytes torn = outer;
  torn.resize(torn.size() + 100, 'x');
  EXPECT_EQ(recover(torn).tail, outer.size());
}

// FORMAT.md's worked example is a file that this code reads as the page says.
TEST(KvCodec, TheExampleOfTheDocument) {
  std::ifstream page(std::string(CAPSTAN_SOURCE_DIR) + "/src/storage/kv/FORMAT.md");
  std::string line;
  Bytes file;
  bool example = false;
  while (std::getline(page, line)) {
    if (line.starts_with("<!-- example")) example = true;
    if (line.starts_with("## Valid")) break;
    if (!example || line.size() < 6 || !std::isxdigit(static_cast<unsigned char>(line[0])))
      continue;
    file.resize(std::stoul(line.substr(0, 4), nullptr, 16));  // left-out rows are zeros
    std::istringstream bytes(line.substr(4));
    for (std::string byte; bytes >> byte;) {
      file.push_back(static_cast<std::uint8_t>(std::stoul(byte, nullptr, 16)));
    }
  }
  Bytes expected;
  append(expected, "hello", "world");
  append(expected, "k1", "v1");
  append(expected, "hello", "WORLD2");
  append(expected, "k1", std::string_view("\0", 1));
  EXPECT_EQ(file, expected);
  EXPECT_EQ(recover(file).entries, 4U);
}

}  // namespace
}  // namespace capstan::storage::kv
