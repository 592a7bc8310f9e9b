// Why this file exists: checks the configuration of the node as a user meets it: command line in,
// typed configuration or an error text out (io-engine-behaviour sections 1.1, 1.2, 2.1, 2.2).
#include "apps/io_engine/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "apps/io_engine/engine_config_keys.h"
#include "wire/tls/tls_testing.h"

namespace capstan::apps {
namespace {

using Environment = std::map<std::string, std::string, std::less<>>;
using Files = std::map<std::string, std::string, std::less<>>;

Surroundings surroundings(Environment environment, Files files = {}, bool root = true) {
  return {[environment](std::string_view name) -> std::optional<std::string> {
            const auto found = environment.find(name);
            if (found == environment.end()) return std::nullopt;
            return found->second;
          },
          [files](const std::string& path) -> Result<std::string> {
            const auto found = files.find(path);
            if (found == files.end()) return fail(Code::kNotFound, "open '" + path + "'");
            return found->second;
          },
          root,
          [] {
            return Result<std::vector<core::InterfaceAddress>>(
                {{"lo", "", "127.0.0.1"},
                 {"eth0", "02:42:ac:11:00:02", "10.1.0.2"},
                 {"eth0", "02:42:ac:11:00:02", "10.1.0.3"},
                 {"eth1", "02:42:ac:11:00:03", "10.2.0.2"}});
          },
          {},
          {0, 1, 2, 3}};
}

Result<NodeConfig> configure(std::vector<std::string> arguments, Environment environment = {},
                             Files files = {}, bool root = true) {
  Surroundings around = surroundings(std::move(environment), std::move(files), root);
  around.resolve = [](const std::string& host) -> Result<std::vector<std::string>> {
    if (host == "localhost") return std::vector<std::string>{"127.0.0.1", "::1"};
    return fail(Code::kUnavailable, "find the address of '" + host + "': unknown");
  };
  TRY_SET(CommandLine line, parse_command_line(std::move(arguments), around.variables));
  return make_config(std::move(line.settings), around);
}

std::string error_of(std::vector<std::string> arguments, Environment environment = {},
                     Files files = {}) {
  auto config = configure(std::move(arguments), std::move(environment), std::move(files));
  return config ? "no error" : config.error().text();
}

const ConfigRow& row(const NodeConfig& config, std::string_view name) {
  const auto found = std::ranges::find(config.rows, name, &ConfigRow::name);
  EXPECT_NE(found, config.rows.end()) << name;
  return *found;
}

TEST(NodeConfig, DefaultsAreThoseOfMayastor) {
  auto config = configure({});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->listen.text(), "[::]:10124");
  EXPECT_TRUE(config->listen_is_default);
  EXPECT_TRUE(config->api_v0 && config->api_v1);
  EXPECT_EQ(config->node_name, "mayastor-node");
  EXPECT_FALSE(config->registration_name || config->registration_uri || config->host_nqn);
  EXPECT_EQ(config->reactors, 1U);
  EXPECT_EQ(config->poll_us, 20);
  EXPECT_EQ(config->state_dir, "/var/lib/capstan");
  EXPECT_EQ(config->log_level, core::LogLevel::kInfo);
  EXPECT_TRUE(config->warnings.empty());
}

TEST(NodeConfig, AddressInEverySpelling) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"10.0.0.1"}, "10.0.0.1:10124"},
      {{"10.0.0.1", "5000"}, "10.0.0.1:5000"},
      {{"--grpc-ip", "10.0.0.1", "--grpc-port", "5000"}, "10.0.0.1:5000"},
      {{"--grpc-ip=10.0.0.1", "--grpc-port=5000"}, "10.0.0.1:5000"},
      {{"--grpc-port", "5000"}, "[::]:5000"},
      {{"-g", "127.0.0.1"}, "127.0.0.1:10124"},
      {{"-g", "127.0.0.1:0"}, "127.0.0.1:0"},
      {{"-g127.0.0.1:7"}, "127.0.0.1:7"},
      {{"--grpc-endpoint", "[::1]:5000"}, "[::1]:5000"},
      {{"-g", "127.0.0.1:1", "--grpc-port", "2", "--grpc-ip", "::"}, "127.0.0.1:1"},
      {{"-N", "n1", "10.0.0.1", "-R", "http://c:50051", "5000"}, "10.0.0.1:5000"},
  };
  for (const auto& [arguments, expected] : cases) {
    auto config = configure(arguments);
    ASSERT_TRUE(config) << expected << ": " << config.error().text();
    EXPECT_EQ(config->listen.text(), expected);
  }
}

