// Why this file exists: one NVM subsystem: a name that hosts connect to, the devices they find
// there as namespaces, who may connect, and the controllers that exist because somebody has.
//
// Changes under hosts: add, remove and resize may be called at any time and are told to the hosts
// that want to know. pause() holds new commands back and waits for the running ones, so that what
// is below the namespaces can change without an I/O error; hosts stand seconds of it. Lifetimes:
// shared by the target and its controllers; close() ends all controllers and waits. Claiming a
// device is up to whoever adds it. Thread-safety: one core.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/sync.h"
#include "storage/device/device.h"
#include "storage/nvme/ana.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/log_pages.h"
#include "storage/nvme/nvme_codec.h"
#include "storage/nvme/reservation_set.h"

namespace capstan::storage::nvme {

class Controller;

// What a namespace is besides its device.
struct NamespaceOptions {
  std::uint32_t id = 0;                       // 0: the lowest that is free
  std::optional<Uuid> uuid = {}, nguid = {};  // nothing: the device's
  std::array<std::uint8_t, 8> eui64 = {};     // all zeros: none
  std::uint32_t ana_group = 0;                // 0: as the id
  ReservationFile reservations = {};
  bool auto_visible = true;  // false: only hosts of Subsystem::show_namespace() see it
};

struct Namespace {
  std::uint32_t id = 0;
  std::shared_ptr<Device> device;
  Uuid uuid, nguid;
  std::array<std::uint8_t, 8> eui64{};
  std::uint32_t ana_group = 0;
  std::shared_ptr<ReservationSet> reservations;
  bool auto_visible = true;
  std::set<std::string, std::less<>> hosts;  // that see it, when not all do
  bool visible_to(const std::string& host) const { return auto_visible || hosts.contains(host); }
};

struct SubsystemOptions {
  std::string nqn;
  std::string serial = {};  // at most 20 characters
  std::string model = "Mayastor NVMe controller";
  std::string firmware = {};  // up to 8 characters; empty: the target's
  std::uint16_t min_controller = 1, max_controller = 0xFFEF;
  bool any_host = true;
  std::vector<std::string> allowed_hosts = {};
  // Numbers of the listeners it can be reached by; nothing: all of them.
  std::optional<std::set<std::uint16_t>> ports = {};
  std::uint32_t max_namespaces = limits::kNamespaces;
  bool ana = false;                                          // reports ANA states
  std::uint32_t dsm_range_blocks = limits::kDsmRangeBlocks;  // DMRSL
  std::uint8_t zeroes_size = 12;                             // WZSL
  std::array<std::uint16_t, 3> retry_delays{};               // CRDT1 to 3, in 100 ms
  std::uint8_t error_delay = 1;                              // CRD of errors worth repeating
  std::uint8_t conflict_delay = 1;                           // of exhausted capacity
  bool discovery = false;
};

class Subsystem {
 public:
  // kInvalidArgument: a name that is no NQN, controller ids out of range or order, a long serial.
  static Result<std::shared_ptr<Subsystem>> make(SubsystemOptions options);
  ~Subsystem();
  Subsystem(const Subsystem&) = delete;
  Subsystem& operator=(const Subsystem&) = delete;

  const SubsystemOptions& options() const { return options_; }
  const std::string& nqn() const { return options_.nqn; }
  bool discovery() const { return options_.discovery; }
  void set_firmware(std::string firmware) { options_.firmware = std::move(firmware); }

  // --- listeners ---
  bool on_port(std::uint16_t port) const;
  void add_port(std::uint16_t port);  // of those that it can be reached by
  // Also ends the controllers that came in by it.
  void remove_port(std::uint16_t port);
  // Told to the hosts of that listener, or of all; takes effect on I/O that begins afterwards.
  void set_ana_state(std::optional<std::uint16_t> port, std::optional<std::uint32_t> group,
                     AnaState state);
  const AnaStates& ana_states() const { return ana_; }
  // The groups that have namespaces, as that listener shows them to that host.
  std::vector<AnaGroup> ana_groups(std::uint16_t port, const std::string& host) const;

