// Why this file exists: the NVMe simulation. One seed is one story: a node with a pool on a
// simulated disk serves two replicas over NVMe/TCP to several hosts, which are our initiator over
// one or two paths. Connections break after any byte and at random times, the network splits, the
// power of the node fails, its process is killed or it restarts in order; it comes back, the hosts
// reconnect and repeat what they have no answer to.
//
// What is checked: every read shows the newest acknowledged write, whatever became of the
// connections that older ones were sent over; after a power cut what was flushed is there, and
// nothing older, torn or foreign is; a compare-and-write is done whole or not at all; no request
// fails that may be repeated. On the second replica one host holds and releases a reservation that
// persists through power loss, and another one writes: it is refused exactly while it is held.
// Thread-safety: one thread; an NvmeSim runs once.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/scope.h"
#include "core/sim_env.h"
#include "sim/oracle.h"
#include "storage/device/file_device.h"
#include "storage/nvme/initiator.h"
#include "storage/nvme/initiator_device.h"
#include "storage/nvme/target.h"
#include "storage/pool/pool.h"

namespace capstan::sim {

struct NvmeSimOptions {
  std::uint64_t seed = 1;
  bool verbose = false;
  bool lying_disk = false;   // syncs do nothing: the checks must notice
  bool forget_ptpl = false;  // reservations end with the process: likewise
};

struct NvmeSimResult {
  std::string failure;  // empty: passed
  std::string story;    // configuration, for the report of a failure
  std::uint64_t trace_hash = 0, reconnects = 0;
  unsigned cuts = 0, kills = 0, restarts = 0, breaks = 0, partitions = 0;
  unsigned writes = 0, flushes = 0, reads = 0, swaps = 0, unknown_swaps = 0, reservations = 0,
           conflicts = 0;
};

class NvmeSim {
 public:
  explicit NvmeSim(NvmeSimOptions options);
  ~NvmeSim();
  NvmeSimResult run();

 private:
  // A request of a host that has no answer yet. What it changes is told to the oracle again when
  // the node comes back, because then the oracle has forgotten everything that was in flight.
  struct Request {
    std::uint64_t first = 0, count = 0;  // sectors
    bool changes = false, maybe = false;
    Value value = 0;
    SectorOracle::Change change;
  };
  struct Host {
    std::unique_ptr<core::SimEnv> env;
    std::unique_ptr<storage::nvme::Initiator> initiator;
    storage::nvme::HostOptions options;
    unsigned number = 0, paths = 1;
    std::shared_ptr<storage::nvme::RemoteDevice> data, locks;
  };
  enum class Lock : std::uint8_t { kNone, kRegistered, kHeld };
  enum class End : std::uint8_t { kPower, kKill, kOrder };

  // --- nvme_sim.cc: the life of the node and of the network
  void configure();
  core::Task<void> story();
  core::Task<void> generation(unsigned number, bool last);
  core::Task<bool> start();  // false: the power failed meanwhile, or a check did
  core::Task<bool> open_pool();
  core::Task<bool> check_survivors();
  core::Task<bool> check_content(bool cut);
  core::Task<bool> serve();
  core::Task<void> live(core::Nanos duration);
  core::Task<void> stop(bool in_order);
  core::Task<void> breaker();
  void break_something();
  core::Task<void> finish();
  void begin_again(Request& request);
  void fail(std::string text);
  template <class... Parts>
  void note(const Parts&... parts) {
    if (!options_.verbose) return;
    std::ostringstream text;
    (text << ... << parts);
    tell(text.str());
  }
  void tell(const std::string& text) const;

  // --- nvme_sim_hosts.cc: what the hosts do
  core::Task<void> host(Host* host);
  core::Task<bool> connect(Host* host);
  core::Task<void> worker(Host* host);
  core::Task<void> operate(Host* host);
  core::Task<void> write(Host* host, Request* request);
  core::Task<void> clear(Host* host, Request* request, bool unmap);
  core::Task<void> read(Host* host, Request* request);
  core::Task<void> swap(Host* host, Request* request);
  core::Task<void> flush(Host* host);
  bool pick_range(Request& request, std::uint64_t most_blocks);
  core::Task<void> holder(Host* host);
  core::Task<bool> change_lock(Host* host, Lock wanted);
  core::Task<bool> look_at_lock(Host* host);
  core::Task<void> intruder(Host* host);

  NvmeSimOptions options_;
  core::SimWorld world_;
  std::unique_ptr<core::SimEnv> env_;
  core::SimDisk* disk_ = nullptr;
  core::SimDiskOptions disk_options_;
  storage::PoolOptions pool_options_;
  unsigned generations_ = 0;

  std::unique_ptr<core::LogSink> sink_;
  std::unique_ptr<core::Log> log_;
  std::shared_ptr<storage::FileDevice> device_;
  std::unique_ptr<storage::Pool> pool_;
  std::unique_ptr<storage::nvme::Target> target_;
  bool pool_made_ = false;
  unsigned life_ = 0;      // counts starts
  End end_ = End::kPower;  // of the generation before, or of the last that was looked at since
  bool looked_ = false;    // at all that has survived it

  std::list<Host> hosts_;
  core::Scope workers_;
  core::Scope breakers_;
  core::Event listening_;  // set when hosts can connect for the first time
  bool calm_ = false;      // nothing breaks any more
  bool ending_ = false;    // the hosts are to finish

  std::uint64_t size_bytes_ = 0;
  std::unique_ptr<SectorOracle> oracle_;
  std::list<Request*> requests_;
  Value next_value_ = 1;

  std::set<Lock> lock_ = {Lock::kNone};  // that it may be
  std::uint64_t lock_epoch_ = 0;         // counts changes of lock_, and those that begin
  std::string failure_;
  NvmeSimResult result_;
};

}  // namespace capstan::sim