TEST(NodeConfig, ErrorsNameOptionValueAndRemedy) {
  const std::tuple<std::vector<std::string>, const char*, const char*, const char*> cases[] = {
      {{"--grpc-port", "x"}, "--grpc-port", "'x'", "between 0 and 65535"},
      {{"--grpc-port", "65536"}, "--grpc-port", "'65536'", "between 0 and 65535"},
      {{"--grpc-ip", "localhost"}, "--grpc-ip", "'localhost'", "IPv4 or IPv6 address"},
      {{"-g", "::"}, "-g", "'::'", "[::]:10124"},
      {{"-g", "10.0.0.1:port"}, "-g", "port is no number", "127.0.0.1:10124"},
      {{"-F", "compact,bold"}, "-F", "Bad log format option: 'bold'", "[no]color"},
      {{"-m", "0xg"}, "-m", "'0xg'", "0x3 for cores 0 and 1"},
      {{"-m", "0x0"}, "-m", "names no core", "at least core 0"},
      {{"-l", "3-1"}, "-l", "'3-1'", "0,2-4"},
      {{"--reactors", "65"}, "--reactors", "'65'", "between 1 and 64"},
      {{"--ps-timeout", "10"}, "--ps-timeout", "'10'", "as in 10s"},
      {{"--ps-retries", "256"}, "--ps-retries", "'256'", "between 0 and 255"},
      {{"--tgt-crdt", "101"}, "--tgt-crdt", "'101'", "up to 100"},
      {{"--tgt-crdt", "1,2"}, "--tgt-crdt", "'1,2'", "one or three"},
      {{"-s", "1XB"}, "-s", "'1XB'", "1.5GiB"},
      {{"--access", "uid:x=read"}, "--access", "'x'", "numeric id"},
      {{"--access", "any=all", "--access", "root=all"}, "--access", "'root'", "uid:N"},
      {{"--api-versions", "v2"}, "--api-versions", "'V2'", "V0,V1"},
      {{"-N", ""}, "-N", "empty", "leave -N out"},
      {{"-R", ""}, "-R", "empty", "http://10.1.1.1:50051"},
      {{"-d", "17"}, "-d", "stacks", "gdb -p 17"},
      {{"--tls-cert", "/c"}, "--tls-key", "--tls-cert", "Give both"},
      {{"--tls-key", "/k"}, "--tls-key", "--tls-cert", "Give both"},
      {{"--tls-client-ca", "/a"}, "--tls-client-ca", "encrypted", "--tls-cert"},
      {{"--tls-cert", "/c", "--tls-key", "/k"}, "--tls-cert", "open '/c'", "/c"},
  };
  for (const auto& [arguments, option, value, remedy] : cases) {
    const std::string text = error_of(arguments);
    EXPECT_NE(text.find(option), std::string::npos) << text;
    EXPECT_NE(text.find(value), std::string::npos) << text;
    EXPECT_NE(text.find(remedy), std::string::npos) << text;
  }
  EXPECT_NE(error_of({"--no-such-flag"}).find("--no-such-flag"), std::string::npos);
  EXPECT_NE(error_of({"1.2.3.4", "5", "6"}), "no error");
}

TEST(NodeConfig, TheAgeOfConnectionsIsBoundedOnlyWhenAsked) {
  EXPECT_EQ(configure({})->grpc_max_age, 0U);
  EXPECT_EQ(configure({"--grpc-max-connection-age", "5m"})->grpc_max_age, 300 * core::kSecond);
  EXPECT_EQ(configure({"--grpc-max-connection-age", "1ms"})->grpc_max_age, core::kSecond);
  EXPECT_NE(error_of({"--grpc-max-connection-age", "5"}), "no error");
}

TEST(NodeConfig, TheControlPlaneIsAnAddress) {
  for (const char* uri :
       {"http://10.1.1.1:50051", "https://agents", "http://[fe80::1]:50051", "http://a.b-c/"}) {
    EXPECT_EQ(error_of({"-R", uri}), "no error") << uri;
  }
  for (const char* uri : {"nonsense", "http://", "http://:50051", "10.1.1.1:50051", "ftp://a:1",
                          "http://a:", "http://a:0", "http://a:65536", "http://a:x", "http://a b",
                          "http://[::1:50051", "http:///path"}) {
    const std::string text = error_of({"-R", uri});
    EXPECT_NE(text.find("option -R: '" + std::string(uri) + "'"), std::string::npos) << text;
    EXPECT_NE(text.find("http://10.1.1.1:50051"), std::string::npos) << text;
  }
}

TEST(NodeConfig, SwitchesInTheEnvironmentAcceptFourWordsOnly) {
  for (const char* name : {"ENABLE_LVM", "ENABLE_SNAPSHOT_REBUILD", "ENABLE_RDMA", "MAYASTOR_DELAY",
                           "ENABLE_BS_CLUSTER_UNMAP"}) {
    const std::string text = error_of({}, {{name, "yes"}});
    EXPECT_NE(text.find("Must be one of: 1,true,0,false"), std::string::npos) << text;
    EXPECT_NE(text.find(name), std::string::npos) << text;
  }
  const std::pair<const char*, bool> words[] = {
      {"1", true}, {"true", true}, {"", false}, {"0", false}, {"false", false}};
  for (const auto& [word, on] : words) {
    auto config = configure({}, {{"ENABLE_LVM", word}, {"ENABLE_BS_CLUSTER_UNMAP", word}});
    ASSERT_TRUE(config) << word;
    EXPECT_EQ(config->lvm, on) << word;
  }
}

