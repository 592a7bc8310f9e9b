// Why this file exists: the table of options (apps/serving/options.h says what for). What a gateway
// shares with a node is declared in apps/serving/serving_options.h; here is whom it asks.
#include "apps/gateway/options.h"

#include <utility>

#include "apps/serving/serving_options.h"

namespace capstan::gateway {

namespace {

using apps::OptionSpec;
using enum apps::OptionType;
using enum apps::OptionUse;

constexpr OptionSpec kOwn[] = {
    {"node", "--node", "CAPSTAN_GATEWAY_NODE", kText, "unix:PATH", "", 0, 0, kActs, true,
     "The node's socket for gateways (--gateway-socket of io-engine)"},
    {"listen", "--listen", "CAPSTAN_GATEWAY_LISTEN", kList, "ADDRESS", "", 0, 0, kActs, true,
     "Where to listen, for HTTP, gRPC and WebSockets: IP:PORT, HOST:PORT or unix:PATH (mode "
     "0600); repeatable"},
    {"upstream-timeout", "--upstream-timeout", "CAPSTAN_GATEWAY_UPSTREAM_TIMEOUT", kDuration,
     "DURATION", "300s", 0, 86'400'000, kActs, true,
     "How long the node may take until its answer begins; 0s: for ever. Endless answers may "
     "always"},
    {"with-parent", "--with-parent", "", kInteger, "PID", "", 1, INT32_MAX, kActs, true,
     "End when process PID ends, which has started this one, as nodes start gateways"},
};

constexpr auto kOptions =
    apps::joined_options(kOwn, apps::serving_options::kTls, apps::serving_options::kHttp,
                         apps::serving_options::kGate, apps::serving_options::kLog);

constexpr apps::Program kProgram = {"capstan-gateway", "Capstan gateway",
                                    "answers a node's readers and passes everything else on to it",
                                    kOptions, ""};

}  // namespace

std::span<const OptionSpec> options() {
  return kOptions;
}

Result<apps::CommandLine> parse_command_line(std::vector<std::string> arguments,
                                             const apps::Variables& variables) {
  return apps::parse_command_line(kProgram, std::move(arguments), variables);
}

}  // namespace capstan::gateway
