// Why this file exists: capstan-nvme's words, and each command against a target of ours in one
// simulated world, with files on the simulated disk.
#include "apps/capstan_nvme/commands.h"

#include <gtest/gtest.h>

#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"

namespace capstan::apps {
namespace {

using Words = std::vector<std::string>;

TEST(NvmeArguments, Ours) {
  const auto bench = parse_nvme_arguments({"bench", "--pattern", "randwrite", "--block-size",
                                           "128KiB", "--depth", "8", "--seconds", "2", "--json",
                                           "--hostnqn", "nqn.h", "--", "nvmf://h/n"});
  ASSERT_TRUE(bench) << bench.error().text();
  EXPECT_EQ(bench->target, "nvmf://h/n");
  EXPECT_EQ(bench->pattern, "randwrite");
  EXPECT_EQ(bench->block_bytes, 128U << 10);
  EXPECT_EQ(bench->depth, 8U);
  EXPECT_EQ(bench->seconds, 2U);
  EXPECT_EQ(bench->host_nqn, "nqn.h");
  EXPECT_TRUE(bench->json);
  const auto read = parse_nvme_arguments({"read", "--offset", "4KiB", "nvmf://h/n", "f"});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->offset, 4096U);
  EXPECT_EQ(read->file, "f");
  EXPECT_FALSE(read->length);
  for (const Words& words :
       {Words{}, Words{"dance"}, Words{"id"}, Words{"id", "u", "more"}, Words{"bench", "--x", "1"},
        Words{"bench", "--depth", "0", "u"}, Words{"bench", "--depth", "9999", "u"},
        Words{"bench", "--pattern", "mix", "u"}, Words{"read", "--offset"}}) {
    EXPECT_FALSE(parse_nvme_arguments(words));
  }
}

TEST(NvmeArguments, Mayastors) {
  const auto write = parse_initiator_arguments({"--offset=512", "nvmf://h/n", "write", "f"});
  ASSERT_TRUE(write);
  EXPECT_TRUE(write->initiator);
  EXPECT_EQ(write->offset, 512U);
  EXPECT_EQ(write->file, "f");
  EXPECT_EQ(parse_initiator_arguments({"-o", "7", "u", "read", "f"})->offset, 7U);
  EXPECT_EQ(parse_initiator_arguments({"u", "nvme-admin", "24"})->opcode, 24);
  EXPECT_TRUE(parse_initiator_arguments({"u", "connect"}));
  EXPECT_TRUE(parse_initiator_arguments({"u", "create-snapshot"}));
  for (const Words& words : {Words{}, Words{"u"}, Words{"u", "read"}, Words{"u", "connect", "f"},
                             Words{"u", "nvme-admin", "300"}, Words{"u", "dance"},
                             Words{"-x", "u", "connect"}, Words{"-o"}}) {
    EXPECT_FALSE(parse_initiator_arguments(words));
  }
}

using core::NoLog;

class CapstanNvme : public testing::Test {
 protected:
  static constexpr std::uint64_t kBlocks = 8192;

  CapstanNvme()
      : device_(std::make_shared<storage::MemoryDevice>("m", Uuid::from_name("m"), 512, kBlocks)) {}

  // Runs the words one after the other against one target; answers the last.
  NvmeAnswer run(const std::vector<Words>& commands, bool initiator = false) {
    NvmeAnswer answer;
    world_.run(whole(commands, initiator, &answer));
    return answer;
  }
  core::Task<void> whole(std::vector<Words> commands, bool initiator, NvmeAnswer* answer) {
    storage::nvme::Target target(node_, log_);
    EXPECT_TRUE(target.listen(core::Address::tcp(node_.address(), 8420)));
    const auto subsystem = target.add({.nqn = nqn_, .serial = serial_});
    EXPECT_TRUE(subsystem);
    EXPECT_TRUE((*subsystem)->add_namespace(device_));
    for (const Words& words : commands) {
      auto call = initiator ? parse_initiator_arguments(words) : parse_nvme_arguments(words);
      EXPECT_TRUE(call) << call.error().text();
      *answer = co_await nvme_command(host_, lookup_, *std::move(call));
    }
    co_await target.shutdown();
  }
  std::string uri() const { return "nvmf://" + node_.address() + ":8420/nqn.x:v"; }
  std::string file(const std::string& path) {
    std::string content;
    world_.run(read_file(path, &content));
    return content;
  }
  core::Task<void> read_file(std::string path, std::string* content) {
    const auto got = co_await host_.files().read_file(path, 64U << 20);
    EXPECT_TRUE(got);
    if (got) *content = *got;
  }
  void put_file(const std::string& path, const std::string& content) {
    world_.run(write_file(path, content));
  }
  core::Task<void> write_file(std::string path, std::string content) {
    EXPECT_TRUE(co_await host_.files().replace_file(path, content));
  }