TEST(NodeConfig, TlsIsCheckedBeforeAnythingIsOpened) {
  const wire::testing::TestAuthority authority("test authority");
  const auto server = authority.issue("node"), other = authority.issue("other");
  const Files files = {{"/cert", server.certificate_pem},
                       {"/key", server.key_pem},
                       {"/other", other.key_pem},
                       {"/ca", authority.pem()},
                       {"/empty", ""}};
  auto plain = configure({"--tls-cert", "/cert", "--tls-key", "/key"}, {}, files);
  ASSERT_TRUE(plain) << plain.error().text();
  EXPECT_TRUE(plain->tls);
  EXPECT_FALSE(configure({}, {}, files)->tls);
  auto variables = configure({"--tls-client-ca", "/ca"},
                             {{"CAPSTAN_TLS_CERT", "/cert"}, {"CAPSTAN_TLS_KEY", "/key"}}, files);
  ASSERT_TRUE(variables) << variables.error().text();
  EXPECT_TRUE(variables->tls);
  const std::tuple<const char*, const char*, const char*> wrong[] = {
      {"/other", "/ca", "key values mismatch"},
      {"/ca", "/ca", "private key cannot be used"},
      {"/key", "/key", "no CA certificate"},
      {"/key", "/empty", "'/empty' is empty"},
  };
  for (const auto& [key, ca, says] : wrong) {
    const std::string text =
        error_of({"--tls-cert", "/cert", "--tls-key", key, "--tls-client-ca", ca}, {}, files);
    EXPECT_NE(text.find(says), std::string::npos) << text;
  }
}

TEST(NodeConfig, FlagsWinOverEnvironmentOverDefault) {
  const Environment environment = {{"API_VERSIONS", "v1"}, {"CAPSTAN_STATE_DIR", "/env"}};
  auto plain = configure({}, environment);
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->api_v0);
  EXPECT_EQ(plain->state_dir, "/env");
  EXPECT_EQ(row(*plain, "state-dir").source, Source::kEnvironment);
  EXPECT_EQ(row(*plain, "grpc-port").source, Source::kDefault);

  auto flags = configure({"--api-versions", "V0", "--state-dir", "/flag"}, environment);
  ASSERT_TRUE(flags);
  EXPECT_TRUE(flags->api_v0);
  EXPECT_FALSE(flags->api_v1);
  EXPECT_EQ(flags->state_dir, "/flag");
  EXPECT_EQ(row(*flags, "state-dir").source, Source::kFlag);
  EXPECT_EQ(row(*flags, "state-dir").value, "/flag");
}

