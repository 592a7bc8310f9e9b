// Why this file exists: all controllers that one node is connected to as a host, and asking a
// target what it offers. An Initiator keeps every association until its last user has let go of it
// and it has been closed in order; shutdown() closes all of them.
// Lifetimes: env and log outlive it; shutdown() comes before the destructor. Thread-safety: one
// core.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "storage/nvme/initiator_controller.h"
#include "storage/nvme/log_pages.h"

namespace capstan::storage::nvme {

class Initiator {
 public:
  Initiator(core::Env& env, const core::Log& log);
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  // Connects once; errors are those of HostController::establish(), kInvalidArgument for names that
  // are no NQNs, and kResourceExhausted. Who lets go of the last pointer closes the controller.
  core::Task<Result<std::shared_ptr<HostController>>> connect(HostOptions options,
                                                              core::CancelToken token = {});
  // Ends what is being connected; connect() fails from then on. What is connected stays.
  void stop_connecting();
  // Closes everything, also what is being connected, and waits for it. connect() fails from then
  // on.
  core::Task<void> shutdown();

  // Those that are there, in the order in which they were made; looking keeps none of them.
  std::vector<HostController*> controllers() const;

 private:
  core::Task<void> keep(std::shared_ptr<HostController> controller);

  core::Env& env_;
  core::Log log_;
  bool closed_ = false;
  std::list<HostController*> controllers_;
  std::size_t connecting_ = 0;
  core::Event idle_;
  core::Scope scope_;
};

// What a discovery controller tells this host; read again when it changes meanwhile.
core::Task<Result<std::vector<DiscoveryRecord>>> read_discovery_log(
    std::shared_ptr<HostController> controller);

// What the discovery service at `options.address` tells this host. The subsystem of the options
// does not matter.
core::Task<Result<std::vector<DiscoveryRecord>>> discover(Initiator& initiator,
                                                          HostOptions options);

// A host id that stays the same for one name.
HostId host_id_of(const Uuid& uuid);

}  // namespace capstan::storage::nvme
