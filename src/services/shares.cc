// Why this file exists: see shares.h.
#include "services/shares.h"

#include <algorithm>
#include <set>

#include "services/allowed_hosts.h"
#include "services/sha256.h"
#include "services/share_kind.h"
#include "services/uris.h"
#include "storage/nvme/nvme_codec.h"
#include "storage/pool/pool.h"

namespace capstan::services {

namespace nvme = storage::nvme;

namespace {

constexpr std::uint32_t kNamespaceId = 1;
constexpr std::uint16_t kReplicaListener = 1;  // the target numbers its listeners from 1
constexpr std::size_t kSerialDigits = 17;

}  // namespace

std::string share_nqn(std::string_view device_name) {
  return "nqn.2019-05.io.openebs:" + std::string(device_name);
}

std::string share_serial(const Uuid& uuid) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  Sha256 hash;
  hash.add(uuid.bytes);
  std::string out = "DCS";
  for (const char c : hash.finish()) {
    const auto byte = static_cast<unsigned char>(c);
    (out += kDigits[byte >> 4]) += kDigits[byte & 15];
  }
  out.resize(3 + kSerialDigits);
  return out;
}

Shares::Shares(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices)
    : log_(log.child("shares")),
      devices_(devices),
      env_(env),
      targets_(env, log),
      target_(targets_.node().target) {
  devices_.observe(*this);
}

Shares::~Shares() {
  devices_.unobserve(*this);
}

// --- the target ----------------------------------------------------------------------------------

void Shares::configure(ShareSettings settings) {
  CAPSTAN_ASSERT(shares_.empty() && !listening_);
  settings_ = std::move(settings);
  configured_ = true;
  target_.set_sizes(settings_.sizes);
  target_.set_subsystems_max(settings_.subsystems_max);
  target_.set_connections_max(settings_.connections_max);
  target_.set_discovery_served(settings_.discovery);
  target_.set_firmware(settings_.firmware);
}

Result<void> Shares::listen() {
  if (!enabled()) return {};
  auto listening = try_listen();
  if (!listening) {
    trouble_ = listening.error().text() +
               "; free the address or choose another (-T, --nvmf-replica-port), then restart";
  }
  return listening;
}

Result<void> Shares::try_listen() {
  TRY_SET(const auto listener,
          target_.listen(core::Address::tcp(settings_.address, settings_.replica_port)));
  CAPSTAN_ASSERT(listener == kReplicaListener);
  listening_ = true;
  if (settings_.nexus_port == settings_.replica_port && settings_.nexus_port != 0) return {};
  // Nothing but discovery is there, so doing without it is better than doing without shares.
  const auto nexuses = target_.listen(core::Address::tcp(settings_.address, settings_.nexus_port));
  if (!nexuses) log_.warn("no_nexus_port", {{"error", nexuses.error().text()}});
  return {};
}

core::Task<void> Shares::shutdown() {
  co_await targets_.shutdown();
  listening_ = false;
  co_await scope_.join();
  while (!shares_.empty()) co_await end(shares_.begin()->second);
}

Result<void> Shares::check() const {
  if (listening_) return {};
  std::string why = "no NVMe target runs";
  if (configured_ && !settings_.enabled) {
    why = "the NVMe target is switched off: set nexus_opts.nvmf_enable in the file of -y";
  }
  if (!trouble_.empty()) why = "the NVMe target does not listen: " + trouble_;
  return fail(Code::kFailedPrecondition,
              "devices cannot be shared over NVMe-oF: " + why + ". Local users need no share");
}

core::Address Shares::address() const {
  const auto real = target_.address(kReplicaListener);
  return core::Address::tcp(settings_.address, real.port != 0 ? real.port : settings_.replica_port);
}

std::string Shares::summary() const {
  if (!enabled()) return "switched off";
  return "listening on " + address().text() + ", " + std::to_string(shares_.size()) + " shares, " +
         std::to_string(target_.connections()) + " connections";
}

// --- shares --------------------------------------------------------------------------------------

Shares::Share* Shares::find(const storage::Device& device) const {
  const auto found = shares_.find(device.name());
  if (found == shares_.end() || found->second->device.get() != &device) return nullptr;
  return found->second.get();
}

