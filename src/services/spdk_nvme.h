// Why this file exists: spdk.BdevNvme: controllers that this node is connected to as a host, by the
// names that SPDK's clients give them (jsonrpc section B.6). Each has one or more paths; each of
// its namespaces is a device <name>n<namespace>, which comes and goes with the namespace.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include <cerrno>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/scope.h"
#include "google/protobuf/struct.pb.h"
#include "rpc/directory.h"
#include "rpc/json_call.h"
#include "services/spdk_devices.h"
#include "services/spdk_discovery.h"
#include "spdk/bdev_nvme.pb.h"

namespace capstan::services {

class SpdkNvmeService final : private SpdkDiscovery::Controllers {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkNvmeService(SpdkDevices& devices);
  ~SpdkNvmeService() override;

  Answer<spdk::BdevNvmeNames> attach(rpc::Call& call, const spdk::BdevNvmeAttachRequest& request);
  Answer<Empty> detach(rpc::Call& call, const spdk::BdevNvmeDetachRequest& request);
  Answer<spdk::BdevNvmeControllers> get_controllers(rpc::Call& call,
                                                    const spdk::BdevNvmeSelector& request);
  Answer<Empty> reset(rpc::Call& call, const spdk::BdevNvmePathRequest& request);
  Answer<Empty> enable(rpc::Call& call, const spdk::BdevNvmePathRequest& request);
  Answer<Empty> disable(rpc::Call& call, const spdk::BdevNvmePathRequest& request);
  Answer<Empty> set_options(rpc::Call& call, const spdk::BdevNvmeOptions& request);
  Answer<Empty> set_preferred_path(rpc::Call& call, const spdk::BdevNvmePathRequest& request);
  Answer<spdk::BdevNvmeIoPaths> get_io_paths(rpc::Call& call,
                                             const spdk::BdevNvmeSelector& request);
  Answer<spdk::BdevNvmeHealth> get_health(rpc::Call& call, const spdk::BdevNvmeSelector& request);
  Answer<Empty> set_policy(rpc::Call& call, const spdk::BdevNvmePolicyRequest& request);
  Answer<spdk::BdevNvmeTransportStatistics> get_statistics(rpc::Call& call, const Empty& request);
  Answer<Empty> set_hotplug(rpc::Call& call, const spdk::BdevNvmeHotplugRequest& request);
  // --- spdk_nvme_more.cc
  Answer<Empty> start_discovery(rpc::Call& call,
                                const spdk::BdevNvmeStartDiscoveryRequest& request);
  Answer<Empty> stop_discovery(rpc::Call& call, const spdk::BdevNvmeSelector& request);
  Answer<spdk::BdevNvmeDiscoveries> get_discovery_info(rpc::Call& call, const Empty& request);
  Answer<Empty> add_fault(rpc::Call& call, const spdk::BdevNvmeErrorInjection& request);
  Answer<Empty> remove_fault(rpc::Call& call, const spdk::BdevNvmeErrorInjection& request);

  // Follows no discovery service any more; what was attached is left to the end of the initiator,
  // after which join() returns at once.
  void leave();
  core::Task<void> join() { return scope_.join(); }

 private:
  class Controller;
  struct Discovery {
    std::shared_ptr<SpdkDiscovery> service;
    spdk::BdevNvmeStartDiscoveryRequest request;  // that started it, to be saved
  };