TEST(NodeConfig, Muxio) {
  const auto plain = configure({});
  ASSERT_TRUE(plain) << plain.error().text();
  EXPECT_TRUE(plain->ws_origins.empty());
  EXPECT_EQ(plain->muxio_header_bytes, 0U);
  EXPECT_EQ(plain->muxio_timeout_ns, 0U);
  EXPECT_EQ(plain->muxio_request_bytes, 256U << 20);
  const auto given =
      configure({"--ws-origin", "https://a.example", "--ws-origin", "*", "--muxio-frame-header",
                 "13", "--muxio-client-timeout", "15s", "--muxio-max-request", "16"});
  ASSERT_TRUE(given) << given.error().text();
  EXPECT_EQ(given->ws_origins, (std::vector<std::string>{"https://a.example", "*"}));
  EXPECT_EQ(given->muxio_header_bytes, 13U);
  EXPECT_EQ(given->muxio_timeout_ns, 15'000'000'000U);
  EXPECT_EQ(given->muxio_request_bytes, 16U << 20);
  const auto variable = configure({}, {{"CAPSTAN_WS_ORIGIN", "https://a.example,null"}});
  ASSERT_TRUE(variable) << variable.error().text();
  EXPECT_EQ(variable->ws_origins.size(), 2U);
  EXPECT_FALSE(configure({"--ws-origin", "a.example"}));
  EXPECT_FALSE(configure({"--muxio-frame-header", "20"}));
  EXPECT_FALSE(configure({"--muxio-max-request", "0"}));
}

TEST(NodeConfig, PagesOfOtherOrigins) {
  auto good = configure({"--cors-header", "X-Request-Id", "--cors-origin", "https://a.b:1"});
  ASSERT_TRUE(good) << good.error().text();
  EXPECT_EQ(good->http.cors.headers, (std::vector<std::string>{"X-Request-Id"}));
  for (const char* header : {"Bad:Header", "Two Words", "a\r\nb", "\xC3\xBC", "a/b"}) {
    const std::string text = error_of({"--cors-header", header});
    EXPECT_NE(text.find("option --cors-header: '"), std::string::npos) << text;
  }
  for (const char* origin : {"a b", "https://a\r\nx: y"}) {
    const std::string text = error_of({"--cors-origin", origin});
    EXPECT_NE(text.find("option --cors-origin: '"), std::string::npos) << text;
  }
}

TEST(NodeConfig, FurtherHttpAddresses) {
  EXPECT_TRUE(configure({})->http_listen.empty());
  auto flags = configure({"--http-listen", "[::1]:8080", "--http-listen", "unix:/run/x.sock"});
  ASSERT_TRUE(flags) << flags.error().text();
  ASSERT_EQ(flags->http_listen.size(), 2U);
  EXPECT_EQ(flags->http_listen[0].text(), "[::1]:8080");
  EXPECT_EQ(flags->http_listen[1].path, "/run/x.sock");
  auto variable = configure({}, {{"CAPSTAN_HTTP_LISTEN", "127.0.0.1:0,127.0.0.1:0"}});
  ASSERT_TRUE(variable) << variable.error().text();
  EXPECT_EQ(variable->http_listen.size(), 2U);
  auto name = configure({"--http-listen", "localhost:8080"});
  ASSERT_TRUE(name) << name.error().text();
  ASSERT_EQ(name->http_listen.size(), 2U);
  EXPECT_EQ(name->http_listen[0].text(), "127.0.0.1:8080");
  EXPECT_EQ(name->http_listen[1].text(), "[::1]:8080");
  for (const auto& [value, says] :
       std::map<std::string, std::string>{{"127.0.0.1", "names no port"},
                                          {"localhost:1,127.0.0.1:1", "given twice"},
                                          {"nobody.example:1", "unknown"},
                                          {"::1:80", "is no endpoint"},
                                          {"localhost", "is no endpoint"},
                                          {"1.2.3.x4/:5", "is no endpoint"},
                                          {"node.example:x", "is no endpoint"},
                                          {"unix:", "0 bytes"},
                                          {"1.2.3.4:5,1.2.3.4:5", "given twice"},
                                          {"unix:/x,unix:/x", "given twice"}}) {
    const std::string text = error_of({"--http-listen", value});
    EXPECT_NE(text.find(says), std::string::npos) << text;
    EXPECT_NE(text.find("--http-listen"), std::string::npos) << text;
  }
}

TEST(NodeConfig, SendsWithoutACopyAsMayastorsSocketOptionsSay) {
  EXPECT_EQ(configure({})->zero_copy_bytes, limits::kZeroCopySendBytes);
  EXPECT_EQ(configure({}, {{"SOCK_ZEROCOPY_SEND_SERVER", "0"}})->zero_copy_bytes, SIZE_MAX);
  EXPECT_EQ(configure({}, {{"SOCK_ZEROCOPY_SEND_SERVER", "1"}})->zero_copy_bytes,
            limits::kZeroCopySendBytes);
  const auto from_file = [](const std::string& options) {
    return configure({"-y", "/file"}, {}, {{"/file", "socket_opts:\n" + options}})->zero_copy_bytes;
  };
  EXPECT_EQ(from_file("  zerocopy_threshold: 65536\n"), 65'536U);
  EXPECT_EQ(from_file("  enable_zero_copy_send: false\n"), SIZE_MAX);
  EXPECT_EQ(from_file("  zerocopy_threshold: 65536\n  enable_zerocopy_send_server: false\n"),
            SIZE_MAX);
}

TEST(NodeConfig, LimitsOfHttpConnections) {
  const auto usual = configure({});
  ASSERT_TRUE(usual) << usual.error().text();
  EXPECT_EQ(usual->http.session.head.line_bytes, 8192U);
  EXPECT_EQ(usual->http.session.head.head_bytes, 65536U);
  EXPECT_EQ(usual->http.session.header, 30 * core::kSecond);
  EXPECT_EQ(usual->http.session.idle, 120 * core::kSecond);
  EXPECT_TRUE(usual->http.session.close_after_chunked);
  const auto other =
      configure({"--rest-max-line", "600", "--rest-max-head", "2000", "--rest-head-timeout", "5s",
                 "--rest-idle-timeout", "1m", "--rest-keep-after-chunks"});
  ASSERT_TRUE(other) << other.error().text();
  EXPECT_EQ(other->http.session.head.line_bytes, 600U);
  EXPECT_EQ(other->http.session.head.head_bytes, 2000U);
  EXPECT_EQ(other->http.session.header, 5 * core::kSecond);
  EXPECT_EQ(other->http.session.idle, 60 * core::kSecond);
  EXPECT_FALSE(other->http.session.close_after_chunked);
  EXPECT_NE(error_of({"--rest-max-head", "4096"}).find("--rest-max-head"), std::string::npos);
}

TEST(NodeConfig, AccessRulesFromFlagsOrTheEnvironment) {
  EXPECT_TRUE(configure({})->access.empty());
  auto flags = configure({"--access", "uid:7=all", "--access", "any=none"});
  ASSERT_TRUE(flags) << flags.error().text();
  ASSERT_EQ(flags->access.size(), 2U);
  EXPECT_EQ(flags->access[0].id, 7U);
  auto variable = configure({}, {{"CAPSTAN_ACCESS", "uid:7=all,any=none"}});
  ASSERT_TRUE(variable) << variable.error().text();
  EXPECT_EQ(variable->access.size(), 2U);
  EXPECT_EQ(configure({"--access", "tcp=read"}, {{"CAPSTAN_ACCESS", "uid:7=all,any=none"}})
                ->access.size(),
            1U);
}

TEST(NodeConfig, DrpcSocketBesideTheOtherOne) {
  EXPECT_EQ(configure({})->drpc_socket, "/var/tmp/mayastor-drpc.sock");
  EXPECT_EQ(configure({"-r", "/run/a.sock"})->drpc_socket, "/run/a-drpc.sock");
  EXPECT_EQ(configure({"-r", "/run/a"})->drpc_socket, "/run/a-drpc");
  auto given = configure({"-r", "/run/a.sock", "--drpc-socket", "/run/b", "--drpc-hello"});
  EXPECT_EQ(given->drpc_socket, "/run/b");
  EXPECT_TRUE(given->drpc_hello);
  EXPECT_EQ(row(*configure({}), "drpc-socket").value, "/var/tmp/mayastor-drpc.sock");
  EXPECT_EQ(configure({}, {{"CAPSTAN_DRPC_SOCKET", "/run/c"}})->drpc_socket, "/run/c");
}

TEST(NodeConfig, JsonRpcOptions) {
  const auto plain = configure({});
  EXPECT_EQ(plain->rpc_socket, "/var/tmp/mayastor.sock");
  EXPECT_FALSE(plain->wait_for_rpc);
  EXPECT_TRUE(plain->rpcs_allowed.empty());
  const auto given = configure({"--rpc-socket", "/run/a.sock", "--wait-for-rpc", "--rpcs-allowed",
                                "b,a", "--rpcs-allowed", "c"});
  ASSERT_TRUE(given) << given.error().text();
  EXPECT_EQ(given->rpc_socket, "/run/a.sock");
  EXPECT_TRUE(given->wait_for_rpc);
  EXPECT_EQ(given->rpcs_allowed, (std::set<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(configure({"-r", "/" + std::string(106, 'x')}));
  EXPECT_NE(configure({"-r", "/" + std::string(107, 'x')}).error().text().find("107"),
            std::string::npos);
  EXPECT_FALSE(configure({"--rpcs-allowed", ","}));
  EXPECT_EQ(plain->rpc_connections, limits::kJsonRpcConnections);
  EXPECT_EQ(configure({"--rpc-connections", "1000"})->rpc_connections, 1000U);
  EXPECT_FALSE(configure({"--rpc-connections", "0"}));
}

TEST(NodeConfig, NameAndStateDirectoryRules) {
  EXPECT_EQ(configure({}, {{"HOSTNAME", "h"}})->node_name, "h");
  EXPECT_FALSE(configure({}, {{"HOSTNAME", "h"}})->registration_name);
  auto named = configure({"-N", "n"}, {{"HOSTNAME", "h"}});
  EXPECT_EQ(named->node_name, "n");
  EXPECT_EQ(named->registration_name, "n");
  EXPECT_EQ(configure({}, {{"XDG_STATE_HOME", "/x"}}, {}, false)->state_dir, "/x/capstan");
  EXPECT_EQ(configure({}, {{"HOME", "/h"}}, {}, false)->state_dir, "/h/.local/state/capstan");
  auto nowhere = configure({}, {}, {}, false);
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().text().find("--state-dir"), std::string::npos);
}

// Reactors stay on the CPUs that somebody named, if the process may use all of them.
TEST(NodeConfig, TheNameTowardTargetsIsCheckedAtStart) {
  const std::string good = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";
  const auto config = configure({}, {{"HOSTNQN", good}});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->host_nqn, good);
  const std::string error = error_of({}, {{"HOSTNQN", "bad"}});
  EXPECT_NE(error.find("HOSTNQN: 'bad' is no NQN"), std::string::npos) << error;
  EXPECT_EQ(config->initiator_nqn, good);
  const std::string of = "nqn.2019-05.io.openebs:node-name:";
  EXPECT_EQ(configure({}, {{"HOSTNAME", "h"}})->initiator_nqn, of + "h");
  EXPECT_EQ(configure({"-N", "n"}, {{"HOSTNAME", "h"}})->initiator_nqn, of + "n");
  EXPECT_EQ(configure({})->initiator_nqn, "");
  for (const std::string& name : {std::string("a b"), std::string("\xFF"), std::string(224, 'n')}) {
    const auto unnamed = configure({}, {{"HOSTNAME", name}});
    ASSERT_TRUE(unnamed) << unnamed.error().text();
    EXPECT_EQ(unnamed->initiator_nqn, "");
    ASSERT_FALSE(unnamed->warnings.empty());
    EXPECT_NE(unnamed->warnings.back().find("no NQN can be made"), std::string::npos);
  }
}

TEST(NodeConfig, CpusOfTheReactors) {
  using Cpus = std::vector<unsigned>;
  struct Case {
    std::vector<std::string> arguments;
    Cpus cpus;
    std::string warning;
  };
  const Case cases[] = {
      {{}, {}, ""},
      {{"-m", "0x9"}, {0, 3}, ""},
      {{"-m", "0x0000000000000000000000000000000000000001"}, {0}, ""},
      {{"-l", "3,1"}, {1, 3}, ""},
      {{"-m", "0x1", "-l", "0-2"}, {0, 1, 2}, ""},
      {{"-l", "1-3", "--reactors", "2"}, {}, ""},
      {{"-l", "3,4"}, {}, "-l names CPU 4"},
      {{"-m", "0x10"}, {}, "-m names CPU 4"},
  };
  for (const Case& one : cases) {
    const auto config = configure(one.arguments);
    ASSERT_TRUE(config) << config.error().text();
    EXPECT_EQ(config->cpus, one.cpus) << testing::PrintToString(one.arguments);
    EXPECT_EQ(config->cpus_allowed, (Cpus{0, 1, 2, 3}));
    const auto& warnings = config->warnings;
    const bool warned = !one.warning.empty();
    EXPECT_EQ(std::ranges::count_if(warnings, [](const auto& w) { return w.contains(" CPU "); }),
              warned ? 1 : 0);
    if (warned) EXPECT_TRUE(warnings.back().starts_with(one.warning)) << warnings.back();
  }
  EXPECT_FALSE(configure({"-m", "0x1" + std::string(300, '0')}));
}

TEST(NodeConfig, CoresLogsAndUnits) {
  EXPECT_EQ(configure({"-m", "0x7"})->reactors, 3U);
  EXPECT_EQ(configure({"-m", "f"})->reactors, 4U);
  EXPECT_EQ(configure({"-m", "[0,2-3]"})->reactors, 3U);
  EXPECT_EQ(configure({"-m", "0x7", "-l", "0,2-4"})->reactors, 4U);
  EXPECT_EQ(configure({"-m", "0x7", "--reactors", "2"})->reactors, 2U);
  EXPECT_EQ(configure({"--poll-us", "-1"})->poll_us, -1);
  auto format = configure({"-F", "json,nodate,host", "-L", "a", "-L", "b", "1.2.3.4"});
  ASSERT_TRUE(format) << format.error().text();
  EXPECT_EQ(format->log_format.style, core::LogFormat::Style::kJson);
  EXPECT_FALSE(format->log_format.date);
  EXPECT_TRUE(format->log_format.host);
  EXPECT_EQ(format->log_level, core::LogLevel::kTrace);
  EXPECT_EQ(format->listen.host, "1.2.3.4");
  EXPECT_EQ(row(*format, "log-components").value, "a,b");
  EXPECT_EQ(configure({"-L", "a"}, {{"RUST_LOG", "x=trace,warn"}})->log_level,
            core::LogLevel::kWarn);
  EXPECT_EQ(row(*configure({"-s", "1GiB"}), "huge-limit").value, "1024");
  EXPECT_EQ(row(*configure({"-s", "512"}), "huge-limit").value, "512");
  EXPECT_EQ(row(*configure({"--ps-timeout", "2m"}), "ps-timeout").value, "1m");
  EXPECT_EQ(row(*configure({"--ps-timeout", "1ms"}), "ps-timeout").value, "1s");
}

TEST(NodeConfig, MayastorDeploymentCommandLineIsAccepted) {
  auto config = configure({"-g",
                           "10.1.1.1",
                           "-N",
                           "node-1",
                           "-Rhttp://10.1.0.1:50051",
                           "-y",
                           "/etc/c.yaml",
                           "-l",
                           "1,2",
                           "-p",
                           "etcd",
                           "--ptpl-dir=/var/ptpl",
                           "--api-versions=V1",
                           "--tgt-crdt=30",
                           "--events-url=nats://e",
                           "-u",
                           "-s",
                           "0",
                           "-T",
                           "name:eth0",
                           "--bdev-pool-size",
                           "70000",
                           "--reactor-freeze-detection",
                           "--skip-sig-handler",
                           "--huge-dir",
                           "/h",
                           "-r",
                           "/tmp/m.sock",
                           "--enable-io-all-thrd-nexus-channels"});
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->registration_uri, "http://10.1.0.1:50051");
  EXPECT_EQ(config->ptpl_dir, "/var/ptpl");
  EXPECT_EQ(config->shares.address, "10.1.0.2");
  EXPECT_EQ(config->engine.at("nvmf_tgt_conf.crdt").text, "[30, 0, 0]");
  EXPECT_EQ(row(*config, "rpc-socket").value, "/tmp/m.sock");
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_NE(config->warnings[0].find("without effect here: "), std::string::npos);
  EXPECT_NE(config->warnings[0].find("persistent-store"), std::string::npos);
  EXPECT_EQ(config->warnings[0].find("node-name"), std::string::npos);
}

// io-engine-behaviour section 17.1.
TEST(NodeConfig, AddressOfTheNvmeTarget) {
  const auto address = [](std::vector<std::string> arguments, Environment environment = {}) {
    const auto config = configure(std::move(arguments), std::move(environment));
    return config ? config->shares.address : config.error().text();
  };
  EXPECT_EQ(address({}), "127.0.0.1");
  EXPECT_EQ(address({}, {{"MY_POD_IP", "10.9.9.9"}}), "10.9.9.9");
  EXPECT_EQ(address({"-T", "eth1"}, {{"MY_POD_IP", "10.9.9.9"}}), "10.2.0.2");
  EXPECT_EQ(address({"-T", "name:eth1"}), "10.2.0.2");
  EXPECT_EQ(address({"-T", "mac:02:42:AC:11:00:03"}), "10.2.0.2");
  EXPECT_EQ(address({"-T", "ip:10.1.0.3"}), "10.1.0.3");
  EXPECT_EQ(address({"-T", "subnet:10.2.0.0/16"}), "10.2.0.2");
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"nosuch", "matches no interface"},
           {"subnet:10.0.0.0/8", "matches several interfaces (eth0, eth1)"},
           {"subnet:10.0.0.0/33", "has no subnet"},
           {"ip:here", "has no IPv4 address"},
           {"pci:1", "is not accepted"}}) {
    EXPECT_NE(address({"-T", text}).find("option -T: '" + text + "' " + why), std::string::npos)
        << address({"-T", text});
  }
  EXPECT_NE(address({}, {{"MY_POD_IP", "me"}}).find("'me' is no IPv4 address"), std::string::npos);
}

