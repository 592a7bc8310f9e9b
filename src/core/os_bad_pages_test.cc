// Why this file exists: a file that is cut off under its mapping gives the same SIGBUS as a sector
// that the disk cannot read, and is easier to make.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <optional>

#include "core/os_map.h"

namespace capstan::core {
namespace {

constexpr std::size_t kPage = 4096;

class BadPages : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "capstan-bad-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/file";
    std::ofstream(path_, std::ios::binary) << std::string(4 * kPage, 'x');
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(descriptor_, 0);
  }
  void TearDown() override {
    ::close(descriptor_);
    std::filesystem::remove_all(folder_);
  }
  MemoryMap map() {
    auto made = MemoryMap::of_file(descriptor_, 16 * kPage, path_);
    EXPECT_TRUE(made);
    return *std::move(made);
  }
  void cut(std::size_t pages) { std::filesystem::resize_file(path_, pages * kPage); }
  static ByteView part(const MemoryMap& map, std::size_t at, std::size_t size) {
    return {map.data() + at, size};
  }
  static unsigned sum(ByteView bytes) { return std::accumulate(bytes.begin(), bytes.end(), 0U); }

  std::string folder_, path_;
  int descriptor_ = -1;
};

TEST_F(BadPages, WhatIsThereIsReadable) {
  const auto whole = map();
  EXPECT_EQ(sum(part(whole, 0, 4 * kPage)), 4 * kPage * 'x');
  EXPECT_TRUE(check_readable(part(whole, 0, 4 * kPage)));
}

TEST_F(BadPages, ReadsAsZerosAndIsNoted) {
  const auto cut_off = map(), other = map();
  cut(2);
  EXPECT_EQ(sum(part(cut_off, 2 * kPage - 10, 20)), 10U * 'x');
  const auto bad = check_readable(part(cut_off, 2 * kPage - 10, 20));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kDataLoss);
  EXPECT_NE(bad.error().text().find("'" + path_ + "' cannot be read at byte 8192"),
            std::string::npos)
      << bad.error().text();
  EXPECT_TRUE(check_readable(part(cut_off, 0, 2 * kPage)));
  EXPECT_TRUE(check_readable(part(cut_off, 3 * kPage, 10))) << "nobody has looked there";
  EXPECT_TRUE(check_readable(part(other, 0, 4 * kPage))) << "nobody has looked there";
  touch(part(other, kPage, 3 * kPage));
  EXPECT_FALSE(check_readable(part(other, 3 * kPage, 1)));
  EXPECT_FALSE(check_readable(part(other, 2 * kPage, 1)));
  EXPECT_TRUE(check_readable(part(other, kPage, kPage)));
}

TEST_F(BadPages, MoreThanAreNotedOneByOneSpoilTheMapping) {
  std::filesystem::resize_file(path_, 100 * kPage);
  auto many = MemoryMap::of_file(descriptor_, 100 * kPage, path_);
  ASSERT_TRUE(many);
  cut(1);
  touch(part(*many, 0, 40 * kPage));
  EXPECT_TRUE(check_readable(part(*many, 0, 0)));
  EXPECT_FALSE(check_readable(part(*many, 0, 1)));
}

TEST_F(BadPages, TheNextMappingStartsClean) {
  std::optional<MemoryMap> first(map());
  cut(2);
  touch(part(*first, 2 * kPage, 1));
  ASSERT_FALSE(check_readable(part(*first, 2 * kPage, 1)));
  const auto* const where = first->data();
  first.reset();
  std::filesystem::resize_file(path_, 4 * kPage);
  const auto second = map();
  EXPECT_EQ(sum(part(second, 2 * kPage, kPage)), 0U);
  EXPECT_TRUE(check_readable(part(second, 0, 4 * kPage))) << (second.data() == where);
}

using BadPagesDeathTest = BadPages;

TEST_F(BadPagesDeathTest, WhatIsNoFileOfOursIsAsBefore) {
  const auto known = map();
  void* const foreign = ::mmap(nullptr, 4 * kPage, PROT_READ, MAP_SHARED, descriptor_, 0);
  ASSERT_NE(foreign, MAP_FAILED);
  cut(1);
  const auto* const bytes = static_cast<const std::uint8_t*>(foreign);
  EXPECT_DEATH(touch({bytes + kPage, 1}), "");
  ::munmap(foreign, 4 * kPage);
}

}  // namespace
}  // namespace capstan::core
