// Why this file exists: capstan-kv on real files: what reading to a file may replace, and that an
// answer that nobody got is no success.
#include "apps/capstan_kv/commands.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/uring_env.h"

namespace capstan::apps {
namespace {

namespace fs = std::filesystem;

core::Task<void> keep(core::Env* env, std::vector<std::string> arguments, int* code) {
  *code = co_await kv_command(*env, std::move(arguments));
}

class KvCommands : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("kv_commands." + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    ASSERT_EQ(run({"write", "k", "value"}), 0);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  int run(std::vector<std::string> arguments) {
    auto env = core::UringEnv::create({});
    if (!env) return -1;
    arguments.insert(arguments.begin(), path("store"));
    int code = -1;
    (*env)->run(keep(env->get(), arguments, &code));
    return code;
  }
  fs::path folder_;
};

TEST_F(KvCommands, ReadingReplacesOnlyFilesAndOnlyWithForce) {
  EXPECT_EQ(run({"read", "k", "--to", path("out")}), 0);
  EXPECT_EQ(run({"read", "k", "--to", path("out")}), 1);
  EXPECT_EQ(run({"read", "k", "--to", path("out"), "--force"}), 0);
  std::string line;
  std::getline(std::ifstream(path("out")), line);
  EXPECT_EQ(line, "value");
  fs::create_symlink("/dev/null", path("null"));
  fs::create_symlink("itself", path("itself"));  // opening it fails, but not with ENOENT
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_directory(path("folder"));
  for (const char* name : {"null", "itself", "pipe", "folder"}) {
    const auto before = fs::symlink_status(path(name)).type();
    EXPECT_EQ(run({"read", "k", "--to", path(name)}), 1) << name;
    EXPECT_EQ(run({"read", "k", "--to", path(name), "--force"}), 1) << name;
    EXPECT_EQ(fs::symlink_status(path(name)).type(), before) << name;
    EXPECT_FALSE(fs::exists(path(name) + ".part")) << name;
  }
}

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Also a few bytes of text, and the torn end of a store: only what changes a store cuts.
TEST_F(KvCommands, FixedBugReadingCutFiles) {
  const std::string whole = content(path("store"));
  for (const std::string& begin : {std::string(), whole}) {
    const std::string before = begin + "hi\n";
    std::ofstream(path("store"), std::ios::binary) << before;
    for (std::vector<std::string> command : {std::vector<std::string>{"read", "k"},
                                             {"exists", "k"},
                                             {"metadata", "k"},
                                             {"info"},
                                             {"keys"}}) {
      const std::string name = command[0];
      EXPECT_EQ(run(std::move(command)), begin.empty() ? 1 : 0) << name;
      EXPECT_EQ(content(path("store")), before) << name;
    }
    EXPECT_EQ(run({"write", "k", "new"}), begin.empty() ? 1 : 0);
    if (begin.empty()) EXPECT_EQ(content(path("store")), before);
  }
  EXPECT_TRUE(content(path("store")).starts_with(whole));
  EXPECT_FALSE(content(path("store")).contains("hi\n"));
}

TEST_F(KvCommands, ALostAnswerIsNoSuccess) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  std::fflush(stdout);
  const int kept = ::dup(STDOUT_FILENO);
  ASSERT_EQ(::dup2(fileno(full), STDOUT_FILENO), STDOUT_FILENO);
  const int lost = run({"info"});
  ASSERT_EQ(::dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
  ::close(kept);
  std::fclose(full);
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(run({"info"}), 0);
}

}  // namespace
}  // namespace capstan::apps