// `interface` in the file of -y wins over -T, NVMF_TGT_IFACE and MY_POD_IP; errors name the place.
TEST(NodeConfig, TheInterfaceOfTheFileWins) {
  const auto address = [](const std::string& interface, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-y", "/c.yaml"});
    const auto config =
        configure(std::move(arguments), {{"MY_POD_IP", "10.9.9.9"}, {"NVMF_TGT_IFACE", "eth0"}},
                  {{"/c.yaml", "nvmf_tgt_conf: {interface: " + interface + "}\n"}});
    return config ? config->shares.address : config.error().text();
  };
  EXPECT_EQ(address("eth1", {"-T", "ip:10.1.0.3"}), "10.2.0.2");
  EXPECT_EQ(address("'ip:10.1.0.3'", {"-T", "eth1"}), "10.1.0.3");
  EXPECT_EQ(address("'mac:02:42:AC:11:00:03'", {}), "10.2.0.2");
  EXPECT_EQ(address("'subnet:10.2.0.0/16'", {}), "10.2.0.2");
  EXPECT_EQ(address("null", {"-T", "eth1"}), "10.2.0.2");
  EXPECT_NE(address("nosuch", {"-T", "eth1"}).find("'nosuch' matches no interface"),
            std::string::npos);
}

// The defaults of the options hid what -y said, and a taken port was always an error.
TEST(NodeConfig, FixedBugPortsOfTheNvmeTarget) {
  const auto shares = [](std::vector<std::string> arguments, Files files = {}) {
    auto config = configure(std::move(arguments), {}, std::move(files));
    EXPECT_TRUE(config) << config.error().text();
    return *std::move(config);
  };
  const NodeConfig plain = shares({});
  EXPECT_EQ(plain.shares.replica_port, 8420);
  EXPECT_EQ(plain.shares.nexus_port, 4421);
  EXPECT_TRUE(plain.shares_are_default);
  const NodeConfig flag = shares({"--nvmf-replica-port", "8420"});
  EXPECT_EQ(flag.shares.replica_port, 8420);
  EXPECT_FALSE(flag.shares_are_default);
  EXPECT_FALSE(shares({"-T", "lo"}).shares_are_default);
  const Files files = {
      {"/c.yaml", "nexus_opts:\n  nvmf_replica_port: 9420\n  nvmf_nexus_port: 5421\n"}};
  const NodeConfig file = shares({"-y", "/c.yaml"}, files);
  EXPECT_EQ(file.shares.replica_port, 9420);
  EXPECT_EQ(file.shares.nexus_port, 5421);
  EXPECT_FALSE(file.shares_are_default);
  EXPECT_EQ(shares({"-y", "/c.yaml", "--nvmf-replica-port=7000"}, files).shares.replica_port, 7000);
}

