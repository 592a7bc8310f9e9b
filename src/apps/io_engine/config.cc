// Why this file exists: see config.h.
#include "apps/io_engine/config.h"

#include <algorithm>
#include <cctype>

#include "apps/io_engine/config_shares.h"
#include "apps/io_engine/config_stores.h"
#include "base/limits.h"
#include "wire/websocket/websocket_handshake.h"

namespace capstan::apps {
namespace {

// "option -m" or "environment variable X" or "<file>, eal_opts.reactor_mask" before a message.
template <class T>
Result<T> named(Result<T> result, std::string_view option, const Setting& setting) {
  if (result) return result;
  std::string from = "option " + std::string(option);
  if (setting.source == Source::kEnvironment) from = "environment variable for " + from;
  if (setting.source == Source::kFile) from = "configuration file, value of " + from;
  return std::unexpected(std::move(result).error().within(std::move(from)));
}

Result<void> read_listen(const Settings& settings, NodeConfig& config) {
  const auto port = static_cast<std::uint16_t>(settings.integer("grpc-port"));
  config.listen = core::Address::tcp(settings.text("grpc-ip"), port);
  config.listen_is_default = settings.at("grpc-ip").source == Source::kDefault;
  if (settings.given("grpc-endpoint")) {
    const Setting& setting = settings.at("grpc-endpoint");
    TRY_SET(config.listen, named(parse_endpoint(setting.text(), 10124), "-g", setting));
    config.listen_is_default = false;
  }
  if (settings.given("grpc-max-age")) config.grpc_max_age = settings.nanos("grpc-max-age");
  return {};
}

Result<void> read_http_listen(const Settings& settings, NodeConfig& config) {
  const Setting& setting = settings.at("http-listen");
  if (setting.values.empty()) return {};
  const std::string text = setting.text();  // joined by commas, as the variable has them
  std::set<std::string> known;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    TRY_SET(core::Address address,
            named(parse_http_address(rest.substr(0, comma)), "--http-listen", setting));
    const bool any_port = address.kind == core::Address::Kind::kTcp && address.port == 0;
    if (!any_port && !known.insert(address.text()).second) {
      return fail(Code::kInvalidArgument,
                  "option --http-listen: '" + address.text() + "' is given twice. Leave one out");
    }
    config.http_listen.push_back(std::move(address));
    if (comma == std::string_view::npos) return {};
    rest = rest.substr(comma + 1);
  }
}

Result<std::string> read_pem(const Surroundings& surroundings, const Settings& settings,
                             std::string_view name) {
  if (!settings.given(name)) return std::string();
  auto text = surroundings.read_file(settings.text(name));
  return named(std::move(text), "--" + std::string(name), settings.at(name));
}

Result<void> read_tls(const Surroundings& surroundings, const Settings& settings,
                      NodeConfig& config) {
  if (settings.given("tls-cert") != settings.given("tls-key")) {
    return fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together. Give both");
  }
  if (!settings.given("tls-cert")) {
    if (!settings.given("tls-client-ca")) return {};
    return fail(Code::kInvalidArgument,
                "--tls-client-ca needs an encrypted server. Give --tls-cert and --tls-key too");
  }
  config.tls_files = {settings.text("tls-cert"), settings.text("tls-key"),
                      settings.given("tls-client-ca") ? settings.text("tls-client-ca") : ""};
  wire::TlsServerConfig tls;
  tls.http1 = true;  // WebSockets come to the same port
  TRY_SET(tls.certificate_pem, read_pem(surroundings, settings, "tls-cert"));
  TRY_SET(tls.private_key_pem, read_pem(surroundings, settings, "tls-key"));
  TRY_SET(tls.client_ca_pem, read_pem(surroundings, settings, "tls-client-ca"));
  // An empty file must not turn the check of clients off.
  if (settings.given("tls-client-ca") && tls.client_ca_pem.empty()) {
    return fail(Code::kInvalidArgument,
                "option --tls-client-ca: '" + settings.text("tls-client-ca") + "' is empty");
  }
  auto context = wire::TlsContext::server(tls);
  if (!context) {
    return std::unexpected(
        std::move(context).error().within("options --tls-cert, --tls-key and --tls-client-ca"));
  }
  config.tls = *std::move(context);
  return {};
}

Result<void> read_api_versions(const Settings& settings, NodeConfig& config) {
  config.api_v0 = config.api_v1 = false;
  std::string text = settings.text("api-versions");
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string_view rest = text;
  while (true) {
    const auto comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    if (one != "V0" && one != "V1") {
      return fail(Code::kInvalidArgument, "option --api-versions: '" + std::string(one) +
                                              "' is not accepted. Give V0, V1 or V0,V1");
    }
    (one == "V0" ? config.api_v0 : config.api_v1) = true;
    if (comma == std::string_view::npos) return {};
    rest = rest.substr(comma + 1);
  }
}

Result<void> read_json_rpc(const Settings& settings, NodeConfig& config) {
  config.rpc_socket = settings.text("rpc-socket");
  if (config.rpc_socket.empty() || config.rpc_socket.size() > core::kSocketPathBytesMax) {
    return fail(Code::kInvalidArgument, "option -r: '" + config.rpc_socket + "' has " +
                                            std::to_string(config.rpc_socket.size()) +
                                            " bytes. The path of a socket has 1 to " +
                                            std::to_string(core::kSocketPathBytesMax));
  }
  config.wait_for_rpc = settings.on("wait-for-rpc");
  config.rpc_connections = static_cast<std::size_t>(settings.integer("rpc-connections"));
  const std::string names = settings.text("rpcs-allowed");
  for (std::string_view rest = names; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (comma != 0) config.rpcs_allowed.emplace(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (settings.given("rpcs-allowed") && config.rpcs_allowed.empty()) {
    return fail(Code::kInvalidArgument,
                "option --rpcs-allowed: it names no method. Name at least one, or leave it out");
  }
  return {};
}

Result<void> read_access(const Settings& settings, NodeConfig& config) {
  const Setting& setting = settings.at("access");
  if (setting.values.empty()) return {};
  // Rules joined by commas, as the variable has them.
  TRY_SET(config.access, named(rpc::AccessRule::parse_list(setting.text()), "--access", setting));
  return {};
}

// Beside the JSON-RPC socket, which is a node's own where several run on one machine.
std::string default_drpc_socket(std::string path) {
  constexpr std::string_view kEnding = ".sock";
  const bool ending = path.ends_with(kEnding);
  if (ending) path.resize(path.size() - kEnding.size());
  path += "-drpc";
  if (ending) path += kEnding;
  return path;
}

void read_drpc(Settings& settings, NodeConfig& config) {
  if (!settings.given("drpc-socket")) {
    settings.set("drpc-socket", default_drpc_socket(settings.text("rpc-socket")), Source::kDefault);
  }
  config.drpc_socket = settings.text("drpc-socket");
  config.drpc_hello = settings.on("drpc-hello");
}

Result<void> read_muxio(const Settings& settings, NodeConfig& config) {
  if (!settings.text("muxio-socket").empty()) config.muxio_socket = settings.text("muxio-socket");
  const Setting& origins = settings.at("ws-origin");
  const std::string listed = origins.text();  // joined by commas, as the variable has them
  for (std::string_view rest = listed; !rest.empty();) {
    const std::string_view origin = rest.substr(0, rest.find(','));
    TRY(named(wire::websocket_check_origin(origin), "--ws-origin", origins));
    config.ws_origins.emplace_back(origin);
    rest.remove_prefix(std::min(rest.size(), origin.size() + 1));
  }
  const std::string header = settings.text("muxio-header");
  if (header != "auto" && header != "21" && header != "13") {
    return fail(Code::kInvalidArgument,
                "option --muxio-frame-header: '" + header + "' is none of auto, 21 and 13");
  }
  config.muxio_header_bytes = header == "auto" ? 0 : header == "21" ? 21 : 13;
  config.muxio_timeout_ns = settings.nanos("muxio-timeout");
  config.muxio_request_bytes = static_cast<std::uint64_t>(settings.integer("muxio-request")) << 20;
  return {};
}

// eal_opts of the configuration file win over the flags.
void apply_file(const EngineConfig& engine, Settings& settings) {
  const std::pair<const char*, const char*> wins[] = {
      {"eal_opts.reactor_mask", "core-mask"},
      {"eal_opts.core_list", "core-list"},
      {"eal_opts.developer_delay", "developer-delay"},
      {"nvmf_tgt_conf.interface", "tgt-iface"},
  };
  for (const auto& [path, option] : wins) {
    if (!engine.is_null(path)) settings.set(option, engine.at(path).text, Source::kFile);
  }
}

Result<void> read_cores(const Settings& settings, NodeConfig& config) {
  TRY_SET(config.reactors,
          named(count_mask(settings.text("core-mask")), "-m", settings.at("core-mask")));
  if (settings.given("core-list")) {
    TRY_SET(config.reactors,
            named(count_list(settings.text("core-list")), "-l", settings.at("core-list")));
  }
  if (settings.given("reactors")) {
    config.reactors = static_cast<unsigned>(settings.integer("reactors"));
  }
  config.poll_us = static_cast<int>(settings.integer("poll-us"));
  return {};
}

// RUST_LOG is a list of "level" and "module=level"; the last bare level counts here.
Result<void> read_log(const Settings& settings, NodeConfig& config) {
  TRY_SET(config.log_format,
          named(parse_log_format(settings.text("log-format")), "-F", settings.at("log-format")));
  if (settings.given("log-components")) config.log_level = core::LogLevel::kTrace;
  std::string_view rest;
  const std::string text = settings.text("log-level");
  for (rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    std::string word(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
    if (word == "trace")
      config.log_level = core::LogLevel::kTrace;
    else if (word == "debug")
      config.log_level = core::LogLevel::kDebug;
    else if (word == "info")
      config.log_level = core::LogLevel::kInfo;
    else if (word == "warn")
      config.log_level = core::LogLevel::kWarn;
    else if (word == "error" || word == "off")
      config.log_level = core::LogLevel::kError;
    else if (word.find('=') == std::string::npos) {
      config.warnings.push_back("RUST_LOG: '" + word + "' is no log level and is ignored");
    }
  }
  return {};
}

Result<void> check_not_empty(const Settings& settings, std::string_view name, std::string_view flag,
                             std::string_view remedy) {
  if (!settings.given(name) || !settings.text(name).empty()) return {};
  return fail(
      Code::kInvalidArgument,
      "option " + std::string(flag) + ": an empty value is not accepted. " + std::string(remedy));
}

// What follows "://" up to the path: a name or an address in brackets, and perhaps a port.
bool names_a_host(std::string_view text) {
  text = text.substr(0, text.find('/'));
  const auto colon = text.starts_with('[') ? text.find(':', text.find(']')) : text.find(':');
  const std::string_view host = text.substr(0, colon);
  constexpr std::string_view kHost =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:";
  if (host.empty() || host.find_first_not_of(kHost) != std::string_view::npos) return false;
  if (host.starts_with('[') != host.ends_with(']')) return false;
  if (colon == std::string_view::npos) return true;
  const std::string port(text.substr(colon + 1));
  const bool digits = port.find_first_not_of("0123456789") == std::string::npos;
  return digits && !port.empty() && port.size() <= 5 && std::stoul(port) <= 65535 &&
         std::stoul(port) != 0;
}

// io-engine-behaviour section 1.1: the address of a gRPC service.
Result<void> check_registration(const std::string& uri) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (uri.starts_with(scheme) && names_a_host(std::string_view(uri).substr(scheme.size()))) {
      return {};
    }
  }
  return fail(Code::kInvalidArgument,
              "option -R: '" + uri +
                  "' is no address of a control plane. Write it as in http://10.1.1.1:50051");
}

Result<void> read_names(const Settings& settings, NodeConfig& config) {
  TRY(check_not_empty(settings, "node-name", "-N", "Give a name, or leave -N out"));
  TRY(check_not_empty(settings, "registration", "-R", "Write it as in http://10.1.1.1:50051"));
  config.node_name = "mayastor-node";
  if (settings.given("hostname")) config.node_name = settings.text("hostname");
  if (settings.given("node-name")) {
    config.node_name = settings.text("node-name");
    config.registration_name = config.node_name;
  }
  if (settings.given("hostnqn")) config.host_nqn = settings.text("hostnqn");
  if (settings.given("hostid")) config.host_id = Uuid::parse(settings.text("hostid"));
  if (settings.given("registration")) {
    config.registration_uri = settings.text("registration");
    TRY(check_registration(*config.registration_uri));
  }
  return {};
}

Result<std::string> default_state_dir(const Surroundings& surroundings) {
  if (surroundings.root) return std::string("/var/lib/capstan");
  const auto state = surroundings.variables("XDG_STATE_HOME");
  if (state && !state->empty()) return *state + "/capstan";
  const auto home = surroundings.variables("HOME");
  if (home && !home->empty()) return *home + "/.local/state/capstan";
  return fail(Code::kInvalidArgument,
              "there is no place for the node's state: neither HOME nor XDG_STATE_HOME is set. "
              "Give --state-dir DIR");
}

Result<void> read_files(const Surroundings& surroundings, Settings& settings, NodeConfig& config) {
  const Setting& crdt_setting = settings.at("tgt-crdt");
  TRY_SET(const auto crdt, named(parse_crdt(crdt_setting.text()), "--tgt-crdt", crdt_setting));
  config.engine.set("nvmf_tgt_conf.crdt",
                    "[" + std::to_string(crdt[0]) + ", " + std::to_string(crdt[1]) + ", " +
                        std::to_string(crdt[2]) + "]",
                    crdt_setting.source);
  if (settings.given("config-file")) {
    const std::string path = settings.text("config-file");
    auto text = surroundings.read_file(path);
    if (!text && text.error().code != Code::kNotFound) {
      return std::unexpected(std::move(text).error().within("option -y"));
    }
    TRY(config.engine.load(text ? *text : std::string(), path));
    apply_file(config.engine, settings);
    config.config_file = path;
  }
  if (settings.given("pool-file")) {
    const std::string path = settings.text("pool-file");
    auto text = surroundings.read_file(path);
    auto pools = text ? parse_pool_file(*text, path)
                      : Result<std::vector<PoolFileEntry>>(std::unexpected(text.error()));
    if (pools) {
      config.pools = *std::move(pools);
    } else {  // never fatal (io-engine-behaviour section 1.3)
      config.warnings.push_back("no pools are imported from -P: " + pools.error().text());
    }
  }
  return {};
}

void fill_rows(const Settings& settings, NodeConfig& config) {
  for (const OptionSpec& option : options()) {  // in the order of --help
    if (option.use == OptionUse::kCommand) continue;
    const Setting& setting = settings.at(option.name);
    std::string help = setting.help;
    if (option.use == OptionUse::kCompatible) help += " (accepted for compatibility)";
    config.rows.push_back(
        {setting.name, setting.text(), std::move(help), setting.source, setting.restart_needed});
  }
  for (const auto& [path, value] : config.engine.list()) {
    config.rows.push_back({path, value->text, "Engine configuration (-y)", value->source, true});
  }
}

// Nobody should believe in an option that changes nothing here.
void warn_of_compatible(const Settings& settings, NodeConfig& config) {
  std::string names;
  for (const OptionSpec& option : options()) {
    const Setting& setting = settings.at(option.name);
    if (option.use != OptionUse::kCompatible || setting.source == Source::kDefault) continue;
    if (option.type == OptionType::kSwitch && !settings.on(option.name)) continue;
    names += (names.empty() ? "" : ", ") + setting.name;
  }
  if (!names.empty()) {
    config.warnings.push_back("accepted for compatibility, without effect here: " + names);
  }
}

}  // namespace

Result<NodeConfig> make_config(Settings settings, const Surroundings& surroundings) {
  if (settings.given("diagnose-stack")) {  // and by no means a node
    const std::string pid = settings.text("diagnose-stack");
    return fail(Code::kInvalidArgument,
                "option -d: this program does not show the stacks of other processes. Use gdb -p " +
                    pid + " -batch -ex 'thread apply all bt'");
  }
  NodeConfig config(surroundings.variables);
  config.warnings = config.engine.warnings();
  TRY(read_files(surroundings, settings, config));
  TRY(read_listen(settings, config));
  TRY(read_http_listen(settings, config));
  TRY_SET(config.http, read_http(settings));
  TRY(read_muxio(settings, config));
  TRY(read_api_versions(settings, config));
  TRY(read_json_rpc(settings, config));
  TRY(read_access(settings, config));
  TRY_SET(config.gate, read_gate(settings, surroundings, config.warnings));
  read_drpc(settings, config);
  TRY(read_cores(settings, config));
  TRY(read_log(settings, config));
  TRY(read_names(settings, config));
  TRY_SET(config.stores, read_stores(settings));
  TRY(read_shares(surroundings, settings, config));
  TRY(read_remotes(config));
  TRY(read_tls(surroundings, settings, config));
  if (!settings.given("state-dir")) {
    TRY_SET(std::string dir, default_state_dir(surroundings));
    settings.set("state-dir", std::move(dir), Source::kDefault);
  }
  config.state_dir = settings.text("state-dir");
  if (settings.given("ptpl-dir")) config.ptpl_dir = settings.text("ptpl-dir");
  config.ana = settings.text("nexus-ana") == "1";
  config.lvm = settings.on("enable-lvm");
  config.snapshot_rebuild = settings.on("enable-snapshot-rebuild");
  config.rdma = settings.on("enable-rdma");
  warn_of_compatible(settings, config);
  fill_rows(settings, config);
  return config;
}

}  // namespace capstan::apps
