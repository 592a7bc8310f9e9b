// Why this file exists: see config.h.
#include "apps/gateway/config.h"

namespace capstan::gateway {

Result<GatewayConfig> make_config(const apps::Settings& settings,
                                  const apps::Surroundings& surroundings) {
  GatewayConfig config;
  if (!settings.given("node")) {
    return fail(Code::kInvalidArgument,
                "there is no node to answer for. Give --node unix:PATH, where PATH is what the "
                "node got with --gateway-socket");
  }
  if (!settings.text("node").starts_with("unix:")) {
    return fail(Code::kInvalidArgument,
                "option --node: '" + settings.text("node") +
                    "' is no Unix socket; a gateway runs beside its node. Write unix:PATH, where "
                    "PATH is what the node got with --gateway-socket");
  }
  TRY_SET(config.node, apps::named(apps::parse_http_address(settings.text("node")), "--node",
                                   settings.at("node")));
  TRY_SET(config.listen, apps::read_listen_list(settings, surroundings, "listen"));
  if (config.listen.empty()) {
    return fail(Code::kInvalidArgument,
                "there is no address to listen at. Give --listen IP:PORT or unix:PATH");
  }
  config.upstream_timeout = settings.nanos("upstream-timeout");
  if (settings.given("with-parent")) {
    config.parent = static_cast<int>(settings.integer("with-parent"));
  }
  TRY(apps::read_serving(settings, surroundings, config));
  return config;
}

}  // namespace capstan::gateway