TEST(NodeConfig, OptionsOfTheNvmeTarget) {
  const auto shares = [](const std::string& file) {
    auto config = configure({"-y", "/c.yaml"}, {}, {{"/c.yaml", file}});
    EXPECT_TRUE(config) << config.error().text();
    return config ? config->shares : services::ShareSettings();
  };
  const services::ShareSettings own;
  const auto exported = configure({});
  ASSERT_TRUE(exported);
  const auto same = shares(exported->engine.yaml());
  EXPECT_EQ(same.sizes, own.sizes);
  EXPECT_EQ(same.subsystems_max, own.subsystems_max);
  EXPECT_TRUE(same.discovery);
  const auto set = shares(
      "nvmf_tgt_conf: {max_namespaces: 2, opts_tcp: {max_queue_depth: 64, max_qpairs_per_ctrl: 4,"
      " in_capsule_data_size: 8192, max_io_size: 65536, max_aq_depth: 48}}\n"
      "nexus_opts: {nvmf_discovery_enable: false}");
  EXPECT_EQ(set.sizes, (storage::nvme::TransportSizes{64, 48, 3, 8192, 65536}));
  EXPECT_EQ(set.subsystems_max, 2U);
  EXPECT_FALSE(set.discovery);
  using Delays = std::array<std::uint16_t, 3>;
  EXPECT_EQ(shares("nvmf_tgt_conf: {crdt: [200, 0, 65535]}").retry_delays, (Delays{200, 0, 65535}));
  const auto alone =
      configure({"-y", "/c.yaml"}, {},  // the admin queue needs one of them
                {{"/c.yaml", "nvmf_tgt_conf: {opts_tcp: {max_qpairs_per_ctrl: 1}}"}});
  ASSERT_FALSE(alone);
  EXPECT_NE(alone.error().text().find("a host needs one"), std::string::npos);
  const auto bad = configure({"-y", "/c.yaml"}, {},
                             {{"/c.yaml", "nvmf_tgt_conf: {opts_tcp: {max_io_size: 4}}"}});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().text().find("power of two from 8192"), std::string::npos);
}

