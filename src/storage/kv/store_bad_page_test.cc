// Why this file exists: a store whose disk cannot read some of its file. The process goes on, what
// is on other pages is served, whatever would hand on the unreadable part says so, and nothing is
// decided (cut off, compacted, renamed) on the zeros that stand in its place. The file is cut off
// under its mapping, which gives the same signal as a bad sector.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/os_bad_pages.h"
#include "core/uring_env.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {
namespace {

constexpr std::uint64_t kPage = 4096;

// A file that something happens to when it is mapped.
class WatchedFile final : public core::File {
 public:
  WatchedFile(std::unique_ptr<core::File> file, std::function<void()> mapped)
      : file_(std::move(file)), mapped_(std::move(mapped)) {}
  const core::FileInfo& info() const override { return file_->info(); }
  Result<core::FileInfo> refresh() override { return file_->refresh(); }
  core::Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    return file_->read(offset, into);
  }
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override {
    return file_->write(offset, from);
  }
  core::Task<Result<void>> sync_data() override { return file_->sync_data(); }
  core::Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) override {
    return file_->deallocate(offset, length);
  }
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
    return file_->write_zeroes(offset, length);
  }
  core::Task<Result<void>> truncate(std::uint64_t size) override { return file_->truncate(size); }
  Result<std::shared_ptr<core::FileMap>> map(std::uint64_t capacity) override {
    auto made = file_->map(capacity);
    mapped_();
    return made;
  }

 private:
  std::unique_ptr<core::File> file_;
  std::function<void()> mapped_;
};

class WatchedEnv final : public core::Env, public core::FileSystem {
 public:
  explicit WatchedEnv(core::UringEnv& env) : env_(env) {}
  std::function<void()> mapped = [] {};

  std::uint64_t wall_clock_ns() const override { return env_.wall_clock_ns(); }
  void fill_random(MutableBytes out) override { env_.fill_random(out); }
  core::FileSystem& files() override { return *this; }
  core::Network& network() override { return env_.network(); }
  unsigned cores() const override { return 1; }
  core::Reactor& reactor(unsigned core) override { return env_.reactor(core); }

  core::Task<Result<std::unique_ptr<core::File>>> open(std::string path,
                                                       core::OpenOptions options) override {
    CO_TRY_SET(auto file, co_await env_.files().open(std::move(path), options));
    co_return std::make_unique<WatchedFile>(std::move(file), [this] { mapped(); });
  }
  core::Task<Result<void>> rename(std::string from, std::string to) override {
    return env_.files().rename(std::move(from), std::move(to));
  }
  core::Task<Result<void>> remove(std::string path) override {
    return env_.files().remove(std::move(path));
  }
  core::Task<Result<void>> make_directories(std::string path) override {
    return env_.files().make_directories(std::move(path));
  }
  core::Task<Result<std::vector<std::string>>> list(std::string path) override {
    return env_.files().list(std::move(path));
  }
  core::Task<Result<void>> sync_directory(std::string path) override {
    return env_.files().sync_directory(std::move(path));
  }

 private:
  core::UringEnv& env_;
};

template <class T>
core::Task<void> keep(core::Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}

// "first" is on page 0, "second" on pages 0 to 2, "third" on page 2.
class BadPage : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "capstan-kv-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/store";
    auto made = core::UringEnv::create({});
    ASSERT_TRUE(made) << made.error().text();
    env_ = *std::move(made);
    watched_ = std::make_unique<WatchedEnv>(*env_);
    auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().text();
    store_ = *std::move(opened);
    write("first", std::string(100, '1'));
    write("second", std::string(2 * kPage, '2'));
    write("third", std::string(100, '3'));
  }
  void TearDown() override {
    close();
    std::filesystem::remove_all(folder_);
  }
  template <class T>
  T run(core::Task<T> task) {
    std::optional<T> result;
    env_->run(keep(std::move(task), &result));
    return std::move(*result);
  }
  Result<std::unique_ptr<Store>> try_open() { return run(Store::open(*watched_, path_)); }
  void close() {
    if (!store_) return;
    EXPECT_TRUE(run(store_->close()));
    store_.reset();
  }
  void write(std::string_view key, const std::string& value) {
    ASSERT_TRUE(run(store_->write(as_bytes(key), as_bytes(value))));
  }
  void cut_off() { std::filesystem::resize_file(path_, kPage); }
  template <class T>
  void expect_lost(const Result<T>& result) const {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kDataLoss);
    EXPECT_NE(result.error().text().find("'" + path_ + "' cannot be read at byte "),
              std::string::npos)
        << result.error().text();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      out.push_back(entry.path().filename().string());
    }
    return out;
  }

  std::string folder_, path_;
  std::unique_ptr<core::UringEnv> env_;
  std::unique_ptr<WatchedEnv> watched_;
  std::unique_ptr<Store> store_;
};

