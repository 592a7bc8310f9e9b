// Why this file exists: see device_uri.h. One function per scheme; what all share (typed
// parameters, each taken once, none left over) is in Params.
#include "storage/device/device_uri.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <vector>

#include "base/limits.h"
#include "storage/device/url.h"

namespace capstan::storage {
namespace {

// The query parameters of one URI. Each getter marks its parameter as known; finish() then refuses
// what nobody asked for and lists what would have been accepted.
constexpr char kSecret[] = "dhchap_secret", kTargetSecret[] = "dhchap_ctrl_secret";

// For messages, which repeat neither passwords nor keys.
std::string without_secrets(std::string_view text) {
  const bool keys = text.contains(kSecret) || text.contains(kTargetSecret);
  return without_user_info(keys ? text.substr(0, text.find('?')) : text);
}

class Params {
 public:
  static Result<Params> from(const Url& url) {
    Params params(url.scheme);
    for (const auto& param : url.params) {
      if (std::ranges::any_of(params.given_, [&](auto& p) { return p.key == param.key; })) {
        return fail(Code::kInvalidArgument, "parameter '" + param.key + "' is given twice");
      }
      params.given_.push_back(param);
    }
    return params;
  }

  std::optional<std::string> text(std::string_view key) {
    known_.emplace_back(key);
    const auto it = std::ranges::find(given_, key, &UrlParam::key);
    if (it == given_.end()) return std::nullopt;
    return it->value;
  }

  bool flag(std::string_view key) { return text(key).has_value(); }

  Result<std::optional<std::uint64_t>> number(std::string_view key, std::uint64_t max,
                                              std::uint64_t min = 0) {
    const auto value = text(key);
    if (!value) return std::optional<std::uint64_t>();
    std::uint64_t number = 0;
    const char* end = value->data() + value->size();
    const auto [stop, error] = std::from_chars(value->data(), end, number);
    if (value->empty() || error != std::errc() || stop != end || number < min || number > max) {
      return fail(Code::kInvalidArgument, "bad integer parameter '" + std::string(key) + "=" +
                                              *value + "': a decimal number " +
                                              (min == 0 ? "up" : std::to_string(min)) + " to " +
                                              std::to_string(max) + " is expected");
    }
    return std::optional(number);
  }

  Result<std::optional<bool>> boolean(std::string_view key) {
    const auto value = text(key);
    if (!value) return std::optional<bool>();
    if (value->empty() || *value == "yes" || *value == "on" || *value == "true") {
      return std::optional(true);
    }
    if (*value == "no" || *value == "off" || *value == "false") return std::optional(false);
    std::int64_t number = 0;
    const char* end = value->data() + value->size();
    const auto [stop, error] = std::from_chars(value->data(), end, number);
    if (error == std::errc() && stop == end) return std::optional(number != 0);
    return fail(Code::kInvalidArgument, "bad boolean parameter '" + std::string(key) + "=" +
                                            *value + "': yes, on, true, 1, no, off, false or 0");
  }

  Result<std::optional<Uuid>> uuid() {
    const auto value = text("uuid");
    if (!value) return std::optional<Uuid>();
    const auto parsed = Uuid::parse(*value);
    if (!parsed) {
      return fail(Code::kInvalidArgument, "bad UUID parameter 'uuid=" + *value + "'");
    }
    return parsed;
  }

  Result<std::string> required(std::string_view key) {
    const auto value = text(key);
    if (!value || value->empty()) {
      return fail(Code::kInvalidArgument, "parameter '" + std::string(key) + "' is missing");
    }
    return *value;
  }

  Result<void> finish() const {
    for (const auto& param : given_) {
      if (std::ranges::find(known_, param.key) != known_.end()) continue;
      std::string message = "unknown parameter '" + param.key + "'; " + scheme_ + " takes ";
      for (std::size_t i = 0; i < known_.size(); ++i) message += (i ? ", " : "") + known_[i];
      return fail(Code::kInvalidArgument, std::move(message));
    }
    return {};
  }

