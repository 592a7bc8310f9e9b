// Why this file exists: see spdk_nvmf.h. Here is what is about subsystems; targets are in
// spdk_nvmf_targets.cc, listeners and hosts in spdk_nvmf_paths.cc.
#include "services/spdk_nvmf.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "rpc/json_call.h"
#include "services/nqn.h"
#include "services/replica_ops.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
namespace limits = nvme::limits;
using Empty = google::protobuf::Empty;
using rpc::json_code::kInternalError;
using rpc::json_code::kInvalidParams;

constexpr std::uint32_t kDefaultMinController = 1, kDefaultMaxController = 0xFFEF;
constexpr std::size_t kSerialBytes = 20, kModelBytes = 40;
constexpr std::uint32_t kWidthMax = 12;  // WZSL: 16 MiB

bool printable(const std::string& text, std::size_t most) {
  return text.size() <= most &&
         std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7E; });
}

// Sizes in the words of clients between 25.09 and 26.05.
void read_old_sizes(const spdk::NvmfCreateSubsystemRequest& request,
                    nvme::SubsystemOptions& options) {
  if (request.max_discard_size_kib() != 0) {
    options.dsm_range_blocks = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(request.max_discard_size_kib() * 2, limits::kDsmRangeBlocks));
  }
  const std::uint64_t pages = request.max_write_zeroes_size_kib() / 4;
  if (pages != 0) {
    options.zeroes_size = static_cast<std::uint8_t>(
        std::min<std::uint64_t>(static_cast<std::uint64_t>(std::bit_width(pages)) - 1, kWidthMax));
  }
}

Result<nvme::SubsystemOptions> subsystem_options(const spdk::NvmfCreateSubsystemRequest& request) {
  nvme::SubsystemOptions options;
  options.nqn = request.nqn();
  options.serial = request.has_serial_number() ? request.serial_number() : std::string(20, '0');
  options.model = request.has_model_number() ? request.model_number() : "SPDK bdev Controller";
  if (!printable(options.serial, kSerialBytes) || !printable(options.model, kModelBytes)) {
    return nvmf_invalid(
        "a serial number has at most 20, a model number at most 40 printable "
        "characters");
  }
  if (request.min_cntlid() > UINT16_MAX || request.max_cntlid() > UINT16_MAX) {
    return nvmf_invalid("controller ids have 16 bits");
  }
  const std::uint32_t low = request.has_min_cntlid() ? request.min_cntlid() : kDefaultMinController;
  const std::uint32_t high =
      request.has_max_cntlid() ? request.max_cntlid() : kDefaultMaxController;
  if (low == 0 || low > high || high > kDefaultMaxController) {
    return rpc::json_error(
        Code::kInvalidArgument, kInvalidParams,
        "Invalid cntlid range [" + std::to_string(low) + "-" + std::to_string(high) + "]");
  }
  options.min_controller = static_cast<std::uint16_t>(low);
  options.max_controller = static_cast<std::uint16_t>(high);
  if (request.max_namespaces() != 0) options.max_namespaces = request.max_namespaces();
  options.any_host = request.allow_any_host();
  options.ana = request.ana_reporting();
  read_old_sizes(request, options);
  if (request.has_dmrsl()) options.dsm_range_blocks = request.dmrsl();
  if (request.has_wzsl()) {
    if (request.wzsl() > kWidthMax) return nvmf_invalid("wzsl is at most 12");
    options.zeroes_size = static_cast<std::uint8_t>(request.wzsl());
  }
  return options;
}

void describe_namespace(const nvme::Namespace& space, bool ana, spdk::NvmfNamespaceInfo& out) {
  out.set_nsid(space.id);
  out.set_bdev_name(spdk_name(*space.device));
  out.set_name(spdk_name(*space.device));
  out.set_nguid(nvmf_hex(space.nguid.bytes));
  if (!all_zero(space.eui64)) out.set_eui64(nvmf_hex(space.eui64));
  out.set_uuid(space.uuid.text());
  if (ana) out.set_anagrpid(space.ana_group);
  if (space.reservations->durable()) out.set_ptpl_file(space.reservations->path());
  if (space.auto_visible) return;
  out.set_no_auto_visible(true);
  for (const auto& host : space.hosts) out.mutable_hosts()->add_values()->set_string_value(host);
}

