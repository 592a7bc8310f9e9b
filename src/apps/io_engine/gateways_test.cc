// Why this file exists: what a node gives the gateways that it starts, and when it starts them
// again.
#include "apps/io_engine/gateways.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace capstan::apps {
namespace {

std::optional<std::string> variable(std::string_view name) {
  if (name == "CAPSTAN_CORS_HEADER") return "x-a,x-b";
  return std::nullopt;
}

Result<NodeConfig> configure(std::vector<std::string> arguments) {
  const Surroundings around = {&variable,
                               [](const std::string& path) -> Result<std::string> {
                                 return fail(Code::kNotFound, "open '" + path + "'");
                               },
                               true,
                               [] { return Result<std::vector<core::InterfaceAddress>>({}); }};
  if (std::ranges::find(arguments, "--state-dir") == arguments.end()) {
    arguments.insert(arguments.end(), {"--state-dir", "/s"});
  }
  TRY_SET(CommandLine line, parse_command_line(std::move(arguments), around.variables));
  return make_config(std::move(line.settings), around);
}

TEST(Gateways, NoneUnlessAskedFor) {
  const auto config = configure({});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_TRUE(config->gateways.empty());
  EXPECT_EQ(config->gateway_socket, "");
}

TEST(Gateways, TheyHaveTheNodesOptions) {
  const auto config =
      configure({"--gateway", "127.0.0.1:8080", "--gateway", "unix:/g.sock", "--access",
                 "uid:0=all", "--access", "any=read", "--secure", "--metrics-addr", "127.0.0.1",
                 "-F", "json", "--grpc-port", "1", "--http-listen", "127.0.0.1:9"});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->gateway_socket, "/s/gateway.sock");
  ASSERT_EQ(config->gateways.size(), 2U);
  EXPECT_EQ(config->gateways[1].path, "/g.sock");
  // Not what is the node's alone: its addresses and where its metrics are.
  EXPECT_EQ(config->gateway_arguments,
            (std::vector<std::string>{"--cors-header", "x-a,x-b", "--access", "uid:0=all",
                                      "--access", "any=read", "--secure", "-F", "json"}));
}

TEST(Gateways, MistakesAreNamed) {
  const auto twice = configure({"--gateway", "127.0.0.1:1", "--gateway", "127.0.0.1:1"});
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().text().find("option --gateway"), std::string::npos);
  const auto deep = configure({"--gateway", "127.0.0.1:1", "--state-dir", std::string(120, 'd')});
  ASSERT_FALSE(deep);
  EXPECT_NE(deep.error().text().find("--gateway-socket"), std::string::npos);
  EXPECT_TRUE(configure({"--gateway", "127.0.0.1:1", "--gateway-socket", "/x", "--state-dir",
                         std::string(120, 'd')}));
}

TEST(Gateways, PausesGrow) {
  EXPECT_EQ(restart_pause(0), 0U);
  EXPECT_EQ(restart_pause(1), 600 * core::kMillisecond);
  EXPECT_EQ(restart_pause(2), 720 * core::kMillisecond);
  for (unsigned failures = 1; failures < 100; ++failures) {
    EXPECT_LE(restart_pause(failures), restart_pause(failures + 1));
  }
  EXPECT_EQ(restart_pause(1'000'000), 30 * core::kSecond);
}

}  // namespace
}  // namespace capstan::apps
