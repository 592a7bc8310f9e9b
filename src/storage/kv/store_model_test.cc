// Why this file exists: long random stories of a store against a std::map that was told the same:
// after every step both must hold the same, whatever mixture of single and batched writes, deletes,
// renames, copies, streams, compactions and reopenings came before. Threads and power cuts have
// tests of their own (store_threads_test.cc, sim/kv_sim_test.cc).
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

using Model = std::map<std::string, std::string>;
constexpr unsigned kKeys = 12;

class StoreModel : public StoreTest {
 protected:
  std::string some_key() { return "key" + std::to_string(random_.below(kKeys)); }
  std::string some_value() {
    const std::size_t size = random_.chance(5)    ? random_.between(60'000, 70'000)
                             : random_.chance(10) ? random_.between(1'000, 5'000)
                                                  : random_.between(1, 200);
    std::string value(size, static_cast<char>(random_.below(256)));
    value[random_.below(size)] = static_cast<char>(1 + random_.below(255));
    return value;
  }
  void batch() {
    std::vector<std::pair<std::string, std::string>> said;
    for (auto count = random_.below(8); count != 0; --count) {
      said.emplace_back(some_key(), random_.chance(30) ? std::string() : some_value());
    }
    std::vector<Change> changes;
    for (const auto& [key, value] : said) {
      changes.push_back(value.empty() ? Change::erase(as_bytes(key))
                                      : Change::put(as_bytes(key), as_bytes(value)));
      value.empty() ? void(model_.erase(key)) : void(model_[key] = value);
    }
    const auto done = run(store_->apply(changes));
    ASSERT_TRUE(done) << done.error().text();
    EXPECT_EQ(*done, store_->file_size());
  }
  void rename() {
    const auto from = some_key(), to = some_key();
    const auto done = run(store_->rename(as_bytes(from), as_bytes(to)));
    EXPECT_EQ(done.has_value(), from != to && model_.contains(from));
    if (!done) return;
    model_[to] = model_[from];
    model_.erase(from);
  }
  void stream() {
    const auto key = some_key(), value = some_value();
    auto stream = store_->stream(as_bytes(key));
    for (std::size_t at = 0; at < value.size();) {
      const auto piece = std::min<std::size_t>(random_.between(1, 20'000), value.size() - at);
      ASSERT_TRUE(run(stream.append(as_bytes(value).subspan(at, piece))));
      at += piece;
    }
    if (random_.chance(20)) return;  // given up
    ASSERT_TRUE(run(stream.commit()));
    model_[key] = value;
  }
  void step() {
    const auto key = some_key();
    switch (random_.below(16)) {
      case 0: reopen(options_); break;
      case 1: ASSERT_TRUE(run(store_->compact())); break;
      case 2:
      case 3: batch(); break;
      case 4: rename(); break;
      case 5: stream(); break;
      case 6: transfer(key); break;
      case 7:
      case 8:
      case 9:
        ASSERT_TRUE(erase(key));
        model_.erase(key);
        break;
      default: {
        const auto value = some_value();
        ASSERT_TRUE(write(key, value));
        model_[key] = value;
      }
    }
  }
  // To another store and back.
  void transfer(const std::string& key) {
    auto opened = run(Store::open(env_, "/other", options_));
    ASSERT_TRUE(opened);
    Store& other = **opened;
    const auto moved = run(store_->transfer(as_bytes(key), other));
    EXPECT_EQ(moved.has_value(), model_.contains(key));
    if (moved) {
      EXPECT_EQ(get(key), "<none>");
      EXPECT_EQ(get(other, key), model_[key]);
      ASSERT_TRUE(run(other.transfer(as_bytes(key), *store_)));
    }
    EXPECT_TRUE(other.is_empty());
    ASSERT_TRUE(run(other.close()));
  }
  void compare() {
    EXPECT_EQ(store_->len(), model_.size());
    EXPECT_EQ(store_->is_empty(), model_.empty());
    EXPECT_EQ(store_->file_size(), image().size());
    std::vector<std::string> names;
    std::vector<ByteView> keys;
    for (unsigned i = 0; i <= kKeys; ++i) names.push_back("key" + std::to_string(i));
    for (const auto& name : names) keys.push_back(as_bytes(name));
    const auto values = store_->batch_read(keys);
    ASSERT_TRUE(values);
    std::uint64_t live = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto expected = model_.find(names[i]);
      const bool there = expected != model_.end();
      EXPECT_EQ(store_->exists(keys[i]), there);
      ASSERT_EQ((*values)[i].has_value(), there) << names[i];
      if (!there) continue;
      EXPECT_EQ(as_text((*values)[i]->bytes()), expected->second);
      EXPECT_EQ(get(names[i]), expected->second);
      EXPECT_TRUE((*values)[i]->checksum_right());
      live += expected->second.size() + kMetadataBytes;
    }
    EXPECT_EQ(store_->stats().live_bytes, live);
    std::uint64_t walked = 0, scanned = 0;
    for (auto cursor = store_->iterate(); cursor.next();) ++walked;
    for (unsigned part = 0; part < Store::kScanParts; ++part) scanned += store_->scan(part).size();
    EXPECT_EQ(walked, model_.size());
    EXPECT_EQ(scanned, model_.size());
  }

  core::SimRandom random_{0};
  StoreOptions options_ = small_map();
  Model model_;
};

TEST_F(StoreModel, RandomStories) {
  options_.map_bytes = 1U << 17;  // outgrown now and then
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    close();
    (void)run(env_.files().remove("/store"));
    model_.clear();
    random_ = core::SimRandom(seed);
    options_.durability = static_cast<Durability>(seed % 3);
    open(options_);
    for (int i = 0; i < 120; ++i) {
      step();
      compare();
      if (HasFailure()) FAIL() << "step " << i;
    }
  }
}

}  // namespace
}  // namespace capstan::storage::kv
