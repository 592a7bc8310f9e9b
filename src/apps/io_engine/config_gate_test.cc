// Why this file exists: the flags about who may call, as users give them: what they become, what is
// refused and in which words, and that names are resolved once.
#include "apps/serving/config_gate.h"

#include <gtest/gtest.h>

#include "apps/io_engine/config.h"
#include "rpc/jwt_testing.h"

namespace capstan::apps {
namespace {

Result<NodeConfig> configure(std::vector<std::string> arguments, const std::string& file = {}) {
  arguments.insert(arguments.end(), {"--state-dir", "/s"});
  const Surroundings around = {
      [](std::string_view) -> std::optional<std::string> { return std::nullopt; },
      [file](const std::string& path) -> Result<std::string> {
        if (path == "/file") return file;
        return fail(Code::kNotFound, "open '" + path + "'");
      },
      true, [] { return Result<std::vector<core::InterfaceAddress>>({}); },
      [](const std::string& host) -> Result<std::vector<std::string>> {
        if (host == "node.example") return std::vector<std::string>{"::1", "10.0.0.1"};
        return fail(Code::kUnavailable, "no address of '" + host + "'");
      }};
  TRY_SET(CommandLine line, parse_command_line(std::move(arguments), around.variables));
  return make_config(std::move(line.settings), around);
}
GateConfig gate(std::vector<std::string> arguments, const std::string& file = {}) {
  auto config = configure(std::move(arguments), file);
  EXPECT_TRUE(config) << config.error().text();
  return config ? std::move(config->gate) : GateConfig();
}
std::string error_of(std::vector<std::string> arguments, const std::string& file = {}) {
  auto config = configure(std::move(arguments), file);
  return config ? "no error" : config.error().text();
}

TEST(GateConfig, NothingIsOnByDefault) {
  const GateConfig made = gate({});
  EXPECT_TRUE(made.acl.table.entries().empty());
  EXPECT_FALSE(made.acl.secure || made.keys || made.rates.any() || made.trace || made.has_files());
}

TEST(GateConfig, AnAccessListAndTheAddressesThatFlagsOpen) {
  const char* const list = R"([{"address":"10.0.0.1:80","whitelist":["GET /pools"]},
                               {"address":"10.0.0.1","blacklist":["PUT/**"]},
                               {"address":"node.example:90","whitelist":[]}])";
  const GateConfig made = gate({"--acl", "/file", "--allow-all-rpc", "10.0.0.1", "--allow-all-rpc",
                                "unix:/run/x", "--secure"},
                               list);
  EXPECT_TRUE(made.acl.secure && made.has_files());
  const auto& table = made.acl.table;
  EXPECT_EQ(*table.find("10.0.0.1", 80), rpc::AclPolicy::allow_all());  // the flag is in front
  EXPECT_EQ(*table.find("10.0.0.1", 81), rpc::AclPolicy::allow_all());
  EXPECT_EQ(*table.find("unix:/run/x", 0), rpc::AclPolicy::allow_all());
  EXPECT_EQ(table.find("::1", 90)->kind, rpc::AclPolicy::Kind::kDenyAll);
  EXPECT_EQ(made.names.at("node.example").size(), 2U);
  const auto config = configure({"--allow-all-rpc", "::1"});
  ASSERT_TRUE(config);
  ASSERT_EQ(config->alarms.size(), 1U);  // an error in the log
  EXPECT_NE(config->alarms[0].find("--allow-all-rpc"), std::string::npos);

  EXPECT_NE(error_of({"--acl", "/absent"}).find("--acl"), std::string::npos);
  EXPECT_NE(error_of({"--acl", "/file"}, "{").find("no JSON"), std::string::npos);
  EXPECT_NE(error_of({"--acl", "/file"}, R"([{"address":"nobody","whitelist":[]}])")
                .find("no address of 'nobody'"),
            std::string::npos);
  EXPECT_NE(error_of({"--allow-all-rpc", "[::1"}).find("--allow-all-rpc"), std::string::npos);
}

TEST(GateConfig, KeysOrNone) {
  const rpc::testing::KeyPair pair("ES256");
  EXPECT_TRUE(gate({"--jwk", "/file"}, pair.jwk()).keys);
  EXPECT_FALSE(gate({"--no-auth"}).keys);
  EXPECT_NE(error_of({"--jwk", "/file", "--no-auth"}, pair.jwk()).find("Give one"),
            std::string::npos);
  EXPECT_NE(error_of({"--jwk", "/file"}, "{}").find("--jwk"), std::string::npos);
}

TEST(GateConfig, Rates) {
  const GateConfig made = gate({"--rate-limit", "write=10/20", "--rate-limit", "data=5",
                                "--rate-limit-client", "7", "--rate-limit-spare-admin"});
  EXPECT_EQ(made.rates.classes[static_cast<std::size_t>(rpc::Access::kWrite)]->burst, 20);
  EXPECT_EQ(made.rates.classes[static_cast<std::size_t>(rpc::Access::kData)]->per_second, 5);
  EXPECT_EQ(made.rates.client->per_second, 7);
  EXPECT_TRUE(made.rates.spare_local_admin);
  EXPECT_NE(error_of({"--rate-limit", "x=1"}).find("--rate-limit"), std::string::npos);
  EXPECT_NE(error_of({"--rate-limit-client", "0"}).find("--rate-limit-client"), std::string::npos);
}

TEST(GateConfig, Traces) {
  const GateConfig made =
      gate({"--otlp-endpoint", "http://node.example/x", "--trace-sample", "0.5"});
  ASSERT_TRUE(made.trace);
  EXPECT_EQ(made.trace->address.text(), "[::1]:4318");
  EXPECT_EQ(made.trace->authority, "node.example");
  EXPECT_EQ(made.trace->path, "/x");
  EXPECT_EQ(made.trace_ratio, 0.5);
  EXPECT_EQ(gate({"--otlp-endpoint", "http://[::1]:1"}).trace->path, "/v1/traces");
  // A collector without an address yet does not keep the node from starting.
  const auto away = configure({"--otlp-endpoint", "http://nobody/"});
  ASSERT_TRUE(away) << away.error().text();
  EXPECT_FALSE(away->gate.trace);
  EXPECT_NE(away->warnings.back().find("nobody"), std::string::npos);
  for (const char* bad :
       {"https://x", "x", "http://", "http://x:y/", "http://unix:/x", "http://x/ y"}) {
    EXPECT_NE(error_of({"--otlp-endpoint", bad}).find("no collector"), std::string::npos) << bad;
  }
  for (const char* bad : {"1.1", "-0.1", "x", "nan"}) {
    EXPECT_NE(error_of({"--trace-sample", bad}).find("--trace-sample"), std::string::npos) << bad;
  }
}

TEST(GateConfig, RulesWithSubjects) {
  const auto config = configure({"--access", "tls:CN=a,O=b=read", "--access", "jwt:x=all"});
  ASSERT_TRUE(config) << config.error().text();
  ASSERT_EQ(config->access.size(), 2U);
  EXPECT_EQ(config->access[0].name, "CN=a,O=b");
}

}  // namespace
}  // namespace capstan::apps
