// Why this file exists: checks the local ends of an image transfer on real files: holes and zeros
// are skipped, the copy is identical, and an unfinished export leaves nothing behind.
#include "apps/capstan/image_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "apps/capstan/image_hash.h"
#include "core/uring_env.h"

namespace capstan::apps {
namespace {

namespace fs = std::filesystem;

class ImageFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "capstan-image-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    auto env = core::UringEnv::create({});
    ASSERT_TRUE(env) << env.error().text();
    env_ = *std::move(env);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string path(const std::string& name) const { return root_ + "/" + name; }
  void put(const std::string& name, std::uint64_t offset, const std::string& text) {
    std::fstream file(path(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << text;
    ASSERT_TRUE(file.good());
  }
  void make(const std::string& name, std::uint64_t size) {
    std::ofstream(path(name)).close();
    fs::resize_file(path(name), size);
  }
  std::string content(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::string root_;
  std::unique_ptr<core::UringEnv> env_;
};

struct Copy {
  Result<void> result;
  std::uint64_t sent = 0;
  Sha256 hash{};
};

core::Task<Result<void>> copy(core::Env& env, std::string from, std::string to, bool dense,
                              Copy& out) {
  CO_TRY_SET(auto source, co_await ImageSource::open(env, from, std::nullopt, dense));
  CO_TRY_SET(auto target, co_await ImageTarget::create(env, to, false));
  ImageHash hash;
  while (true) {
    CO_TRY_SET(const auto runs, co_await source->next());
    if (!runs) break;
    for (const ImageSource::Run& run : *runs) {
      co_await hash.zeros_to(run.offset);
      hash.add(run.bytes);
      out.sent += run.bytes.size();
      CO_TRY(co_await target->write(run.offset, run.bytes));
    }
  }
  co_await hash.zeros_to(source->size_bytes());
  out.hash = hash.finish();
  co_return co_await target->finish(source->size_bytes());
}
core::Task<void> copy_into(core::Env& env, std::string from, std::string to, bool dense,
                           Copy& out) {
  out.result = co_await copy(env, std::move(from), std::move(to), dense, out);
}

TEST_F(ImageFiles, CopyIsIdenticalAndSparse) {
  constexpr std::uint64_t kSize = (24U << 20) + 777;
  make("image", kSize);
  put("image", 0, std::string(5000, 'a'));
  put("image", (9U << 20) + 123, std::string(3U << 20, 'b'));
  put("image", kSize - 10, "end");
  Copy done;
  env_->run(copy_into(*env_, path("image"), path("copy"), false, done));
  ASSERT_TRUE(done.result) << done.result.error().text();
  EXPECT_EQ(content("copy"), content("image"));
  EXPECT_LT(done.sent, 5U << 20);
  EXPECT_FALSE(fs::exists(path("copy.part")));
  ImageHash whole;
  whole.add(as_bytes(content("image")));
  EXPECT_EQ(hex_text(done.hash), hex_text(whole.finish()));
}

TEST_F(ImageFiles, WrittenZerosAreSkippedUnlessDense) {
  make("image", 0);
  put("image", 0, std::string(2U << 20, '\0'));
  Copy sparse, dense;
  env_->run(copy_into(*env_, path("image"), path("sparse"), false, sparse));
  env_->run(copy_into(*env_, path("image"), path("dense"), true, dense));
  ASSERT_TRUE(sparse.result && dense.result);
  EXPECT_EQ(sparse.sent, 0U);
  EXPECT_EQ(dense.sent, 2U << 20);
  EXPECT_EQ(content("sparse"), content("image"));
  EXPECT_EQ(sparse.hash, dense.hash);
}

core::Task<void> create_twice(core::Env& env, std::string name, Result<void>& refused,
                              Result<void>& replaced) {
  auto target = co_await ImageTarget::create(env, name, false);
  refused = target ? Result<void>() : std::unexpected(target.error());
  auto again = co_await ImageTarget::create(env, name, true);
  replaced = again ? Result<void>() : std::unexpected(again.error());
  if (again) {
    replaced = co_await (*again)->write(0, as_bytes("half"));
    co_await (*again)->abandon();
  }
}

TEST_F(ImageFiles, ExistingFilesAreKeptUntilTheNewOneIsComplete) {
  make("image", 0);
  put("image", 0, "old");
  Result<void> refused, replaced;
  env_->run(create_twice(*env_, path("image"), refused, replaced));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAlreadyExists);
  EXPECT_NE(refused.error().text().find("--force"), std::string::npos);
  EXPECT_TRUE(replaced);
  EXPECT_EQ(content("image"), "old");
  EXPECT_FALSE(fs::exists(path("image.part")));
}

// Opening a pipe that nobody has at its other end waits for ever.
TEST_F(ImageFiles, FixedBugAPipeAsATargetHung) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink(path("pipe"), path("link"));
  for (const char* name : {"pipe", "link"}) {
    Result<void> refused, replaced;
    env_->run(create_twice(*env_, path(name), refused, replaced));
    for (const auto& result : {refused, replaced}) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, Code::kInvalidArgument);
      EXPECT_NE(result.error().text().find("standard output"), std::string::npos);
    }
    EXPECT_FALSE(fs::exists(path(std::string(name) + ".part")));
  }
  EXPECT_TRUE(fs::is_fifo(path("pipe")));
}

core::Task<void> open_source(core::Env& env, std::string name, std::optional<std::uint64_t> size,
                             Result<void>& result) {
  auto source = co_await ImageSource::open(env, name, size, false);
  result = source ? Result<void>() : std::unexpected(source.error());
}

TEST_F(ImageFiles, SizesMustBeKnownAndRight) {
  make("image", 100);
  Result<void> result;
  env_->run(open_source(*env_, "-", std::nullopt, result));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().text().find("--size"), std::string::npos);
  env_->run(open_source(*env_, path("image"), 99, result));
  EXPECT_FALSE(result);
  env_->run(open_source(*env_, path("image"), 100, result));
  EXPECT_TRUE(result);
  env_->run(open_source(*env_, path("missing"), std::nullopt, result));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kNotFound);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  env_->run(open_source(*env_, path("pipe"), std::nullopt, result));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().text().find("standard input"), std::string::npos);
}

}  // namespace
}  // namespace capstan::apps