TEST(NodeConfig, OptionsOfRemoteDevices) {
  using storage::nvme::HostOptions;
  using storage::nvme::TimeoutAction;
  const auto remotes = [](const std::string& file) {
    auto config = configure({"-y", "/c.yaml"}, {}, {{"/c.yaml", file}});
    EXPECT_TRUE(config) << config.error().text();
    return config ? config->remotes : HostOptions();
  };
  const HostOptions own;
  // Mayastor's defaults, as in every exported file, change nothing.
  const auto exported = configure({});
  ASSERT_TRUE(exported);
  const HostOptions same = remotes(exported->engine.yaml());
  EXPECT_EQ(same.io_timeout, own.io_timeout);
  EXPECT_EQ(same.retries, own.retries);
  EXPECT_EQ(same.ctrl_loss, own.ctrl_loss);
  const HostOptions set = remotes(
      "nvme_bdev_opts: {action_on_timeout: 2, timeout_us: 7000000, timeout_admin_us: 8000000,"
      " keep_alive_timeout_ms: 20000, bdev_retry_count: -1, ctrlr_loss_timeout_sec: -1,"
      " reconnect_delay_sec: 3, fast_io_fail_timeout_sec: 9}");
  EXPECT_EQ(set.timeout_action, TimeoutAction::kAbort);
  EXPECT_EQ(set.io_timeout, 7 * core::kSecond);
  EXPECT_EQ(set.admin_timeout, 8 * core::kSecond);
  EXPECT_EQ(set.keep_alive_ms, 20'000U);
  EXPECT_EQ(set.retries, UINT32_MAX);
  EXPECT_EQ(set.ctrl_loss, HostOptions::kForever);
  EXPECT_EQ(set.reconnect_delay, 3 * core::kSecond);
  EXPECT_EQ(set.fast_io_fail, 9 * core::kSecond);
  EXPECT_EQ(remotes("nvme_bdev_opts: {action_on_timeout: 0}").io_timeout, 0U);
  const auto patient = configure({}, {{"NVMF_FABRICS_CONNECT_TIMEOUT", "2500000"}});
  ASSERT_TRUE(patient) << patient.error().text();
  EXPECT_EQ(patient->remotes.connect_timeout, 2500 * core::kMillisecond);
  EXPECT_EQ(configure({})->remotes.connect_timeout, own.connect_timeout);
  for (const char* time : {"0", "31536000000001", "9223372036854775807"}) {
    EXPECT_FALSE(configure({}, {{"NVMF_FABRICS_CONNECT_TIMEOUT", time}})) << time;
  }
  const auto bad = configure({"-y", "/c.yaml"}, {},
                             {{"/c.yaml", "nvme_bdev_opts: {ctrlr_loss_timeout_sec: 5}"}});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().text().find("reconnect_delay_sec must be above 0"), std::string::npos);
}

