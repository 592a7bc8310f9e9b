// Why this file exists: a discovery service that is followed (bdev_nvme_start_discovery): a
// persistent connection to it, and the controllers that its log names, attached when they come into
// the log and detached when they are gone from it. Each subsystem gets a name, <prefix><number>;
// further addresses of it become further paths.
//
// What cannot be attached is tried again later. A service that is lost takes nothing away: what it
// had named stays until the log says otherwise.
// Lifetimes: engine and controllers outlive it; run() has returned before the destructor.
// Thread-safety: core 0.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/sync.h"
#include "services/engine.h"

namespace capstan::services {

class SpdkDiscovery final : private storage::nvme::HostController::Listener {
 public:
  using HostOptions = storage::nvme::HostOptions;
  // Who has the controllers.
  class Controllers {
   public:
    virtual ~Controllers() = default;
    virtual bool has_controller(const std::string& name) const = 0;
    // The token ends it early.
    virtual core::Task<Result<void>> attach_found(std::string controller, HostOptions path,
                                                  core::CancelToken token) = 0;
    // An error: it is still there.
    virtual core::Task<Result<void>> detach_found(std::string controller, HostOptions path) = 0;
  };

  // `options`: of the controllers that are attached; its address is that of the service.
  SpdkDiscovery(Engine& engine, Controllers& controllers, std::string name, HostOptions options);
  ~SpdkDiscovery() override;

  // Until stop(); nothing of it is connected then, nor attached if it was to be detached.
  core::Task<void> run();
  void stop(bool detach);
  core::Event& ended() { return ended_; }
  // Returns when all that the log names was tried once, or after `patience` (0: any time).
  core::Task<Result<void>> wait(core::Nanos patience, core::CancelToken token);

  const std::string& name() const { return name_; }
  const HostOptions& options() const { return options_; }
  const std::vector<storage::nvme::DiscoveryRecord>& referrals() const { return referrals_; }
  bool attached(const std::string& controller) const;

 private:
  struct Found {
    std::string subsystem, controller;
    core::Address address;
    bool is(const storage::nvme::DiscoveryRecord& record) const;
  };

  void path_changed() override { note_change(); }
  void namespaces_changed() override {}
  void discovery_changed() override { note_change(); }
  void note_change();
  core::Task<bool> look();
  core::Task<bool> follow(std::vector<storage::nvme::DiscoveryRecord> records);
  core::Task<bool> attach(storage::nvme::DiscoveryRecord record);
  core::Task<bool> detach(Found found);
  void forget(const Found& found);
  core::Task<void> rest(bool complete);
  HostOptions path_options(const Found& found) const;
  void warn(const char* event, const std::string& subsystem, const Error& error);

  Engine& engine_;
  Controllers& controllers_;
  const std::string name_;
  const HostOptions options_;
  std::shared_ptr<storage::nvme::HostController> service_;  // null: never reached
  std::vector<Found> found_;
  std::map<std::string, std::string> names_;  // of controllers, by subsystem
  unsigned next_ = 0;
  std::vector<storage::nvme::DiscoveryRecord> referrals_;
  bool dirty_ = false, stopping_ = false, detach_ = true;
  core::CancelSource leaving_;  // fired by stop(): ends what is just being connected
  core::Event changed_, tried_, ended_;
};

}  // namespace capstan::services
