// Why this file exists: a Pool is one Device formatted as an SPDK lvstore (FORMAT.md beside this
// file), from which Replicas, thin or thick, are cut. Every call that changes something answers
// after the change is durable (lvs-format section 14: the durability contract).
//
// Ownership: the Pool claims its device and owns its replicas by shared_ptr; a Replica is itself a
// Device. After unload() or destroy() every Replica of the pool answers kFailedPrecondition.
// Concurrency: metadata changes of one pool are serialised inside; I/O of replicas runs beside
// them. Thread-safety: core 0.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "core/env.h"
#include "storage/device/device.h"

namespace capstan::storage {

class Replica;

struct PoolOptions {
  std::uint32_t cluster_size_bytes = 4U << 20;
  std::uint32_t md_resv_percent = 100;  // lvs-format section 10.1, R
  bool force = false;                   // overwrite a damaged pool or a foreign signature
  // Unmapping whole clusters of thin replicas gives them back (never in clones, where the
  // ancestor's data would show again: there they are zeroed).
  bool cluster_unmap = true;
};

// How well a pool works. While it is open this only gets worse: what failed once is not trusted
// again before the pool was exported and imported.
struct PoolHealth {
  enum class State : std::uint8_t {
    kOnline,
    // The device failed to read or write data, and whoever asked was told; or it has not answered
    // a request for 10 s, which waits on. Everything else goes on.
    kDegraded,
    // A metadata write or a flush failed, or the device is gone: reads go on as far as they can,
    // changes are refused.
    kFaulted,
  } state = State::kOnline;
  std::string reason;           // the error that led to the state; empty while online
  std::uint64_t io_errors = 0;  // failed reads and writes of data
};

struct PoolInfo {
  std::string name;
  Uuid uuid;
  std::uint64_t cluster_size_bytes = 0;
  std::uint64_t capacity_bytes = 0;  // cluster size × data clusters
  std::uint64_t used_bytes = 0;
  std::uint64_t committed_bytes = 0;  // io-engine-behaviour section 7.3
  std::uint64_t disk_capacity_bytes = 0;
  std::uint64_t growable_bytes = 0;  // what the disk may grow to with the masks that there are
  std::uint32_t page_size_bytes = 4096;
  std::uint64_t md_pages = 0, md_used_pages = 0;
  std::uint32_t block_size = 512;
  bool faulted = false;  // health.state is kFaulted
  PoolHealth health;
};

struct ReplicaOptions {
  std::string name;
  Uuid uuid;                     // nil: the caller has not chosen; a random one is used
  std::uint64_t size_bytes = 0;  // rounded up to clusters
  bool thin = false;
  std::optional<std::string> entity_id;
};

// What a damaged volume is: listed, never opened. Name and uuid are made up (from the blob id, the
// same at every load) when its own cannot be read or belong to another one.
struct FaultedVolume {
  std::uint64_t blob_id = 0;
  std::string name;
  Uuid uuid;
  std::string reason;
};

class Pool {
 public:
  // What stands on a device, without changing anything. kNotFound: no pool signature here;
  // kDataLoss: a signature, but damaged (errno EILSEQ); the text says what is wrong.
  static core::Task<Result<PoolInfo>> probe(std::shared_ptr<Device> device);

  // Formats. Refuses (kFailedPrecondition, naming what is there) a device with a foreign signature
  // or a damaged pool unless options.force. kInvalidArgument: name, cluster size, too small.
  static core::Task<Result<std::unique_ptr<Pool>>> create(core::Env& env,
                                                          std::shared_ptr<Device> device,
                                                          std::string name, Uuid uuid,
                                                          PoolOptions options);
  // Loads an existing pool, recovering it when it was not unloaded cleanly.
  static core::Task<Result<std::unique_ptr<Pool>>> load(core::Env& env,
                                                        std::shared_ptr<Device> device,
                                                        PoolOptions options = {});
  virtual ~Pool() = default;  // unload() or destroy() first, or after a simulated power cut