TEST_F(BadPage, OtherValuesAreServed) {
  cut_off();
  const auto first = store_->read(as_bytes("first"));
  ASSERT_TRUE(first && *first);
  EXPECT_EQ(as_text((*first)->bytes()), std::string(100, '1'));
  EXPECT_TRUE((*first)->intact());
  expect_lost(store_->read(as_bytes("third")));
  expect_lost(store_->read(as_bytes("second")));
  const ByteView keys[] = {as_bytes("first"), as_bytes("third")};
  expect_lost(store_->batch_read(keys));
  EXPECT_TRUE(store_->batch_read(std::span(keys).first(1)));
}

TEST_F(BadPage, AValueThatIsHeldSaysSo) {
  const auto held = store_->find(as_bytes("second"));
  ASSERT_TRUE(held);
  cut_off();
  EXPECT_TRUE(held->intact()) << "nobody has looked";
  const std::string copy(as_text(held->bytes()));
  EXPECT_EQ(copy.front(), '2');
  EXPECT_EQ(copy.back(), '\0');
  expect_lost(held->intact());
  const auto unknown = store_->find(as_bytes("third"));
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->size(), 0U);
  expect_lost(unknown->fetch());
}

TEST_F(BadPage, VerifyingSaysUnreadableAndNotWrong) {
  close();
  StoreOptions options;
  options.verify_reads = true;
  auto opened = run(Store::open(*watched_, path_, options));
  ASSERT_TRUE(opened);
  store_ = *std::move(opened);
  cut_off();
  expect_lost(store_->read(as_bytes("second")));
}

TEST_F(BadPage, NothingIsMadeOfIt) {
  cut_off();
  expect_lost(run(store_->rename(as_bytes("third"), as_bytes("fourth"))));
  EXPECT_FALSE(store_->exists(as_bytes("fourth")));
  const auto compacted = run(store_->compact());
  expect_lost(compacted);
  EXPECT_EQ(names(), std::vector<std::string>{"store"});
  EXPECT_TRUE(store_->read(as_bytes("first")));
  auto cursor = store_->iterate();
  while (cursor.next()) {
  }
  expect_lost(cursor.intact());
  const auto last = store_->read_last_entry();
  ASSERT_TRUE(last);
  expect_lost(last->intact());
}

TEST_F(BadPage, CompactionReadsWholeValues) {
  write("large", std::string(4U << 20, 'l'));
  const auto large = store_->find(as_bytes("large"));
  ASSERT_TRUE(large);
  // What says how long it is can still be read, its middle cannot.
  std::vector<std::uint8_t> image(store_->file_size());
  std::ifstream(path_, std::ios::binary)
      .read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(image.size()));
  cut_off();
  core::touch(large->bytes().subspan(1U << 20, 1));
  std::ofstream(path_, std::ios::binary | std::ios::in)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  ASSERT_TRUE(store_->read(as_bytes("first")));
  expect_lost(run(store_->compact()));
  EXPECT_EQ(names(), std::vector<std::string>{"store"});
}

// Recovery would find no entry at the end of the file, and cut it off.
TEST_F(BadPage, OpeningCutsNothingOff) {
  close();
  watched_->mapped = [this] { cut_off(); };
  const auto opened = try_open();
  expect_lost(opened);
  EXPECT_EQ(std::filesystem::file_size(path_), kPage);
  EXPECT_EQ(names(), std::vector<std::string>{"store"});
}

}  // namespace
}  // namespace capstan::storage::kv
