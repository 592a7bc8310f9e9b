// Why this file exists: opening proven exhaustively, through the store: a file with overwritten,
// deleted and batched keys is cut at every byte, zeroed from every byte, filled with garbage from
// every byte; what is there afterwards is what was written up to some change, and never less than
// what lies whole in front of the damage. The same for the older formats, which stay as they are.
#include "base/checksum.h"
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Content = std::map<std::uint64_t, std::string>;  // by key hash
using Kind = Recovery::Kind;

// What each prefix of the file's entries holds.
struct History {
  std::vector<std::uint64_t> tails{0};
  std::vector<Content> contents{{}};
};

struct Step {
  const char* key;
  std::string value;  // empty: deleted
};
const std::vector<Step> kSteps = {{"a", "first"},
                                  {"b", std::string(70, 'b')},
                                  {"a", std::string(64, '\0') + "1"},
                                  {"b", ""},
                                  {"c", "x"},
                                  {"c", ""},
                                  {"b", std::string(150, 'B')},
                                  {"d", std::string(3, '\0')}};

Bytes make_file(std::uint64_t alignment, History& history) {
  Bytes file;
  Content content;
  for (const auto& [key, value] : kSteps) {
    const std::uint64_t tail = file.size(), hash = hash_of(as_bytes(std::string_view(key)));
    const ByteView payload = value.empty() ? ByteView(kTombstone) : as_bytes(value);
    file.resize(tail + (value.empty() ? 0 : padding(tail, alignment)));
    file.insert(file.end(), payload.begin(), payload.end());
    const std::size_t end = file.size();
    file.resize(end + kMetadataBytes);
    encode_metadata({hash, tail, crc32(payload)}, file.data() + end);
    value.empty() ? void(content.erase(hash)) : void(content[hash] = value);
    history.tails.push_back(file.size());
    history.contents.push_back(content);
  }
  return file;
}

Content content_of(const Store& store) {
  Content content;
  auto cursor = store.iterate();
  while (const auto value = cursor.next()) {
    content[value->key_hash()] = std::string(as_text(value->bytes()));
  }
  return content;
}

class RecoveryTest : public StoreTest {
 protected:
  // Opens the bytes, compares with the longest prefix of the history that is whole in them, and
  // writes one more value. `exact`: nothing of what follows may have survived either.
  void check(const Bytes& bytes, const Bytes& whole, const History& history, bool exact) {
    const auto same = std::mismatch(bytes.begin(), bytes.end(), whole.begin(), whole.end()).first;
    const auto sound = static_cast<std::uint64_t>(same - bytes.begin());
    std::size_t least = 0;
    while (least + 1 < history.tails.size() && history.tails[least + 1] <= sound) ++least;
    ASSERT_TRUE(run(put_file(&env_, "/store", bytes)));
    auto options = small_map();
    options.keep_torn = false;
    open(options);
    std::size_t at = least;
    if (!exact) {
      const auto found = std::ranges::find(history.tails, store_->file_size());
      ASSERT_NE(found, history.tails.end()) << "tail " << store_->file_size();
      at = static_cast<std::size_t>(found - history.tails.begin());
    }
    ASSERT_GE(at, least);
    EXPECT_EQ(store_->file_size(), history.tails[at]);
    if (exact) EXPECT_EQ(content_of(*store_), history.contents[at]);
    EXPECT_EQ(store_->len(), history.contents[at].size());
    if (store_->stats().read_only) {
      close();
      EXPECT_EQ(image(), bytes);
      return;
    }
    ASSERT_TRUE(write("new", "value"));
    reopen(options);
    EXPECT_EQ(store_->stats().torn_bytes, 0U);
    EXPECT_EQ(get("new"), "value");
    EXPECT_EQ(store_->len(), history.contents[at].size() + 1);
    close();
  }
};

TEST_F(RecoveryTest, EveryCut) {
  History history;
  const Bytes whole = make_file(64, history);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    SCOPED_TRACE("cut to " + std::to_string(size));
    check(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), whole, history,
          true);
    if (HasFatalFailure()) return;
  }
}

// Every tail zeroed: up to the file's end, and with a page of zeros behind it.
TEST_F(RecoveryTest, EveryZeroedTail) {
  History history;
  const Bytes whole = make_file(64, history);
  for (const std::size_t more : {0U, 4096U}) {
    for (std::size_t from = 0; from < whole.size(); ++from) {
      SCOPED_TRACE("zero from " + std::to_string(from) + " and " + std::to_string(more) + " more");
      Bytes torn = whole;
      std::fill(torn.begin() + static_cast<std::ptrdiff_t>(from), torn.end(), 0);
      torn.resize(torn.size() + more);
      check(torn, whole, history, more != 0);
      if (HasFatalFailure()) return;
    }
  }
}

// Every tail torn: cut anywhere, and garbage where the rest of the write was to be.
TEST_F(RecoveryTest, EveryTornTail) {
  History history;
  const Bytes whole = make_file(64, history);
  core::SimRandom random(5);
  for (std::size_t from = 0; from < whole.size(); ++from) {
    for (const unsigned zeros : {0U, 50U, 95U}) {
      SCOPED_TRACE("garbage from " + std::to_string(from));
      Bytes torn(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(from));
      torn.push_back(static_cast<std::uint8_t>(whole[from] ^ (1U + random.below(255))));
      for (std::size_t more = random.below(200); more != 0; --more) {
        torn.push_back(random.chance(zeros) ? 0 : static_cast<std::uint8_t>(random.below(256)));
      }
      // Of the right length it is one rotten value instead.
      const bool torn_off = std::ranges::find(history.tails, torn.size()) == history.tails.end();
      check(torn, whole, history, torn_off);
      if (HasFatalFailure()) return;
    }
  }
}