  virtual const std::string& name() const = 0;
  virtual Uuid uuid() const = 0;
  virtual std::shared_ptr<Device> device() const = 0;
  virtual PoolInfo info() const = 0;
  // `tell` is called at once when the state of the pool's health changes, in the middle of the
  // operation that failed: it must not wait, nor close the pool. Until the pool is closed.
  virtual void on_health_change(std::function<void(const PoolHealth&)> tell) = 0;
  // Somebody knows that the device is gone, before an operation finds out.
  virtual void device_lost(const std::string& why) = 0;

  // By name order. Snapshots and clones included.
  virtual std::vector<std::shared_ptr<Replica>> replicas() const = 0;
  virtual std::vector<FaultedVolume> faulted() const = 0;
  // What the load had to recover, one sentence each; for the log.
  virtual std::vector<std::string> notes() const = 0;
  virtual std::shared_ptr<Replica> find(const Uuid& uuid) const = 0;
  virtual std::shared_ptr<Replica> find(std::string_view name) const = 0;

  // kAlreadyExists (name or uuid in this pool), kOutOfRange with EOVERFLOW (larger than the pool),
  // kResourceExhausted with ENOSPC (thick, too few free clusters) or EMFILE (out of md pages).
  virtual core::Task<Result<std::shared_ptr<Replica>>> create_replica(ReplicaOptions options) = 0;
  // kNotFound; kFailedPrecondition with EBUSY when it has clones or is claimed.
  virtual core::Task<Result<void>> destroy_replica(Uuid uuid) = 0;
  // Another size, rounded up to clusters; equal is fine. Requests go on meanwhile; those behind a
  // new end are refused as soon as the shrink begins, and what stood there is gone for good. What a
  // growth adds reads as zeros, or in a clone as its snapshot's data. kNotFound; kInvalidArgument
  // (0); kOutOfRange with EOVERFLOW (grown larger than the pool); kPermissionDenied with EPERM (a
  // snapshot); kFailedPrecondition with EBUSY (a shrink of a claimed one); kResourceExhausted with
  // ENOSPC (thick, too few free clusters) or EMFILE.
  virtual core::Task<Result<void>> resize_replica(Uuid uuid, std::uint64_t size_bytes) = 0;
  // Takes what the device has grown by into use, as far as whole clusters go; false when that is
  // nothing. The caller has the device rescanned before. kFailedPrecondition: the device shrank;
  // kResourceExhausted with ENOSPC: larger than the metadata made room for at creation
  // (PoolInfo::growable_bytes).
  virtual core::Task<Result<bool>> grow() = 0;
  // Stores a user attribute (lvs-format section 8.3); `value` byte for byte, NUL included if
  // wanted.
  virtual core::Task<Result<void>> set_attribute(Uuid uuid, std::string key, std::string value) = 0;

  // Quiesces, writes masks and the clean super block, releases the device.
  virtual core::Task<Result<void>> unload() = 0;
  // Deletes everything: super block first. Releases the device.
  virtual core::Task<Result<void>> destroy() = 0;
};

// Space of one replica, in the words of io-engine-behaviour section 8.3.
struct ReplicaUsage {
  std::uint64_t capacity_bytes = 0, allocated_bytes = 0, cluster_size = 0, num_clusters = 0;
  std::uint64_t num_allocated_clusters = 0;
  std::uint64_t num_allocated_clusters_snapshots = 0, allocated_bytes_snapshots = 0;
  std::optional<std::uint64_t> allocated_bytes_snapshot_from_clone;
};

class Replica : public Device {
 public:
  virtual const std::string& pool_name() const = 0;
  virtual Uuid pool_uuid() const = 0;
  bool thin() const override = 0;
  virtual bool read_only() const = 0;
  virtual bool is_snapshot() const = 0;  // section 8.3: snapshot_create_time
  virtual bool is_clone() const = 0;     // source_uuid names an existing volume
  virtual ReplicaUsage usage() const = 0;
  virtual std::uint64_t blob_id() const = 0;
  // The attribute's text without trailing NULs; nothing when absent or only NULs.
  virtual std::optional<std::string> attribute(std::string_view key) const = 0;
  virtual std::map<std::string, std::string> attributes() const = 0;  // raw values
};

}  // namespace capstan::storage