Result<void> Shares::share(const std::shared_ptr<storage::Device>& device, ShareOptions options) {
  const std::string what = "device '" + device->name() + "'";
  if (device->claimed()) {
    return fail(Code::kInternal,
                what + " is already shared or claimed (" + device->claimed_by() + ")");
  }
  // One of the same name was taken away, and its hosts have not all left.
  if (shares_.contains(device->name())) {
    return fail(Code::kUnavailable, what + " is still being unshared; try again");
  }
  TRY(check_hosts({options.hosts.begin(), options.hosts.end()}));
  nvme::SubsystemOptions wanted;
  wanted.nqn = share_nqn(device->name());
  if (!nvme::valid_nqn(wanted.nqn)) {
    return fail(Code::kInvalidArgument,
                what + " cannot be shared under its name: '" + wanted.nqn +
                    "' is not an NQN, which has at most " + std::to_string(nvme::kNqnBytesMax) +
                    " bytes and neither blanks nor control characters; create it again under a "
                    "name that has none");
  }
  wanted.serial = share_serial(device->uuid());
  wanted.min_controller = options.min_controller;
  wanted.max_controller = options.max_controller;
  wanted.any_host = options.hosts.empty();
  wanted.allowed_hosts = options.hosts;
  wanted.ports = {{kReplicaListener}};
  wanted.max_namespaces = kNamespaceId;
  wanted.retry_delays = settings_.retry_delays;
  wanted.ana = options.ana && settings_.ana;
  if (options.replica) wanted.error_delay = wanted.conflict_delay = kReplicaDelay;
  auto subsystem = target_.add(std::move(wanted));
  if (!subsystem) return std::unexpected(std::move(subsystem).error().within("share " + what));
  CAPSTAN_ASSERT(device->claim(kTargetOwner));
  // Nobody can have connected yet: there was no await since add().
  nvme::NamespaceOptions space;
  space.id = kNamespaceId;
  space.reservations = reservation_file(*device);
  CAPSTAN_ASSERT((*subsystem)->add_namespace(device, std::move(space)));
  auto share = std::make_shared<Share>();
  share->device = device;
  share->subsystem = *std::move(subsystem);
  CAPSTAN_ASSERT(shares_.emplace(device->name(), std::move(share)).second);
  log_.info("shared", {{"device", device->name()}, {"hosts", options.hosts.size()}});
  return {};
}

Result<void> Shares::set_hosts(const storage::Device& device,
                               const std::vector<std::string>& hosts) {
  Share* share = find(device);
  CAPSTAN_ASSERT(share);
  const std::set<std::string> wanted(hosts.begin(), hosts.end());
  TRY(check_hosts(wanted));
  if (hosts.empty()) return {};
  share->subsystem->allow_any_host(false);
  // Removed first, so that there is room: what is added now cannot fail any more.
  const auto former = share->subsystem->hosts();
  for (const auto& host : former) {
    if (!wanted.contains(host)) share->subsystem->forbid_host(host);
  }
  for (const auto& host : wanted) TRY(share->subsystem->allow_host(host));
  return {};
}

core::Task<bool> Shares::unshare(std::shared_ptr<storage::Device> device) {
  const auto taken = co_await take_away(std::move(device));
  co_return taken.share.has_value();
}

core::Task<Shares::Taken> Shares::take_away(std::shared_ptr<storage::Device> device) {
  Taken taken;
  const Share* share = find(*device);
  if (!share) {
    taken.places = co_await targets_.take_out(std::move(device));
    co_return taken;
  }
  const auto& options = share->subsystem->options();
  taken.any_host = options.any_host;
  taken.share = {hosts(*device), options.min_controller, options.max_controller,
                 is_replica_share(*share->subsystem), options.ana};
  co_await end(shares_.at(device->name()));
  co_return taken;
}

void Shares::give_back(const std::shared_ptr<storage::Device>& device, Taken taken) {
  for (const auto& place : taken.places) targets_.put_back(place);
  if (!taken.share) return;
  const auto shared = share(device, *std::move(taken.share));
  if (!shared) {
    log_.warn("not_shared_again", {{"device", device->name()}, {"error", shared.error().text()}});
  } else if (!taken.any_host) {  // a list that has become empty lets nobody in
    find(*device)->subsystem->allow_any_host(false);
  }
}

// --- paths and reservations ----------------------------------------------------------------------

Result<void> Shares::set_ana_state(const storage::Device& device, nvme::AnaState state) {
  TRY(ana_state(device));
  find(device)->subsystem->set_ana_state(std::nullopt, std::nullopt, state);
  return {};
}