  std::string nqn_ = "nqn.x:v", serial_ = "S1";
  NameLookup lookup_ = [](const std::string& name) {
    return Result<std::vector<std::string>>({name});
  };
  NoLog sink_;
  core::Log log_{sink_, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv node_{world_}, host_{world_};
  std::shared_ptr<storage::MemoryDevice> device_;
};

TEST_F(CapstanNvme, WhatThereIs) {
  const NvmeAnswer found = run({{"discover", node_.address() + ":8420"}});
  EXPECT_EQ(found.code, kNvmeDone) << found.err;
  EXPECT_NE(found.out.find("subsystem  " + node_.address() + ":8420  nqn.x:v\n"), std::string::npos)
      << found.out;
  const NvmeAnswer json = run({{"discover", "--json", node_.address()}});
  EXPECT_NE(json.out.find("\"uri\": \"" + uri() + "\""), std::string::npos) << json.out;
  const NvmeAnswer test = run({{"connect-test", uri()}});
  EXPECT_EQ(test.code, kNvmeDone) << test.err;
  EXPECT_NE(test.out.find(std::to_string(kBlocks * 512)), std::string::npos) << test.out;
  const NvmeAnswer id = run({{"id", "--json", uri()}});
  EXPECT_NE(id.out.find("\"serial\": \"S1\""), std::string::npos) << id.out;
}

// localhost may be ::1 before it is 127.0.0.1, where the target listens.
TEST_F(CapstanNvme, ANameIsTriedAtAllOfItsAddresses) {
  const std::string idle = host_.address(), silent = "10.9.9.9";
  for (const Words& addresses : {Words{idle, node_.address()}, Words{silent, node_.address()},
                                 Words{node_.address(), idle}}) {
    lookup_ = [&addresses](const std::string& name) -> Result<Words> {
      if (name != "target") return fail(Code::kUnavailable, "no such name: " + name);
      return addresses;
    };
    const NvmeAnswer found = run({{"discover", "target"}});
    EXPECT_NE(found.out.find(node_.address() + ":8420  nqn.x:v\n"), std::string::npos) << found.err;
    EXPECT_EQ(run({{"connect-test", "nvmf://target/nqn.x:v"}}).code, kNvmeDone);
    const NvmeAnswer nobody = run({{"connect-test", "nvmf://other/nqn.x:v"}});
    EXPECT_EQ(nobody.code, kNvmeFailed);
    EXPECT_NE(nobody.err.find("no such name: other"), std::string::npos) << nobody.err;
  }
}

TEST_F(CapstanNvme, ContentThereAndBack) {
  std::string content(3'000'100, 'x');
  for (std::size_t i = 0; i < content.size(); i += 97) content[i] = static_cast<char>(i);
  put_file("/in", content);
  const NvmeAnswer back = run({{"write", "--offset", "1KiB", uri(), "/in"},
                               {"read", "--offset", "1KiB", "--length", "3000320", uri(), "/out"}});
  EXPECT_EQ(back.code, kNvmeDone) << back.err;
  content.resize(3'000'320);  // the last block is filled with zeros
  EXPECT_TRUE(file("/out") == content);
}

TEST_F(CapstanNvme, ARangeBeyondTheEndMovesNothing) {
  const std::string old(4096, 'o');
  put_file("/old", old);
  put_file("/long", std::string(2 << 20, 'n'));
  const std::string last = std::to_string(kBlocks * 512 - (1 << 20));
  const NvmeAnswer wrote = run(
      {{"write", "--offset", last, uri(), "/old"}, {"write", "--offset", last, uri(), "/long"}});
  EXPECT_EQ(wrote.code, kNvmeFailed);
  EXPECT_NE(wrote.err.find("'/long' has 2097152 bytes"), std::string::npos) << wrote.err;
  const NvmeAnswer read = run({{"read", "--offset", last, "--length", "4096", uri(), "/out"},
                               {"read", "--offset", last, "--length", "2MiB", uri(), "/out"}});
  EXPECT_EQ(read.code, kNvmeFailed);
  EXPECT_NE(read.err.find("--length"), std::string::npos) << read.err;
  EXPECT_TRUE(file("/out") == old) << "neither the device nor the file has changed";
}

TEST_F(CapstanNvme, WhatATargetSaysGivesATerminalNoOrders) {
  serial_ = "S\x1b[2J";
  const NvmeAnswer id = run({{"id", uri()}});
  EXPECT_EQ(id.code, kNvmeDone) << id.err;
  EXPECT_NE(id.out.find("S\\u001b[2J\n"), std::string::npos) << id.out;
  nqn_ =
      "nqn.x:\xC2\x9B"
      "2J";
  for (const Words& words :
       {Words{"discover", node_.address()}, Words{"discover", "--json", node_.address()}}) {
    const NvmeAnswer found = run({words});
    EXPECT_NE(found.out.find("u009b2J"), std::string::npos) << found.out;
    EXPECT_EQ(found.out.find("\xC2\x9B"), std::string::npos);
  }
}

TEST_F(CapstanNvme, Benches) {
  for (const char* pattern : {"randread", "randwrite", "read", "write"}) {
    const NvmeAnswer answer =
        run({{"bench", "--pattern", pattern, "--depth", "4", "--seconds", "1", "--json", uri()}});
    EXPECT_EQ(answer.code, kNvmeDone) << answer.err;
    EXPECT_NE(answer.out.find("per_second"), std::string::npos);
  }
  const NvmeAnswer odd = run({{"bench", "--block-size", "100", uri()}});
  EXPECT_EQ(odd.code, kNvmeFailed);
}

TEST_F(CapstanNvme, Refusals) {
  for (const Words& words :
       {Words{"connect-test", uri() + "x"}, Words{"id", "malloc:///m?size_mb=1"},
        Words{"discover", "a/b"}, Words{"connect-test", "nonsense"},
        Words{"read", "--offset", "1TiB", uri(), "/out"}}) {
    const NvmeAnswer answer = run({words});
    EXPECT_EQ(answer.code, kNvmeFailed) << words[0];
    EXPECT_TRUE(answer.err.starts_with("error: ")) << answer.err;
  }
}

TEST_F(CapstanNvme, AsMayastorsInitiator) {
  put_file("/in", "hello");
  const NvmeAnswer done = run({{"-o", "1024", uri(), "write", "/in"},
                               {"-o", "1024", uri(), "read", "/out"},
                               {uri(), "id-ctrlr", "/page"},
                               {uri(), "nvme-admin", "24"},
                               {uri(), "connect"}},
                              true);
  EXPECT_EQ(done.code, kNvmeDone) << done.err;
  std::string block = "hello";
  block.resize(512);
  EXPECT_TRUE(file("/out") == block);
  EXPECT_EQ(file("/page").size(), 4096U);
  EXPECT_EQ(file("/page").substr(24, 24), "Mayastor NVMe controller");
  EXPECT_EQ(run({{uri(), "nvme-admin", "127"}}, true).code, kInitiatorFailed);
  EXPECT_EQ(run({{uri(), "create-snapshot"}}, true).code, kInitiatorFailed);  // replicas only
  EXPECT_EQ(run({{"malloc:///m?size_mb=1", "write", "/in"}}, true).code, kNvmeDone);
}

}  // namespace
}  // namespace capstan::apps
