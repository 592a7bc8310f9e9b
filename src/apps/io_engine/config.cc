// Why this file exists: see config.h.
#include "apps/io_engine/config.h"

#include <algorithm>
#include <cctype>

#include "apps/io_engine/config_shares.h"
#include "apps/io_engine/config_stores.h"
#include "apps/serving/serving_options.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "base/visible.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::apps {
namespace {

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

// A flag of the option, as a command line has it; empty: there is none.
std::string flag_of(const OptionSpec& option) {
  const auto first = option.flags.find('-');
  if (first == std::string_view::npos) return {};
  const auto flags = option.flags.substr(first);
  return std::string(flags.substr(0, flags.find(',')));
}

// What was set here and means the same there. Metrics are each process's own.
void add_gateway_arguments(std::span<const OptionSpec> shared, const Settings& settings,
                           std::vector<std::string>& arguments) {
  for (const OptionSpec& option : shared) {
    const Setting& setting = settings.at(option.name);
    const std::string flag = flag_of(option);
    if (setting.source == Source::kDefault || flag.empty() || option.name == "metrics-addr") {
      continue;
    }
    if (option.type == OptionType::kSwitch) {
      if (settings.on(option.name)) arguments.push_back(flag);
      continue;
    }
    for (const std::string& value : setting.values) {
      arguments.push_back(flag);
      arguments.push_back(value);
    }
  }
}

Result<void> read_gateways(const Settings& settings, const Surroundings& surroundings,
                           NodeConfig& config) {
  TRY_SET(config.gateways, read_listen_list(settings, surroundings, "gateway"));
  config.gateway_socket = settings.text("gateway-socket");
  if (config.gateway_socket.empty() && !config.gateways.empty()) {
    config.gateway_socket = config.state_dir + "/gateway.sock";
  }
  if (config.gateway_socket.size() > core::kSocketPathBytesMax) {
    return fail(Code::kInvalidArgument,
                "option --gateway-socket: '" + config.gateway_socket + "' has " +
                    std::to_string(config.gateway_socket.size()) +
                    " bytes. The path of a socket has 1 to " +
                    std::to_string(core::kSocketPathBytesMax) + "; give a shorter one");
  }
  for (const auto shared : {std::span<const OptionSpec>(serving_options::kTls),
                            std::span<const OptionSpec>(serving_options::kHttp),
                            std::span<const OptionSpec>(serving_options::kGate),
                            std::span<const OptionSpec>(serving_options::kLog)}) {
    add_gateway_arguments(shared, settings, config.gateway_arguments);
  }
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

// Which CPUs the reactors stay on: those that -m or -l name, when there are all of them.
void place_reactors(const Settings& settings, std::vector<unsigned> wanted,
                    const Surroundings& surroundings, NodeConfig& config) {
  config.cpus_allowed = surroundings.cpus;
  const bool list = settings.given("core-list");
  const bool mask = settings.at("core-mask").source != Source::kDefault;
  if (settings.given("reactors") || (!list && !mask)) return;
  for (const unsigned cpu : wanted) {
    if (std::ranges::find(surroundings.cpus, cpu) != surroundings.cpus.end()) continue;
    config.warnings.push_back(
        std::string(list ? "-l" : "-m") + " names CPU " + std::to_string(cpu) +
        ", which this process may not use: its reactors run on any CPU it may "
        "use. Name CPUs of its cpuset to keep them there");
    return;
  }
  config.cpus = std::move(wanted);
}

Result<void> read_cores(const Settings& settings, const Surroundings& surroundings,
                        NodeConfig& config) {
  TRY_SET(auto cores,
          named(parse_mask(settings.text("core-mask")), "-m", settings.at("core-mask")));
  if (settings.given("core-list")) {
    TRY_SET(cores, named(parse_list(settings.text("core-list")), "-l", settings.at("core-list")));
  }
  config.reactors = settings.given("reactors") ? static_cast<unsigned>(settings.integer("reactors"))
                                               : static_cast<unsigned>(cores.size());
  place_reactors(settings, std::move(cores), surroundings, config);
  config.poll_us = static_cast<int>(settings.integer("poll-us"));
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

bool is_nqn(const std::string& text) {
  return is_utf8(as_bytes(text)) && storage::nvme::valid_nqn(text);
}

// A name of which no NQN can be made is no reason not to start, and no device of another node could
// be opened with it.
void read_initiator_nqn(const Settings& settings, NodeConfig& config) {
  if (config.host_nqn) {
    config.initiator_nqn = *config.host_nqn;
  } else if (settings.given("hostname") || settings.given("node-name")) {
    const std::string nqn = node_nqn(config.node_name);
    if (is_nqn(nqn)) {
      config.initiator_nqn = nqn;
    } else {
      config.warnings.push_back("of the node's name '" + visible(config.node_name) +
                                "' no NQN can be made: targets see another host after each start. "
                                "Set HOSTNQN, or another name by -N or HOSTNAME");
    }
  }
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
  if (settings.given("hostnqn")) {
    config.host_nqn = settings.text("hostnqn");
    if (!is_nqn(*config.host_nqn)) {
      return fail(Code::kInvalidArgument,
                  "HOSTNQN: '" + visible(*config.host_nqn) +
                      "' is no NQN, so no device of another node could be opened. Write it as in "
                      "nqn.2014-08.org.nvmexpress:uuid:…, or leave it out");
    }
  }
  read_initiator_nqn(settings, config);
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
  TRY_SET(const auto crdt, named(parse_crdt(crdt_setting.text(), 100), "--tgt-crdt", crdt_setting));
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

std::string node_nqn(const std::string& name) {
  return "nqn.2019-05.io.openebs:node-name:" + name;
}

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
  TRY_SET(config.http_listen, read_listen_list(settings, surroundings, "http-listen"));
  TRY(read_serving(settings, surroundings, config));
  TRY(read_muxio(settings, config));
  TRY(read_api_versions(settings, config));
  TRY(read_json_rpc(settings, config));
  read_drpc(settings, config);
  TRY(read_cores(settings, surroundings, config));
  TRY(read_names(settings, config));
  TRY_SET(config.stores, read_stores(settings));
  TRY(read_shares(surroundings, settings, config));
  TRY(read_remotes(settings, config));
  if (!settings.given("state-dir")) {
    TRY_SET(std::string dir, default_state_dir(surroundings));
    settings.set("state-dir", std::move(dir), Source::kDefault);
  }
  config.state_dir = settings.text("state-dir");
  TRY(read_gateways(settings, surroundings, config));
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
