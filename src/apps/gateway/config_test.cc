// Why this file exists: the command line of a gateway, as users give it.
#include "apps/gateway/config.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "apps/gateway/options.h"

namespace capstan::gateway {
namespace {

std::optional<std::string> no_variable(std::string_view) {
  return std::nullopt;
}

Result<GatewayConfig> configure(std::vector<std::string> arguments) {
  const apps::Surroundings around = {&no_variable,
                                     [](const std::string& path) -> Result<std::string> {
                                       return fail(Code::kNotFound, "open '" + path + "'");
                                     }};
  TRY_SET(apps::CommandLine line, parse_command_line(std::move(arguments), around.variables));
  return make_config(line.settings, around);
}
std::string error_of(std::vector<std::string> arguments) {
  const auto config = configure(std::move(arguments));
  return config ? "no error" : config.error().text();
}

TEST(GatewayConfig, WhatIsNeeded) {
  const auto config = configure({"--node", "unix:/run/node.sock", "--listen", "127.0.0.1:8080",
                                 "--listen", "unix:/run/gateway.sock", "--max-streams", "5"});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->node.path, "/run/node.sock");
  ASSERT_EQ(config->listen.size(), 2U);
  EXPECT_EQ(config->listen[0].port, 8080);
  EXPECT_EQ(config->listen[1].path, "/run/gateway.sock");
  EXPECT_EQ(config->gate.streams_max, 5U);
  EXPECT_EQ(config->upstream_timeout, 300 * core::kSecond);
  EXPECT_EQ(config->parent, 0);
  EXPECT_FALSE(config->tls);
}

TEST(GatewayConfig, MistakesAreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--listen", "127.0.0.1:1"}, "--node unix:PATH"},
      {{"--node", "unix:/x"}, "--listen IP:PORT"},
      {{"--node", "127.0.0.1:10124", "--listen", "127.0.0.1:1"}, "no Unix socket"},
      {{"--node", "/run/gw.sock", "--listen", "127.0.0.1:1"}, "Write unix:PATH"},
      {{"--node", "unix:", "--listen", "127.0.0.1:1"}, "option --node"},
      {{"--node", "unix:/x", "--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"}, "given twice"},
      {{"--node", "unix:/x", "--listen", "127.0.0.1"}, "names no port"},
      {{"--node", "unix:/x", "--listen", "unix:/y", "--max-streams", "0"}, "between 1"},
      {{"--node", "unix:/x", "--listen", "unix:/y", "--tls-cert", "/c"}, "belong together"},
      {{"--node", "unix:/x", "--listen", "unix:/y", "--access", "nobody"}, "access rule"},
  };
  for (const auto& [arguments, expected] : cases) {
    EXPECT_NE(error_of(arguments).find(expected), std::string::npos) << error_of(arguments);
  }
}

TEST(GatewayConfig, HelpNamesTheProgramAndEveryFlag) {
  const auto line = parse_command_line({"--help"}, &no_variable);
  ASSERT_TRUE(line && line->print);
  EXPECT_NE(line->print->find("capstan-gateway"), std::string::npos);
  for (const auto& option : options()) {
    if (option.flags.empty()) continue;
    EXPECT_NE(line->print->find(option.flags.substr(0, option.flags.find(','))), std::string::npos)
        << option.name;
  }
}

}  // namespace
}  // namespace capstan::gateway