 private:
  explicit Params(std::string scheme) : scheme_(std::move(scheme)) {}
  std::string scheme_;
  std::vector<UrlParam> given_;
  std::vector<std::string> known_;
};

// Local devices are named by the path; "aio://dev/sdb" is the usual slip of the finger.
Result<void> check_local(const Url& url, const char* example) {
  if (!url.authority.empty()) {
    return fail(Code::kInvalidArgument, "'" + url.authority +
                                            "' stands where a host would; write "
                                            "three slashes, as in " +
                                            example);
  }
  if (!url.path.starts_with('/') || url.path.size() < 2) {
    return fail(Code::kInvalidArgument, std::string("no path; write it as in ") + example);
  }
  return {};
}

Result<DeviceUri> parse_file(const Url& url, Params params, DeviceUri out) {
  const bool aio = out.scheme == DeviceUri::Scheme::kAio;
  TRY(check_local(url, aio ? "aio:///dev/sdb" : "uring:///dev/sdb"));
  if (url.path.ends_with('/')) {
    return fail(Code::kInvalidArgument, "the path ends in '/': a directory is no device");
  }
  out.path = url.path;
  TRY_SET(const auto block_size,
          params.number("blk_size", std::numeric_limits<std::uint32_t>::max()));
  out.block_size = static_cast<std::uint32_t>(block_size.value_or(0));
  TRY_SET(out.uuid, params.uuid());
  if (aio) out.rescan = params.flag("rescan");
  out.name = params.text("name").value_or(url.path);
  if (out.name.empty()) {
    return fail(Code::kInvalidArgument, "'name=' is empty: leave it out or give a name");
  }
  TRY(params.finish());
  return out;
}

// size_mb or num_blocks, and blk_size: malloc and null.
Result<void> parse_size(Params& params, DeviceUri& out) {
  const bool malloc = out.scheme == DeviceUri::Scheme::kMalloc;
  TRY_SET(const auto block_size,
          params.number("blk_size", std::numeric_limits<std::uint32_t>::max()));
  out.block_size = static_cast<std::uint32_t>(block_size.value_or(512));
  if (out.block_size != 512 && out.block_size != 4096) {
    return fail(Code::kInvalidArgument,
                "blk_size is " + std::to_string(out.block_size) + "; it must be 512 or 4096");
  }
  // Sizes stay below 2^63 bytes, so that no offset ever wraps.
  static constexpr std::uint64_t kBytesMax = (1ULL << 63) - 1;
  TRY_SET(const auto size_mb, params.number("size_mb", kBytesMax >> 20));
  TRY_SET(const auto num_blocks, params.number("num_blocks", kBytesMax / out.block_size));
  if (size_mb && num_blocks) {
    return fail(Code::kInvalidArgument, "size_mb and num_blocks are both given; give one");
  }
  if (malloc && size_mb.value_or(0) == 0 && num_blocks.value_or(0) == 0) {
    return fail(Code::kInvalidArgument, "a size is missing: size_mb or num_blocks, above 0");
  }
  out.num_blocks = size_mb ? (*size_mb << 20) / out.block_size : num_blocks.value_or(0);
  return {};
}

Result<DeviceUri> parse_memory(const Url& url, Params params, DeviceUri out) {
  const bool malloc = out.scheme == DeviceUri::Scheme::kMalloc;
  TRY(check_local(url, malloc ? "malloc:///m0?size_mb=64" : "null:///n0?size_mb=64"));
  out.name = url.path.substr(1);
  TRY(parse_size(params, out));
  TRY_SET(out.uuid, params.uuid());
  if (malloc) out.resize = params.flag("resize");
  TRY(params.finish());
  return out;
}

Result<DeviceUri> parse_existing(const Url& url, Params params, DeviceUri out) {
  TRY(check_local(url, "bdev:///r1"));
  out.name = url.path.substr(1);
  TRY_SET(out.uuid, params.uuid());
  TRY(params.finish());
  return out;
}

// Our own parameters of nvmf, named as nvme-cli names them; times in seconds unless the name says
// otherwise.
Result<void> parse_remote(Params& params, RemoteUri& out) {
  static constexpr std::uint64_t kSecondsMax = 86'400 * 365ULL;
  const auto seconds = [&](std::string_view key,
                           std::optional<std::uint64_t>& into) -> Result<void> {
    TRY_SET(const auto value, params.number(key, kSecondsMax));
    if (value) into = *value * 1000;
    return {};
  };
  if (const auto host = params.text("hostnqn"); host && !host->empty()) out.host_nqn = *host;
  if (const auto text = params.text("hostid")) {
    out.host_id = Uuid::parse(*text);
    if (!out.host_id) {
      return fail(Code::kInvalidArgument, "bad parameter 'hostid=" + *text + "': no UUID");
    }
  }
  TRY_SET(const auto nsid, params.number("nsid", UINT32_MAX - 1));
  out.nsid = static_cast<std::uint32_t>(nsid.value_or(1));
  if (out.nsid == 0) return fail(Code::kInvalidArgument, "'nsid=0': namespaces begin with 1");
  TRY_SET(const auto header, params.boolean("hdr_digest"));
  TRY_SET(const auto data, params.boolean("data_digest"));
  TRY_SET(const auto no_flow, params.boolean("disable_sqflow"));
  out.header_digest = header.value_or(false);
  out.data_digest = data.value_or(false);
  out.flow_control = !no_flow.value_or(false);
  TRY_SET(out.queues, params.number("nr_io_queues", 16, 1));
  TRY_SET(out.queue_size, params.number("queue_size", 1024, 2));
  TRY(seconds("keep_alive_tmo", out.keep_alive_ms));
  TRY(seconds("reconnect_delay", out.reconnect_ms));
  TRY(seconds("fast_io_fail_tmo", out.fast_io_fail_ms));
  TRY_SET(out.connect_timeout_ms, params.number("connect_timeout_ms", kSecondsMax * 1000, 1));
  TRY_SET(out.io_timeout_ms, params.number("io_timeout_ms", kSecondsMax * 1000));
  if (const auto loss = params.text("ctrl_loss_tmo"); loss && *loss == "-1") {
    out.ctrl_loss_ms = UINT64_MAX;
  } else {
    TRY(seconds("ctrl_loss_tmo", out.ctrl_loss_ms));
  }
  const auto action = params.text("on_timeout").value_or("reset");
  if (action != "reset" && action != "abort") {
    return fail(Code::kInvalidArgument, "'on_timeout=" + action + "': reset or abort");
  }
  out.abort_on_timeout = action == "abort";
  return {};
}

// Unknown parameters are ignored (section 6.1), but not those that ask for a protection which the
// initiator does not have: who gives a key must not get a connection without one.
Result<void> check_unprotected(Params& params) {
  for (const auto key : {kSecret, kTargetSecret, "tls", "tls_key", "keyring"}) {
    if (!params.flag(key)) continue;
    return fail(Code::kUnimplemented, "parameter '" + std::string(key) +
                                          "': connections to other targets have neither keys nor "
                                          "TLS yet; leave it out, or protect the network");
  }
  return {};
}

Result<DeviceUri> parse_nvmf(const Url& url, Params params, DeviceUri out) {
  const std::string_view nqn = std::string_view(url.path).substr(url.path.empty() ? 0 : 1);
  if (url.host.empty() || nqn.empty() || nqn.find('/') != std::string_view::npos) {
    return fail(Code::kInvalidArgument,
                "a host and one path segment, the NQN, are expected, as in "
                "nvmf+tcp://10.0.0.1:8420/nqn.2019-05.io.openebs:r1");
  }
  TRY(check_unprotected(params));
  TRY(params.boolean("reftag"));
  TRY(params.boolean("guard"));
  TRY_SET(out.uuid, params.uuid());
  RemoteUri remote;
  remote.host = url.host;
  remote.port = url.port.value_or(remote.port);
  remote.nqn = nqn;
  TRY(parse_remote(params, remote));
  out.name = url.authority + url.encoded_path + "n" + std::to_string(remote.nsid);
  out.remote = std::move(remote);
  return out;
}

Result<DeviceUri> parse_pcie(const Url& url, Params params, DeviceUri out) {
  TRY(check_local(url, "pcie:///0000:00:1e.0"));
  out.name = url.path.substr(1) + "n1";
  TRY_SET(out.uuid, params.uuid());
  TRY(params.finish());
  return out;
}

Result<DeviceUri> parse_composed(const Url& url, Params params, DeviceUri out) {
  const bool nexus = out.scheme == DeviceUri::Scheme::kNexus;
  TRY(check_local(url, nexus ? "nexus:///n0?size=64MiB&children=…" : "lvol:///v0?size=64MiB&…"));
  out.name = url.path.substr(1);
  TRY(params.required("size"));
  if (nexus) {
    TRY(params.required("children"));
  } else {
    TRY(params.required("lvs"));
    TRY(params.required("disk"));
  }
  TRY(params.finish());
  return out;
}

using Parser = Result<DeviceUri> (*)(const Url&, Params, DeviceUri);
struct SchemeRow {
  std::string_view text;
  DeviceUri::Scheme scheme;
  Parser parse;
};
constexpr std::array kSchemes = std::to_array<SchemeRow>({
    {"aio", DeviceUri::Scheme::kAio, parse_file},
    {"uring", DeviceUri::Scheme::kUring, parse_file},
    {"malloc", DeviceUri::Scheme::kMalloc, parse_memory},
    {"null", DeviceUri::Scheme::kNull, parse_memory},
    {"bdev", DeviceUri::Scheme::kExisting, parse_existing},
    {"loopback", DeviceUri::Scheme::kExisting, parse_existing},
    {"nvmf", DeviceUri::Scheme::kNvmf, parse_nvmf},
    {"nvmf+tcp", DeviceUri::Scheme::kNvmf, parse_nvmf},
    {"nvmf+rdma+tcp", DeviceUri::Scheme::kNvmf, parse_nvmf},
    {"pcie", DeviceUri::Scheme::kPcie, parse_pcie},
    {"nexus", DeviceUri::Scheme::kNexus, parse_composed},
    {"lvol", DeviceUri::Scheme::kLvol, parse_composed},
});

Result<DeviceUri> parse_checked(std::string_view text) {
  TRY_SET(const Url url, parse_url(text));
  const auto row = std::ranges::find(kSchemes, url.scheme, &SchemeRow::text);
  if (row == kSchemes.end()) {
    std::string message = "Unsupported URI scheme '" + url.scheme + "'; known are ";
    for (const auto& known : kSchemes) {
      if (&known != kSchemes.data()) message += ", ";
      message += known.text;
    }
    return fail(Code::kInvalidArgument, std::move(message));
  }
  TRY_SET(Params params, Params::from(url));
  DeviceUri out;
  out.scheme = row->scheme;
  out.scheme_text = url.scheme;
  return row->parse(url, std::move(params), std::move(out));
}

}  // namespace

Result<DeviceUri> parse_device_uri(std::string_view text) {
  if (text.size() > limits::kDeviceUriBytes) {
    return fail(Code::kInvalidArgument, "a device URI of " + std::to_string(text.size()) +
                                            " bytes is longer than " +
                                            std::to_string(limits::kDeviceUriBytes));
  }
  auto parsed = parse_checked(text);
  if (!parsed) {
    return std::unexpected(
        std::move(parsed).error().within("device URI '" + without_secrets(text) + "'"));
  }
  return parsed;
}

}  // namespace capstan::storage
