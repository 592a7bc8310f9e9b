// Why this file exists: checks the files -y and -P: every key is accepted with its type, an unknown
// one never, and what was read is exported again.
#include <gtest/gtest.h>

#include "apps/io_engine/config.h"
#include "apps/io_engine/engine_config_keys.h"

namespace capstan::apps {
namespace {

std::optional<std::string> no_variables(std::string_view) {
  return std::nullopt;
}

std::string load_error(const std::string& text) {
  EngineConfig config(no_variables);
  auto loaded = config.load(text, "c.yaml");
  return loaded ? "no error" : loaded.error().text();
}

TEST(EngineConfig, ExportReadsBackAsTheSame) {
  EngineConfig first(no_variables);
  ASSERT_TRUE(
      first.load("nexus_opts: {nvmf_nexus_port: 4422, nvmf_replica_port: 8430}\n"
                 "nvmf_tgt_conf:\n  name: 'a \"b\"'\n  crdt: [1, 2, 3]\n"
                 "  interface: '12'\n  opts_tcp: {zcopy: false}\n"
                 "nvme_bdev_opts: {bdev_retry_count: -3}\n",
                 "c.yaml"));
  EXPECT_EQ(first.at("nexus_opts.nvmf_nexus_port").text, "4422");
  EXPECT_EQ(first.at("nexus_opts.nvmf_nexus_port").source, Source::kFile);
  EXPECT_EQ(first.at("nexus_opts.nvmf_enable").source, Source::kDefault);
  EXPECT_EQ(first.at("nvme_bdev_opts.bdev_retry_count").text, "-3");
  EXPECT_EQ(first.at("source").text, "c.yaml");
  EngineConfig second(no_variables);
  auto loaded = second.load(first.yaml(), "c.yaml");
  ASSERT_TRUE(loaded) << loaded.error().text() << "\n" << first.yaml();
  EXPECT_EQ(second.yaml(), first.yaml());
  EXPECT_EQ(second.at("nvmf_tgt_conf.name").text, "a \"b\"");
  EXPECT_EQ(second.at("nvmf_tgt_conf.interface").text, "12");
}

TEST(EngineConfig, EmptyFilesMeanDefaults) {
  EngineConfig config(no_variables);
  ASSERT_TRUE(config.load("", "c.yaml"));
  ASSERT_TRUE(config.load("nexus_opts:\n", "c.yaml"));
  for (const auto& [path, value] : config.list()) {
    if (path != "source") EXPECT_EQ(value->source, Source::kDefault) << path;
  }
  EXPECT_EQ(config.list().size(), std::size(kEngineKeys));
}

TEST(EngineConfig, UnknownKeysAndWrongTypesAreErrors) {
  const std::pair<const char*, const char*> cases[] = {
      {"nexus_opt: {}\n", "unknown key 'nexus_opt'"},
      {"nexus_opts:\n  nvmf_port: 1\n", "unknown key 'nexus_opts.nvmf_port'"},
      {"nvmf_tgt_conf: {opts_tcp: {depth: 1}}\n", "'nvmf_tgt_conf.opts_tcp.depth'"},
      {"nexus_opts: {nvmf_nexus_port: 65536}\n", "whole number up to 65535"},
      {"nexus_opts: {nvmf_nexus_port: '4421'}\n", "whole number up to 65535"},
      {"nexus_opts: {nvmf_enable: 1}\n", "true or false"},
      {"nvmf_tgt_conf: {crdt: [1, 2]}\n", "three whole numbers"},
      {"nvmf_tgt_conf: {name: [x]}\n", "a text"},
      {"nexus_opts: 5\n", "'key: value'"},
      {"- a\n", "'key: value'"},
      {"a: [\n", "line"},
      {"nexus_opts: {}\nnexus_opts: {}\n", "given twice"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string error = load_error(text);
    EXPECT_NE(error.find(expected), std::string::npos) << error;
    EXPECT_TRUE(error.starts_with("c.yaml, line ")) << error;
  }
}

TEST(EngineConfig, ErrorsNameTheLineOfTheKey) {
  EXPECT_TRUE(load_error("nexus_opts: {}\nbogus: 1\n").starts_with("c.yaml, line 2: "));
}

TEST(EngineConfig, EnvironmentOverridesDefaultsAndBadOnesAreReported) {
  const std::map<std::string, std::string, std::less<>> environment = {
      {"NVMF_TCP_MAX_QUEUE_DEPTH", "64"}, {"NVMF_ZCOPY", "0"},   {"NVME_TIMEOUT", "7s"},
      {"NVME_TIMEOUT_US", "1"},           {"NVME_KATO_MS", "5"}, {"NVME_IOQ_POLL_PERIOD", "5ns"},
      {"SOCK_RECV_BUF_SIZE", "many"}};
  EngineConfig config([&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end()) return std::nullopt;
    return found->second;
  });
  EXPECT_EQ(config.at("nvmf_tgt_conf.opts_tcp.max_queue_depth").text, "64");
  EXPECT_EQ(config.at("nvmf_tgt_conf.opts_tcp.max_queue_depth").source, Source::kEnvironment);
  EXPECT_EQ(config.at("nvmf_tgt_conf.opts_tcp.zcopy").text, "false");
  EXPECT_EQ(config.at("nvme_bdev_opts.timeout_us").text, "7000000");
  EXPECT_EQ(config.at("nvme_bdev_opts.keep_alive_timeout_ms").text, "5");
  EXPECT_EQ(config.at("nvme_bdev_opts.nvme_ioq_poll_period_us").text, "0");
  EXPECT_EQ(config.at("socket_opts.recv_buf_size").text, "2097152");
  ASSERT_EQ(config.warnings().size(), 2U);
  EXPECT_NE(config.warnings()[0].find("NVME_IOQ_POLL_PERIOD='5ns'"), std::string::npos);
  EXPECT_NE(config.warnings()[1].find("SOCK_RECV_BUF_SIZE='many'"), std::string::npos);
}

TEST(EngineConfig, FileWinsOverCoreFlags) {
  Surroundings around{no_variables,
                      [](const std::string& path) -> Result<std::string> {
                        if (path == "/missing") return fail(Code::kNotFound, "no file");
                        if (path == "/secret") return fail(Code::kPermissionDenied, "no right");
                        return std::string("eal_opts: {reactor_mask: '0x3'}\n");
                      },
                      true};
  const auto configure = [&](std::vector<std::string> arguments) -> Result<NodeConfig> {
    TRY_SET(CommandLine line, parse_command_line(std::move(arguments), around.variables));
    return make_config(std::move(line.settings), around);
  };
  auto config = configure({"-m", "0xf", "-y", "/c.yaml"});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->reactors, 2U);
  EXPECT_TRUE(configure({"-y", "/missing"}));
  auto secret = configure({"-y", "/secret"});
  ASSERT_FALSE(secret);
  EXPECT_NE(secret.error().text().find("option -y"), std::string::npos);
}

TEST(PoolFile, ReadsMayastorsForm) {
  auto pools = parse_pool_file(
      "pools:\n- name: pool-a\n  disks:\n  - aio:///dev/sdb\n  backend: Lvs\n  replicas: []\n"
      "- {name: b, disks: [/dev/sdc], backend: Lvm}\n",
      "p.yaml");
  ASSERT_TRUE(pools) << pools.error().text();
  ASSERT_EQ(pools->size(), 2U);
  EXPECT_EQ((*pools)[0].name, "pool-a");
  EXPECT_EQ((*pools)[0].disks, std::vector<std::string>{"aio:///dev/sdb"});
  EXPECT_FALSE((*pools)[0].lvm);
  EXPECT_TRUE((*pools)[1].lvm);
  EXPECT_TRUE(parse_pool_file("", "p.yaml")->empty());
}

TEST(PoolFile, ErrorsNameFileAndLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"pool: []\n", "unknown key 'pool'"},
      {"pools:\n- disks: [a]\n  backend: Lvs\n", "no 'name'"},
      {"pools:\n- name: a\n  disks: [a]\n", "no 'backend'"},
      {"pools:\n- name: a\n  backend: Lvs\n", "no 'disks'"},
      {"pools:\n- {name: a, disks: [a], backend: Zfs}\n", "unknown backend 'Zfs'"},
      {"pools: 5\n", "must be a list"},
  };
  for (const auto& [text, expected] : cases) {
    auto pools = parse_pool_file(text, "p.yaml");
    ASSERT_FALSE(pools) << text;
    EXPECT_NE(pools.error().text().find(expected), std::string::npos) << pools.error().text();
    EXPECT_TRUE(pools.error().text().starts_with("p.yaml, line ")) << pools.error().text();
  }
}

}  // namespace
}  // namespace capstan::apps
