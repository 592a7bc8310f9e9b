// Why this file exists: capstan-pool on every damaged sample: check writes nothing and says what is
// wrong, repair writes only when told to, and what it leaves is sound to us and to the independent
// reader.
#include "apps/capstan_pool/commands.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "capstan_test_paths.h"
#include "core/sim_env.h"

namespace capstan::apps {
namespace {

struct Sample {
  const char* file;
  std::uint32_t block;
  int code;         // of check
  bool unreadable;  // volumes that only --destroy-damaged removes
};

std::string run_command(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe))
    output.append(buffer, got);
  pclose(pipe);
  return output;
}

class CapstanPool : public testing::TestWithParam<Sample> {
 protected:
  static core::Task<void> keep(core::Task<PoolAnswer> task, PoolAnswer* answer) {
    *answer = co_await std::move(task);
  }
  PoolAnswer run(const std::vector<std::string>& arguments) {
    auto call = parse_pool_arguments(arguments);
    EXPECT_TRUE(call) << call.error().text();
    PoolAnswer answer;
    world_.run(keep(pool_command(env_, *call), &answer));
    return answer;
  }
  // A sample image as the disk /disk.
  core::SimDisk& unpack(const Sample& sample) {
    const std::string raw = testing::TempDir() + "capstan-pool-" + sample.file + ".raw";
    EXPECT_EQ(run_command("zstd -q -d -f --sparse -o " + raw + " " + CAPSTAN_SOURCE_DIR +
                          "/tests/vectors/lvs-images/" + sample.file + ".img.zst"),
              "");
    std::ifstream stream(raw, std::ios::binary);
    const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(stream), {}};
    std::remove(raw.c_str());
    core::SimDisk& disk = env_.add_disk(
        "/disk",
        {.size_bytes = bytes.size(), .block_bytes = sample.block, .physical_block_bytes = 4096});
    disk.poke(0, bytes);
    return disk;
  }
  std::string judge(core::SimDisk& disk) {
    const std::string raw = testing::TempDir() + "capstan-pool-judge.raw";
    const auto image = disk.image();
    std::ofstream(raw, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    const std::string said = run_command(std::string("python3 ") + CAPSTAN_SOURCE_DIR +
                                         "/tools/lvs-dump.py " + raw + " check");
    std::remove(raw.c_str());
    return said;
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
};

TEST_P(CapstanPool, ChecksAndRepairs) {
  const Sample& sample = GetParam();
  core::SimDisk& disk = unpack(sample);
  const auto before = disk.image();
  const PoolAnswer checked = run({"check", "/disk"});
  EXPECT_EQ(checked.code, sample.code) << checked.out << checked.err;
  const PoolAnswer tried = run({"repair", "/disk"});
  EXPECT_EQ(tried.code, sample.code);
  EXPECT_EQ(tried.err.empty(), sample.code == kPoolSound);
  const PoolAnswer dumped = run({"dump", "/disk"});
  EXPECT_EQ(dumped.code, kPoolSound) << dumped.err;
  EXPECT_NE(dumped.out.find("\"volumes\""), std::string::npos);
  EXPECT_TRUE(disk.image() == before) << "nobody asked for a change";

  const PoolAnswer repaired = run({"repair", "--write", "/disk"});
  EXPECT_EQ(repaired.code, sample.unreadable ? kPoolFindings : kPoolSound) << repaired.out;
  if (sample.unreadable) {
    const PoolAnswer cleared = run({"repair", "--write", "--destroy-damaged", "/disk"});
    EXPECT_EQ(cleared.code, kPoolSound) << cleared.out << cleared.err;
    EXPECT_NE(cleared.out.find("destroyed damaged volume"), std::string::npos);
  }
  EXPECT_EQ(run({"check", "/disk"}).out.find("damage"), std::string::npos);
  EXPECT_EQ(judge(disk), "");
}

constexpr Sample kSamples[] = {{"a-empty", 512, kPoolSound, false},
                               {"c-snap-clones", 4096, kPoolSound, false},
                               {"o5-torn-root-with-shadow", 512, kPoolFindings, false},
                               {"x01-snap-before-commit", 512, kPoolFindings, false},
                               {"x02-snap-after-commit", 512, kPoolFindings, false},
                               {"x03-snap-of-clone-before-commit", 512, kPoolFindings, false},
                               {"x04-delsnap-merged-in-place", 512, kPoolFindings, false},
                               {"x05-delsnap-child-committed", 512, kPoolFindings, false},
                               {"x06-snap-nearly-full", 512, kPoolFindings, false},
                               {"x07-grow-before-commit", 512, kPoolFindings, false},
                               {"x08-shrink-before-commit", 512, kPoolFindings, false},
                               {"x09-delete-half-zeroed", 512, kPoolFindings, true},
                               {"x10-torn-extent-page", 512, kPoolFindings, true},
                               {"x11-delsnap-leak", 512, kPoolFindings, false},
                               {"x12-shrink-across-groups", 512, kPoolFindings, false},
                               {"y01-short-extent-page", 512, kPoolFindings, false},
                               {"y02-long-extent-page", 512, kPoolFindings, false},
                               {"y03-short-extent-page-lost", 512, kPoolFindings, false}};

INSTANTIATE_TEST_SUITE_P(Samples, CapstanPool, testing::ValuesIn(kSamples),
                         [](const testing::TestParamInfo<Sample>& info) {
                           std::string name = info.param.file;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(CapstanPoolArguments, WhatIsUnderstood) {
  const auto call = parse_pool_arguments(
      {"repair", "--write", "--destroy-damaged", "--json", "--block-size", "4096", "/disk"});
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_TRUE(call->write && call->destroy_damaged && call->json);
  EXPECT_EQ(call->block_bytes, 4096U);
  using Words = std::vector<std::string>;
  for (const Words& words :
       {Words{"check"}, Words{"eat", "/disk"}, Words{"check", "--write", "/d"},
        Words{"repair", "--destroy-damaged", "/d"}, Words{"check", "--block-size", "4k", "/d"},
        Words{"check", "--x", "/d"}, Words{"check", "/a", "/b"}})
    EXPECT_FALSE(parse_pool_arguments(words)) << words.front() << words.back();
}

}  // namespace
}  // namespace capstan::apps