Result<nvme::AnaState> Shares::ana_state(const storage::Device& device) const {
  const Share* share = find(device);
  if (!share || !share->subsystem->options().ana) {
    return fail(Code::kFailedPrecondition,
                "device '" + device.name() + "' is not shared with ANA; share it first");
  }
  return share->subsystem->ana_states().state(kReplicaListener, kNamespaceId);
}

std::string Shares::reservation_folder(const Uuid& pool) const {
  return settings_.reservation_directory + "/pool/" + pool.text();
}

std::string Shares::reservation_path(const Uuid& pool, const Uuid& replica) const {
  return reservation_folder(pool) + "/replica/" + replica.text() + ".json";
}

nvme::ReservationFile Shares::reservation_file(const storage::Device& device) const {
  const auto* replica = dynamic_cast<const storage::Replica*>(&device);
  if (!replica || settings_.reservation_directory.empty()) return {};
  return {&env_.files(), reservation_path(replica->pool_uuid(), replica->uuid()), replica->uuid()};
}

core::Task<void> Shares::forget_reservations(Uuid pool, Uuid replica) {
  if (settings_.reservation_directory.empty()) co_return;
  const std::string path = reservation_path(pool, replica);
  const auto removed = co_await nvme::remove_reservation_file(env_.files(), path);
  if (removed) co_return;
  log_.warn("reservation_left_behind", {{"path", path}, {"error", removed.error().text()}});
}

// Also what stood for volumes that were damaged, and what a crash left half written.
core::Task<void> Shares::forget_reservations(Uuid pool) {
  if (settings_.reservation_directory.empty()) co_return;
  const std::string folder = reservation_folder(pool), files = folder + "/replica";
  auto names = co_await env_.files().list(files);
  Result<void> removed = names ? Result<void>() : std::unexpected(names.error());
  for (std::size_t i = 0; removed && i < names->size(); ++i) {
    removed = co_await env_.files().remove(files + "/" + (*names)[i]);
  }
  if (removed) removed = co_await env_.files().sync_directory(files);
  if (removed) removed = co_await env_.files().remove(files);
  if (removed) removed = co_await env_.files().remove(folder);
  if (removed) removed = co_await env_.files().sync_directory(folder.substr(0, folder.rfind('/')));
  if (removed || removed.error().code == Code::kNotFound) co_return;
  log_.warn("reservation_left_behind", {{"path", folder}, {"error", removed.error().text()}});
}

std::shared_ptr<storage::Device> Shares::device_of(std::string_view nqn) const {
  for (const auto& [name, share] : shares_) {
    if (share->subsystem->nqn() == nqn) return share->device;
  }
  return nullptr;
}

core::Task<void> Shares::end(std::shared_ptr<Share> share) {
  if (std::exchange(share->ending, true)) {
    co_await share->gone.wait();
    co_return;
  }
  co_await target_.remove(share->subsystem->nqn());
  share->subsystem->remove_namespace(kNamespaceId);
  share->device->release();
  shares_.erase(share->device->name());
  log_.info("unshared", {{"device", share->device->name()}});
  share->gone.set();
}

std::vector<std::string> Shares::hosts(const storage::Device& device) const {
  const Share* share = find(device);
  if (!share || share->subsystem->options().any_host) return {};
  return {share->subsystem->hosts().begin(), share->subsystem->hosts().end()};
}

std::string Shares::nvmf_uri(const storage::Device& device) const {
  return "nvmf://" + address().text() + "/" + share_nqn(device.name());
}

std::string Shares::uri(const storage::Device& device) const {
  if (!find(device)) return local_uri(device.name(), device.uuid());
  return "nvmf+tcp://" + address().text() + "/" + share_nqn(device.name()) +
         "?uuid=" + device.uuid().text();
}

// --- what the registry tells ---------------------------------------------------------------------

void Shares::device_added(const storage::DeviceEntry&) {}

void Shares::device_removed(const storage::Device& device) {
  Share* share = find(device);
  if (share && !share->ending) scope_.spawn(end(shares_.at(device.name())));
  if (share) return;
  targets_.device_removed(std::const_pointer_cast<storage::Device>(device.shared_from_this()));
}

void Shares::device_resized(const storage::Device& device) {
  if (Share* share = find(device)) share->subsystem->namespace_resized(kNamespaceId);
  targets_.device_resized(device);
}

}  // namespace capstan::services