  // --- namespaces ---
  // kAlreadyExists, kResourceExhausted, kOutOfRange.
  Result<std::uint32_t> add_namespace(std::shared_ptr<Device> device, NamespaceOptions wanted);
  Result<std::uint32_t> add_namespace(std::shared_ptr<Device> device, std::uint32_t id = 0) {
    return add_namespace(std::move(device), NamespaceOptions{.id = id});
  }
  bool remove_namespace(std::uint32_t id);
  // One that was removed, with its reservation; false when its id is taken by now.
  bool put_back(Namespace space);
  void namespace_resized(std::uint32_t id);
  // False when there is no such namespace.
  bool set_ana_group(std::uint32_t id, std::uint32_t group);
  const Namespace* find_namespace(std::uint32_t id) const;
  const std::map<std::uint32_t, Namespace>& namespaces() const { return namespaces_; }
  // Lets one host see a namespace that not all see, or hides it again; the host is told. To do it
  // twice is no error. kNotFound; kFailedPrecondition when all hosts see it; kInvalidArgument for a
  // name that is no NQN; kResourceExhausted.
  Result<void> show_namespace(std::uint32_t id, const std::string& host);
  Result<void> hide_namespace(std::uint32_t id, const std::string& host);

  // --- hosts ---
  bool allows(const std::string& host) const;
  const std::set<std::string, std::less<>>& hosts() const { return hosts_; }
  void allow_any_host(bool any);
  Result<void> allow_host(std::string host);
  // Also ends what this host has connected. False when it was not on the list.
  bool forbid_host(const std::string& host);

  // --- controllers ---
  // Nothing when all ids are in use or the subsystem is being closed.
  std::optional<std::uint16_t> next_controller_id();
  void add_controller(std::shared_ptr<Controller> controller);
  std::shared_ptr<Controller> find_controller(std::uint16_t id) const;
  void forget_controller(std::uint16_t id);
  const std::map<std::uint16_t, std::shared_ptr<Controller>>& controllers() const {
    return controllers_;
  }

  // --- what lost connections leave behind ---
  // Commands that change data and whose connection is gone run to their end all the same. Their
  // host repeats them over another connection and goes on: that one could be overtaken by the old
  // one, so all commands of that host wait until has_leftovers() says no.
  void leave_behind(const HostId& host, std::size_t commands);
  void leftover_ended(const HostId& host);
  bool has_leftovers(const HostId& host) const {
    return !leftovers_.empty() && leftovers_.contains(host);
  }
  core::Event& leftover_gone() { return leftover_gone_; }  // notified for each host's last

  // Every command but those that wait by their nature holds this shared while it runs.
  core::SharedMutex& gate() { return gate_; }
  // New commands wait from now on, the others have ended when it returns.
  core::Task<void> pause();
  void resume() { paused_.release(); }
  bool paused() const { return paused_.owns(); }

  // Returns when no controller is there that `which` applies to.
  core::Task<void> until_gone(std::function<bool(const Controller&)> which);
  // Ends all controllers; returns when the last one has gone. Nobody can connect any more.
  core::Task<void> close();
  bool closed() const { return closed_; }

  Health& health() { return health_; }
  // Called when something changed that discovery shows.
  void on_visible_change(std::function<void()> observer) { observer_ = std::move(observer); }

 private:
  explicit Subsystem(SubsystemOptions options) : options_(std::move(options)) {}
  Result<Namespace*> masked_namespace(std::uint32_t id);
  // To those who see it.
  void namespace_changed(const Namespace& space);
  void tell_host(std::uint32_t id, const std::string& host);
  void ana_changed(std::optional<std::uint16_t> port);
  void visible_change() const {
    if (observer_) observer_();
  }
  std::vector<std::shared_ptr<Controller>> current() const;

  SubsystemOptions options_;
  std::set<std::string, std::less<>> hosts_;
  std::map<std::uint32_t, Namespace> namespaces_;
  AnaStates ana_;
  std::map<std::uint16_t, std::shared_ptr<Controller>> controllers_;
  std::uint16_t last_controller_ = 0;
  core::SharedMutex gate_;
  core::SharedMutex::Guard paused_;
  core::Event forgotten_;
  std::map<HostId, std::size_t> leftovers_;
  core::Event leftover_gone_;
  bool closed_ = false;
  Health health_;
  std::function<void()> observer_;
};

}  // namespace capstan::storage::nvme