  Controller* find(std::string_view name);
  std::shared_ptr<SpdkDiscovery> find_discovery(std::string_view name);
  core::Task<void> keep(std::shared_ptr<SpdkDiscovery> discovery);
  static Result<void> check_joins(const Controller& there,
                                  const storage::nvme::HostOptions& options, bool disabled);
  // Adds the path to the controller of that name, which is made if it is not there.
  core::Task<Result<void>> add_path(std::string name, storage::nvme::HostOptions options,
                                    storage::nvme::PathPolicy policy, core::CancelToken token);
  // Opens the pools on the controller's devices. Those devices that no path leads to now are looked
  // at when one does. The token ends the waiting, not the opening.
  core::Task<void> examine(std::string controller, core::CancelToken token);
  struct Examined;
  core::Task<void> examine_in_turn(std::vector<std::shared_ptr<storage::Device>> devices,
                                   std::shared_ptr<Examined> done);
  void examine_later(std::vector<std::shared_ptr<storage::Device>> devices);
  using Fits = std::function<bool(const storage::nvme::HostOptions& path)>;
  // ENODEV when there is no such path.
  core::Task<Result<void>> detach_paths(std::string name, core::CancelToken token, Fits fits);
  bool has_controller(const std::string& name) const override;
  core::Task<Result<void>> attach_found(std::string controller, storage::nvme::HostOptions path,
                                        core::CancelToken token) override;
  core::Task<Result<void>> detach_found(std::string controller,
                                        storage::nvme::HostOptions path) override;
  storage::nvme::HostController* fault_path(const spdk::BdevNvmeErrorInjection& request);
  void save_options(google::protobuf::ListValue& list) const;
  void save_controllers(google::protobuf::ListValue& list) const;
  using Paths = std::vector<std::shared_ptr<storage::nvme::HostController>>;
  Result<Paths> select(const spdk::BdevNvmePathRequest& request);
  static core::Task<Result<void>> retry(Paths paths, core::CancelToken token);

  SpdkDevices& devices_;
  std::list<std::unique_ptr<Controller>> controllers_;
  std::list<Discovery> discoveries_;
  spdk::BdevNvmeOptions options_;     // as they were set
  storage::nvme::PathPolicy policy_;  // of controllers that come without one
  core::Scope scope_;
};

// --- parameters, shared by the files of this service ---
namespace spdk_nvme {

std::unexpected<Error> no_controller(const std::string& name);
void show_address(const core::Address& address, spdk::BdevNvmeTransport& out);
bool same_word(std::string_view a, std::string_view b);
const char* family_of(const core::Address& address);  // "IPv4", "IPv6"
// What multipath_opts and bdev_nvme_set_multipath_policy say, beyond what is set already.
Result<storage::nvme::PathPolicy> policy_of(const rpc::Call& call,
                                            const spdk::BdevNvmePathOptions& wanted,
                                            storage::nvme::PathPolicy policy);
template <class T>
std::optional<T> given(bool has, T value) {
  return has ? std::optional<T>(value) : std::nullopt;
}
// -22 with SPDK's text.
std::unexpected<Error> refused(std::string text);
// -22 "<what> too long: <text>".
Result<void> check_length(const char* what, const std::string& text, std::size_t most);
Result<void> check_family(const std::string& family);
inline constexpr std::size_t kAddressBytesMax = 256, kServiceBytesMax = 32;
// -19 for another transport than TCP, -22 for a port that is none and what is too long.
Result<core::Address> address_of(const std::string& transport, const std::string& host,
                                 std::optional<std::string> service);
// What a request says of where a path leads to.
template <class Request>
Result<core::Address> address_in(const Request& request) {
  TRY(check_length("traddr", request.traddr(), kAddressBytesMax));
  TRY(check_family(request.adrfam()));
  TRY(check_length("trsvcid", request.trsvcid(), kServiceBytesMax));
  TRY_SET(auto address, address_of(request.trtype(), request.traddr(),
                                   given(request.has_trsvcid(), request.trsvcid())));
  if (request.adrfam().empty() || same_word(request.adrfam(), family_of(address))) return address;
  return rpc::json_errno(EIO, "'" + address.host + "' is no address of " + request.adrfam());
}
// The three times of reconnecting, as SPDK wants them to fit together.
template <class Request>
Result<void> set_times(storage::nvme::HostOptions& options, const Request& request) {
  if (request.has_ctrlr_loss_timeout_sec() && request.ctrlr_loss_timeout_sec() == 0 &&
      (request.reconnect_delay_sec() != 0 || request.fast_io_fail_timeout_sec() != 0)) {
    return rpc::json_errno(EINVAL, "who is not to reconnect has no times for it");
  }
  const auto set = set_reconnect_times(
      options, given(request.has_ctrlr_loss_timeout_sec(), request.ctrlr_loss_timeout_sec()),
      given(request.has_reconnect_delay_sec(), request.reconnect_delay_sec()),
      given(request.has_fast_io_fail_timeout_sec(), request.fast_io_fail_timeout_sec()));
  return set ? set : rpc::json_errno(EINVAL, set.error().message);
}

}  // namespace spdk_nvme

Result<void> bind_spdk_nvme(rpc::Directory& directory, SpdkNvmeService& service);

}  // namespace capstan::services