TEST(NodeConfig, HelpAndVersionArePrinted) {
  const Surroundings around = surroundings({});
  auto help = parse_command_line({"--help"}, around.variables);
  ASSERT_TRUE(help && help->print);
  for (const OptionSpec& option : options()) {
    const std::string_view shown = option.flags.empty() ? option.variable : option.help;
    EXPECT_NE(help->print->find(shown.substr(0, 12)), std::string::npos) << option.name;
  }
  EXPECT_NE(help->print->find("Accepted for compatibility"), std::string::npos);
  auto version = parse_command_line({"--version"}, around.variables);
  ASSERT_TRUE(version && version->print);
  EXPECT_TRUE(version->print->starts_with("Capstan io-engine version "));
  EXPECT_NE(version->print->find(", revision "), std::string::npos);
}

TEST(NodeConfig, TableIsConsistent) {
  std::set<std::string_view> names;
  for (const OptionSpec& option : options()) {
    EXPECT_TRUE(names.insert(option.name).second) << option.name;
    EXPECT_FALSE(option.flags.empty() && option.variable.empty()) << option.name;
    EXPECT_FALSE(option.help.empty()) << option.name;
    if (!option.fallback.empty()) {
      EXPECT_TRUE(check_value(option, option.fallback, Source::kDefault)) << option.name;
    }
  }
}

}  // namespace
}  // namespace capstan::apps
