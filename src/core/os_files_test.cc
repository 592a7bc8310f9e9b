// Why this file exists: checks the small system seams (lock file, holes of sparse files, small
// files) against a real temporary directory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "core/os_file.h"
#include "core/os_lock.h"
#include "core/os_process.h"
#include "core/os_sparse.h"

namespace capstan::core {
namespace {

class OsFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "capstan-os-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string path(const std::string& name) const { return root_ + "/" + name; }
  void write(const std::string& name, std::uint64_t offset, const std::string& text) {
    const int descriptor = ::open(path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(descriptor, 0);
    EXPECT_EQ(::pwrite(descriptor, text.data(), text.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(text.size()));
    ::close(descriptor);
  }
  std::string root_;
};

TEST_F(OsFiles, SecondLockIsRefusedUntilTheFirstIsGone) {
  {
    auto first = FileLock::acquire(path("lock"));
    ASSERT_TRUE(first) << first.error().text();
    auto second = FileLock::acquire(path("lock"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kFailedPrecondition);
    EXPECT_EQ(second.error().sys_errno, EWOULDBLOCK);
    EXPECT_NE(second.error().text().find("process " + std::to_string(::getpid())),
              std::string::npos);
  }
  EXPECT_TRUE(FileLock::acquire(path("lock")));
}

TEST_F(OsFiles, LockInAMissingDirectoryIsNotFound) {
  auto lock = FileLock::acquire(path("missing/lock"));
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, Code::kNotFound);
}

TEST_F(OsFiles, HolesAreSkipped) {
  constexpr std::uint64_t kFar = 64ULL << 20;
  write("image", kFar, std::string(4096, 'x'));
  ASSERT_EQ(::truncate(path("image").c_str(), 128 << 20), 0);
  auto map = SparseMap::open(path("image"));
  ASSERT_TRUE(map) << map.error().text();
  auto data = map->next_data(0);
  ASSERT_TRUE(data && data->has_value());
  EXPECT_LE((*data)->offset, kFar);  // exactly there where the file system keeps a map
  EXPECT_GE((*data)->offset + (*data)->length, kFar + 4096);
  auto end = map->next_data(128 << 20);
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->has_value());
}

TEST_F(OsFiles, SmallFilesAreReadAndLargeOnesRefused) {
  write("small", 0, "hello");
  EXPECT_EQ(read_small_file(path("small"), 5).value_or(""), "hello");
  auto large = read_small_file(path("small"), 4);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, Code::kResourceExhausted);
  EXPECT_EQ(read_small_file(path("none"), 5).error().code, Code::kNotFound);
}

TEST_F(OsFiles, DirectoriesAreMadeWithTheirParents) {
  ASSERT_TRUE(make_directories_now(path("a/b/c")));
  ASSERT_TRUE(make_directories_now(path("a/b/c")));
  EXPECT_TRUE(std::filesystem::is_directory(path("a/b/c")));
  write("file", 0, "x");
  EXPECT_FALSE(make_directories_now(path("file")));
  EXPECT_FALSE(make_directories_now(path("file/below")));
}

TEST(OsProcess, TheDescriptorLimitIsRaisedToWhatIsAllowed) {
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(raise_descriptor_limit().value_or(0), before.rlim_max);
  struct rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace capstan::core