// Files of 0.12 and 0.14: every cut is read as far as it is whole, and no byte of it is changed.
TEST_F(RecoveryTest, EveryCutOfOlderFormats) {
  for (const std::uint64_t alignment : {16U, 1U}) {
    History history;
    const Bytes whole = make_file(alignment, history);
    for (std::size_t size = history.tails[2]; size <= whole.size(); ++size) {
      SCOPED_TRACE("alignment " + std::to_string(alignment) + ", cut to " + std::to_string(size));
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_EQ(recover(cut).kind, Kind::kOld);
      check(cut, whole, history, true);
      if (HasFatalFailure()) return;
    }
  }
}

// A bit of the padding rots: every value stays, whatever entry it belongs to.
TEST_F(RecoveryTest, FixedBugARottenPaddingCutOffAllThatFollowed) {
  History history;
  const Bytes whole = make_file(64, history);
  for (std::size_t i = 0; i + 1 < history.tails.size(); ++i) {
    const std::uint64_t tail = history.tails[i];
    if (kSteps[i].value.empty() || padding(tail) == 0) continue;
    Bytes rotten = whole;
    rotten[tail + padding(tail) / 2] ^= 4;
    const auto found = recover(rotten);
    EXPECT_EQ(found.kind, Kind::kClean);
    EXPECT_EQ(found.tail, whole.size());
  }
}

// Damage in the middle of the file is no torn tail: all that lies behind it is kept aside, however
// much it is.
TEST_F(RecoveryTest, WhatLiesBehindDamageIsKept) {
  History history;
  Bytes bytes = make_file(64, history);
  bytes[history.tails[3] - 10] ^= 0x40;  // prev_offset of the third entry
  const auto found = recover(bytes);
  EXPECT_EQ(found.kind, Kind::kTorn);
  EXPECT_EQ(found.tail, history.tails[2]);
  EXPECT_TRUE(found.sound_end);
  ASSERT_TRUE(run(put_file(&env_, "/store", bytes)));
  open();
  EXPECT_EQ(content_of(*store_), history.contents[2]);
  const auto names = *run(env_.files().list("/"));
  ASSERT_EQ(names.size(), 2U);
  const Bytes behind(bytes.begin() + static_cast<std::ptrdiff_t>(history.tails[2]), bytes.end());
  EXPECT_EQ(image("/" + names[1]), behind);
}

// Two torn openings within one second keep two copies.
TEST_F(RecoveryTest, FixedBugAKeptTailWasOverwritten) {
  for (const char* rest : {"FIRST", "SECOND"}) {
    History history;
    Bytes bytes = make_file(64, history);
    for (const char c : std::string_view(rest)) bytes.push_back(static_cast<std::uint8_t>(c));
    ASSERT_TRUE(run(put_file(&env_, "/store", bytes)));
    reopen();
    close();
  }
  std::set<std::string> kept;
  for (const auto& name : *run(env_.files().list("/"))) {
    if (name.find(".torn-") != name.npos) kept.insert(std::string(as_text(image("/" + name))));
  }
  EXPECT_EQ(kept, (std::set<std::string>{"FIRST", "SECOND"}));
}

// Each of half a million places looks like the end of a first entry; a checksum for each of them
// would take hours.
TEST_F(RecoveryTest, FixedBugSparseBytesTookForever) {
  Bytes file;
  History history;
  file = make_file(64, history);
  const std::size_t sound = file.size();
  file.resize(sound + (3U << 20));
  for (std::size_t at = sound; at < file.size(); at += 24) file[at] = 7;
  EXPECT_EQ(recover(file).tail, sound);
  EXPECT_EQ(recover(ByteView(file).subspan(sound)).tail, 0U);
}

// So many false entries that point at a true one that nobody can tell: nothing may be cut off.
TEST_F(RecoveryTest, WhatCannotBeDecidedIsLeftAlone) {
  History history;
  Bytes file = make_file(64, history);
  file.resize(4U << 20, 'x');
  for (std::size_t at = 100'000; at + 8 < file.size(); at += 4096) {
    store_le<std::uint64_t>(file.data() + at, history.tails[1]);
  }
  ASSERT_EQ(recover(file).kind, Kind::kUndecided);
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  const auto opened = try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kDataLoss);
  EXPECT_EQ(image(), file);
}

// A rename is the new value, then the old key's tombstone. The power cut took the value and left
// the tombstone.
TEST_F(RecoveryTest, FixedBugATornRenameLostTheValue) {
  for (const bool had_older : {false, true}) {
    SCOPED_TRACE(had_older);
    ASSERT_TRUE(run(put_file(&env_, "/store", {})));
    open();
    if (had_older) ASSERT_TRUE(write("to", "older"));
    ASSERT_TRUE(write("from", "precious"));
    ASSERT_TRUE(write("else", "e"));
    ASSERT_TRUE(run(store_->rename(as_bytes("from"), as_bytes("to"))));
    const auto begin = store_->find(as_bytes("to"))->begin_offset();
    close();
    auto bytes = image();
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(begin), 8, 0);
    ASSERT_TRUE(run(put_file(&env_, "/store", bytes)));
    for (int round = 0; round < 2; ++round) {
      open();
      EXPECT_EQ(get("to"), "precious");
      EXPECT_TRUE(store_->find(as_bytes("to"))->checksum_right());
      EXPECT_EQ(get("from"), "<none>");
      EXPECT_EQ(store_->stats().repaired_values, round == 0 ? 1U : 0U);
      close();
    }
  }
}

}  // namespace
}  // namespace capstan::storage::kv
