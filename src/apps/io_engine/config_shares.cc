// Why this file exists: see config_shares.h.
#include "apps/io_engine/config_shares.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "base/bytes.h"
#include "services/remote_devices.h"

namespace capstan::apps {
namespace {

std::optional<std::uint32_t> ipv4_number(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// "10.1.0.0/16" as address and mask.
struct Subnet {
  std::uint32_t address = 0, mask = 0;
};
std::optional<Subnet> parse_subnet(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto address = ipv4_number(text.substr(0, slash));
  unsigned bits = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + slash + 1, end, bits);
  if (!address || read.ec != std::errc() || read.ptr != end || bits > 32) return std::nullopt;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return Subnet{*address & mask, mask};
}

std::unexpected<Error> bad(std::string_view text, const std::string& why) {
  return fail(Code::kInvalidArgument,
              "option -T: '" + std::string(text) + "' " + why +
                  ". Write NAME, name:NAME, mac:ADDRESS, ip:ADDRESS or subnet:ADDRESS/BITS of one "
                  "interface of this machine, or leave -T out");
}

// Not by its default.
bool chosen(const Settings& settings, std::string_view option) {
  return settings.at(option).source != Source::kDefault;
}

std::uint16_t port(const Settings& settings, const NodeConfig& config, std::string_view option,
                   std::string_view path) {
  if (chosen(settings, option)) return static_cast<std::uint16_t>(settings.integer(option));
  return static_cast<std::uint16_t>(std::stoul(config.engine.at(path).text));
}

Result<std::string> target_address(const Surroundings& surroundings, const Settings& settings) {
  if (settings.given("tgt-iface")) {
    if (!surroundings.interfaces) return bad(settings.text("tgt-iface"), "cannot be looked up");
    TRY_SET(const auto addresses, surroundings.interfaces());
    return find_interface(settings.text("tgt-iface"), addresses);
  }
  if (!settings.given("pod-ip")) return std::string("127.0.0.1");
  if (ipv4_number(settings.text("pod-ip"))) return settings.text("pod-ip");
  return fail(Code::kInvalidArgument, "environment variable MY_POD_IP: '" +
                                          settings.text("pod-ip") +
                                          "' is no IPv4 address. Write it as in 10.1.0.2");
}

}  // namespace

Result<std::string> find_interface(std::string_view text,
                                   const std::vector<core::InterfaceAddress>& addresses) {
  const auto colon = text.find(':');
  const std::string_view kind = colon == std::string_view::npos ? "name" : text.substr(0, colon);
  const std::string value(text.substr(colon == std::string_view::npos ? 0 : colon + 1));
  const auto subnet = parse_subnet(value);
  if (kind != "name" && kind != "mac" && kind != "ip" && kind != "subnet") {
    return bad(text, "is not accepted");
  }
  if (kind == "ip" && !ipv4_number(value)) return bad(text, "has no IPv4 address");
  if (kind == "subnet" && !subnet) return bad(text, "has no subnet");
  const auto matches = [&](const core::InterfaceAddress& each) {
    if (kind == "name") return each.name == value;
    if (kind == "mac") return !each.mac.empty() && each.mac == lower(value);
    if (kind == "ip") return each.ipv4 == value;
    const auto number = ipv4_number(each.ipv4);
    return number && (*number & subnet->mask) == subnet->address;
  };
  std::set<std::string> names;
  std::string found;
  for (const auto& each : addresses) {
    if (!matches(each)) continue;
    names.insert(each.name);
    if (found.empty()) found = each.ipv4;  // the first address of an interface is its main one
  }
  if (names.empty()) return bad(text, "matches no interface that has an IPv4 address");
  if (names.size() > 1) {
    return bad(text, "matches several interfaces (" + *names.begin() + ", " +
                         *std::next(names.begin()) + ")");
  }
  return found;
}

namespace {

// A number that the file or the environment has set to something else than Mayastor's default:
// exported files have all of them.
template <class T>
std::optional<T> chosen_number(const NodeConfig& config, const std::string& path) {
  const auto no_variables = [](std::string_view) { return std::optional<std::string>(); };
  const auto& value = config.engine.at(path);
  if (value.text == EngineConfig(no_variables).at(path).text) return std::nullopt;
  T number = 0;
  std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
  return number;
}

template <class T>
std::optional<T> remote_option(const NodeConfig& config, const std::string& key) {
  return chosen_number<T>(config, "nvme_bdev_opts." + key);
}

Result<storage::nvme::TransportSizes> transport_sizes(const NodeConfig& config) {
  storage::nvme::TransportSizes sizes;
  const auto take = [&](const char* key, std::uint32_t& into) {
    into = chosen_number<std::uint32_t>(config, std::string("nvmf_tgt_conf.opts_tcp.") + key)
               .value_or(into);
  };
  take("max_queue_depth", sizes.io_queue_entries);
  const auto queues = chosen_number<std::uint32_t>(  // with the admin queue
      config, "nvmf_tgt_conf.opts_tcp.max_qpairs_per_ctrl");
  if (queues) sizes.io_queues = *queues == 0 ? 0 : *queues - 1;
  take("in_capsule_data_size", sizes.in_capsule_bytes);
  take("max_io_size", sizes.io_bytes);
  take("max_aq_depth", sizes.admin_queue_entries);
  auto fits = storage::nvme::fitting(sizes);
  if (fits) return fits;
  return std::unexpected(
      std::move(fits).error().within(config.config_file + ": nvmf_tgt_conf.opts_tcp"));
}

// From how many bytes on the target sends without a copy.
std::size_t zero_copy_bytes(const EngineConfig& engine) {
  for (const char* key : {"enable_zero_copy_send", "enable_zerocopy_send_server"}) {
    if (engine.at(std::string("socket_opts.") + key).text == "false") return SIZE_MAX;
  }
  const std::size_t threshold = std::stoul(engine.at("socket_opts.zerocopy_threshold").text);
  return threshold == 0 ? limits::kZeroCopySendBytes : threshold;
}

}  // namespace

Result<void> read_shares(const Surroundings& surroundings, const Settings& settings,
                         NodeConfig& config) {
  services::ShareSettings& shares = config.shares;
  const EngineConfig::Value& enabled = config.engine.at("nexus_opts.nvmf_enable");
  shares.enabled = enabled.text != "false";
  constexpr std::string_view kReplicaPort = "nexus_opts.nvmf_replica_port";
  constexpr std::string_view kNexusPort = "nexus_opts.nvmf_nexus_port";
  shares.replica_port = port(settings, config, "nvmf-replica-port", kReplicaPort);
  shares.nexus_port = port(settings, config, "nvmf-nexus-port", kNexusPort);
  std::string delays = config.engine.at("nvmf_tgt_conf.crdt").text;  // "[1, 2, 3]"
  std::erase_if(delays, [](char c) { return c == '[' || c == ']' || c == ' '; });
  TRY_SET(shares.retry_delays, parse_crdt(delays, UINT16_MAX));  // a file may say more than a flag
  TRY_SET(shares.sizes, transport_sizes(config));
  shares.discovery = config.engine.at("nexus_opts.nvmf_discovery_enable").text != "false";
  if (const auto most = chosen_number<std::uint32_t>(config, "nvmf_tgt_conf.max_namespaces")) {
    shares.subsystems_max = std::min<std::size_t>(*most, storage::nvme::limits::kSubsystems);
  }
  config.zero_copy_bytes = zero_copy_bytes(config.engine);
  const bool port_chosen = chosen(settings, "nvmf-replica-port") ||
                           config.engine.at(kReplicaPort).source != Source::kDefault;
  config.shares_are_default =
      !port_chosen && !settings.given("tgt-iface") && !settings.given("pod-ip");
  if (!shares.enabled) return {};
  TRY_SET(shares.address, target_address(surroundings, settings));
  return {};
}

Result<void> read_remotes(const Settings& settings, NodeConfig& config) {
  constexpr std::uint32_t kReset = 1, kAbort = 2, kHotRemove = 4;
  constexpr core::Nanos kMicrosecond = 1000;
  storage::nvme::HostOptions& options = config.remotes;
  using storage::nvme::TimeoutAction;
  options.connect_timeout =
      static_cast<core::Nanos>(settings.integer("fabrics-connect-timeout")) * kMicrosecond;
  const auto action = remote_option<std::uint32_t>(config, "action_on_timeout");
  if (const auto time = remote_option<std::uint64_t>(config, "timeout_us")) {
    options.io_timeout = *time * kMicrosecond;
  }
  if (action == kAbort) options.timeout_action = TimeoutAction::kAbort;
  if (action && *action != kReset && *action != kAbort && *action != kHotRemove) {
    options.io_timeout = 0;  // waits as long as the connection lasts
  }
  const auto admin = remote_option<std::uint64_t>(config, "timeout_admin_us");
  if (admin.value_or(0) != 0) options.admin_timeout = *admin * kMicrosecond;
  if (const auto time = remote_option<std::uint32_t>(config, "keep_alive_timeout_ms")) {
    options.keep_alive_ms = *time;
  }
  if (const auto count = remote_option<std::int32_t>(config, "bdev_retry_count")) {
    options.retries = *count < 0 ? UINT32_MAX : static_cast<unsigned>(*count);
  }
  auto times = services::set_reconnect_times(
      options, remote_option<std::int32_t>(config, "ctrlr_loss_timeout_sec"),
      remote_option<std::uint32_t>(config, "reconnect_delay_sec"),
      remote_option<std::uint32_t>(config, "fast_io_fail_timeout_sec"));
  if (times) return times;
  return std::unexpected(std::move(times).error().within(config.config_file + ": nvme_bdev_opts"));
}

}  // namespace capstan::apps