// "a0b1…", exactly `Size` bytes.
template <std::size_t Size>
std::optional<std::array<std::uint8_t, Size>> parse_hex(std::string_view text) {
  std::array<std::uint8_t, Size> out{};
  if (text.size() != 2 * Size) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    out[i / 2] = static_cast<std::uint8_t>(out[i / 2] << 4 | digit);
  }
  return out;
}

Result<nvme::NamespaceOptions> namespace_options(const rpc::Call& call,
                                                 const spdk::NvmfNamespaceParam& request) {
  nvme::NamespaceOptions options;
  options.id = request.nsid();
  if (request.has_nsid() && request.nsid() == 0) return nvmf_invalid("nsid counts from 1");
  options.ana_group = request.anagrpid();
  TRY_SET(options.uuid, uuid_param(call, request.uuid()));
  if (request.has_nguid()) {
    const auto bytes = parse_hex<16>(request.nguid());
    if (!bytes) return rpc::json_error(Code::kInvalidArgument, kInvalidParams, "Invalid nguid");
    options.nguid = Uuid{*bytes};
  }
  if (request.has_eui64()) {
    const auto bytes = parse_hex<8>(request.eui64());
    if (!bytes) return rpc::json_error(Code::kInvalidArgument, kInvalidParams, "Invalid eui64");
    options.eui64 = *bytes;
  }
  options.auto_visible = !request.no_auto_visible();
  return options;
}

// That of a replica ends for good, among the other changes of its pool.
core::Task<Result<void>> end_share(Engine& engine, const rpc::Call& call,
                                   std::shared_ptr<storage::Device> device) {
  const auto replica = std::dynamic_pointer_cast<storage::Replica>(device);
  if (!replica) {
    co_await engine.shares().unshare(device);
    co_return {};
  }
  CO_TRY_SET(const auto turn,
             co_await engine.replica_calls().lock(replica->pool_name(), call.token));
  const auto ended = co_await unshare_replica(engine, replica->uuid().text());
  if (ended) co_return {};
  co_return rpc::json_error(ended.error().code, kInternalError, "Internal error",
                            ended.error().text());
}

}  // namespace

std::unexpected<Error> nvmf_invalid(std::string detail) {
  return rpc::json_error(Code::kInvalidArgument, kInvalidParams, "Invalid parameters",
                         std::move(detail));
}

std::string nvmf_hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const std::uint8_t byte : bytes) (out += kDigits[byte >> 4]) += kDigits[byte & 15];
  return out;
}

using S = SpdkNvmfService;

Result<std::shared_ptr<S::Subsystem>> S::find(const NamedTarget& at, const std::string& nqn) {
  auto found = at.target.find(nqn);
  if (found) return found;
  return nvmf_invalid("target '" + at.name + "' has no subsystem '" + nqn + "'");
}

std::shared_ptr<storage::Device> S::shared_as(const NamedTarget& at, const std::string& nqn) {
  return is_node(at) ? shares().device_of(nqn) : nullptr;
}

// --- subsystems ----------------------------------------------------------------------------------

S::Answer<Empty> S::create_subsystem(rpc::Call& call,
                                     const spdk::NvmfCreateSubsystemRequest& request) {
  CO_TRY(require(call, request, {"nqn"}));
  CO_TRY(refuse_unsupported(call, request, {"passthrough", "enable_nssr"}));
  const auto at = shares().targets().find(request.tgt_name());
  if (!at) {
    co_return rpc::json_error(Code::kNotFound, kInternalError,
                              "Unable to find target " + request.tgt_name());
  }
  CO_TRY_SET(auto options, subsystem_options(request));
  if (is_node(*at)) options.retry_delays = shares().retry_delays();
  const auto created = well_formed_nqn(request.nqn())
                           ? at->subsystems.create(std::move(options))
                           : fail(Code::kInvalidArgument, "'" + request.nqn() + "' is no NQN");
  if (created) co_return Empty();
  co_return rpc::json_error(created.error().code, kInternalError,
                            "Unable to create subsystem " + request.nqn(), created.error().text());
}

S::Answer<Empty> S::delete_subsystem(rpc::Call& call, const spdk::NvmfNqnRequest& request) {
  CO_TRY(require(call, request, {"nqn"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  if (const auto device = shared_as(*at, request.nqn())) {
    CO_TRY(co_await end_share(devices_.engine(), call, device));
    co_return Empty();
  }
  if (co_await at->subsystems.remove(request.nqn())) co_return Empty();
  co_return rpc::json_error(Code::kNotFound, kInvalidParams,
                            "Subsystem with NQN '" + request.nqn() + "' not found");
}

void S::describe(const NamedTarget& at, const Subsystem& subsystem, spdk::NvmfSubsystemInfo& out) {
  const auto& options = subsystem.options();
  out.set_nqn(options.nqn);
  out.set_subtype(options.discovery ? "Discovery" : "NVMe");
  for (const auto port : at.target.listeners()) {
    if (subsystem.on_port(port)) *out.add_listen_addresses() = listener(at, port);
  }
  out.set_allow_any_host(options.any_host);
  for (const auto& host : subsystem.hosts()) out.add_hosts()->set_nqn(host);
  if (options.discovery) return;
  out.set_serial_number(options.serial);
  out.set_model_number(options.model);
  out.set_max_namespaces(options.max_namespaces);
  out.set_passthrough(false);
  out.set_min_cntlid(options.min_controller);
  out.set_max_cntlid(options.max_controller);
  out.set_dmrsl(options.dsm_range_blocks);
  out.set_wzsl(options.zeroes_size);
  for (const auto& [id, space] : subsystem.namespaces()) {
    describe_namespace(space, options.ana, *out.add_namespaces());
  }
}

S::Answer<spdk::NvmfSubsystems> S::get_subsystems(rpc::Call&,
                                                  const spdk::NvmfGetSubsystemsRequest& request) {
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  spdk::NvmfSubsystems out;
  if (request.has_nqn()) {
    const auto found = at->target.find(request.nqn());
    if (!found) {
      co_return rpc::json_error(Code::kNotFound, kInvalidParams,
                                "Subsystem with NQN '" + request.nqn() + "' not found");
    }
    describe(*at, *found, *out.add_subsystems());
    co_return out;
  }
  describe(*at, at->target.discovery(), *out.add_subsystems());
  for (const auto& [nqn, subsystem] : at->target.subsystems()) {
    describe(*at, *subsystem, *out.add_subsystems());
  }
  co_return out;
}

// --- namespaces ----------------------------------------------------------------------------------

S::Answer<spdk::NvmfNsid> S::add_ns(rpc::Call& call, const spdk::NvmfAddNsRequest& request) {
  CO_TRY(require(call, request, {"nqn", "namespace"}));
  CO_TRY(require(call, request.namespace_(), {"bdev_name"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  CO_TRY_SET(auto options, namespace_options(call, request.namespace_()));
  Engine& engine = devices_.engine();
  const auto device = spdk_find(engine, request.namespace_().bdev_name());
  if (!device) {
    co_return nvmf_invalid("there is no device '" + request.namespace_().bdev_name() + "'");
  }
  if (request.namespace_().has_ptpl_file()) {
    options.reservations = {&engine.env().files(), request.namespace_().ptpl_file(),
                            options.uuid.value_or(device->uuid())};
    nvme::ReservationSet trial(options.reservations);
    if (const auto read = co_await trial.load(); !read) co_return nvmf_invalid(read.error().text());
  }
  // A share keeps the claim of its device while its namespace is out.
  const bool back = shared_as(*at, request.nqn()) == device;
  const auto has_it = [&](const auto& each) { return each.second.device == device; };
  if (back && std::ranges::any_of(subsystem->namespaces(), has_it)) {
    co_return nvmf_invalid("'" + request.nqn() + "' has device '" + device->name() +
                           "' already; remove its namespace first");
  }
  if (back && !request.namespace_().has_ptpl_file()) {
    options.reservations = shares().reservation_file(*device);
  }
  const auto added = back ? subsystem->add_namespace(device, std::move(options))
                          : at->subsystems.add_namespace(request.nqn(), device, std::move(options));
  if (!added) co_return nvmf_invalid(added.error().text());
  spdk::NvmfNsid out;
  out.set_nsid(*added);
  co_return out;
}

S::Answer<Empty> S::remove_ns(rpc::Call& call, const spdk::NvmfNsRequest& request) {
  CO_TRY(require(call, request, {"nqn", "nsid"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  bool removed = false;
  if (shared_as(*at, request.nqn())) {
    const auto quiet = co_await subsystem->gate().lock();
    removed = subsystem->remove_namespace(request.nsid());
  } else {
    removed = co_await at->subsystems.remove_namespace(request.nqn(), request.nsid());
  }
  if (removed) co_return Empty();
  co_return nvmf_invalid("'" + request.nqn() + "' has no namespace " +
                         std::to_string(request.nsid()));
}

S::Answer<Empty> S::set_ns_ana_group(rpc::Call& call,
                                     const spdk::NvmfSetNsAnaGroupRequest& request) {
  CO_TRY(require(call, request, {"nqn", "nsid", "anagrpid"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  if (subsystem->set_ana_group(request.nsid(), request.anagrpid())) co_return Empty();
  co_return nvmf_invalid("'" + request.nqn() + "' has no namespace " +
                         std::to_string(request.nsid()) + " or no group " +
                         std::to_string(request.anagrpid()));
}

// --- binding -------------------------------------------------------------------------------------

Result<void> bind_spdk_nvmf(rpc::Directory& directory, SpdkNvmfService& service) {
  TRY(directory.declare(spdk::NvmfTargets::descriptor()->file()->service(0)));
  const auto bind = [&](const char* method, auto handler) {
    return rpc::bind_unary(directory, std::string("spdk.Nvmf/") + method, service, handler);
  };
  TRY(bind("CreateTransport", &S::create_transport));
  TRY(bind("GetTransports", &S::get_transports));
  TRY(bind("CreateSubsystem", &S::create_subsystem));
  TRY(bind("DeleteSubsystem", &S::delete_subsystem));
  TRY(bind("GetSubsystems", &S::get_subsystems));
  TRY(bind("AddNs", &S::add_ns));
  TRY(bind("RemoveNs", &S::remove_ns));
  TRY(bind("SetNsAnaGroup", &S::set_ns_ana_group));
  TRY(bind("AddListener", &S::add_listener));
  TRY(bind("RemoveListener", &S::remove_listener));
  TRY(bind("SetAnaState", &S::set_ana_state));
  TRY(bind("AddHost", &S::add_host));
  TRY(bind("RemoveHost", &S::remove_host));
  TRY(bind("AllowAnyHost", &S::allow_any_host));
  TRY(bind("GetControllers", &S::get_controllers));
  TRY(bind("GetQpairs", &S::get_qpairs));
  TRY(bind("GetListeners", &S::get_listeners));
  TRY(bind("GetStats", &S::get_stats));
  TRY(bind("AddReferral", &S::add_referral));
  TRY(bind("RemoveReferral", &S::remove_referral));
  TRY(bind("GetReferrals", &S::get_referrals));
  TRY(bind("NsAddHost", &S::ns_add_host));
  TRY(bind("NsRemoveHost", &S::ns_remove_host));
  TRY(bind("SetMaxSubsystems", &S::set_max_subsystems));
  TRY(bind("SetConfig", &S::set_config));
  TRY(bind("SetCrdt", &S::set_crdt));
  TRY(bind("CreateTarget", &S::create_target));
  TRY(bind("DeleteTarget", &S::delete_target));
  return bind("GetTargets", &S::get_targets);
}

}  // namespace capstan::services
