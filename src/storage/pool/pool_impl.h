// Why this file exists: the Pool that users hold: names, uuids and options become volumes of a
// Store. It decides who may do what; how it reaches the disk is the Store's business.
// Every change holds Store::management() for its whole length, so two of them never interleave.
// Thread-safety: core 0.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "storage/pool/pool.h"
#include "storage/pool/replica_impl.h"
#include "storage/pool/store.h"

namespace capstan::storage::lvs {

PoolInfo describe(const Store& store);
std::unexpected<Error> not_found(const Store& store, const Uuid& uuid);

class PoolImpl final : public Pool {
 public:
  PoolImpl(core::Env& env, std::shared_ptr<Store> store);

  const std::string& name() const override { return store_->name(); }
  Uuid uuid() const override { return store_->uuid(); }
  std::shared_ptr<Device> device() const override { return device_; }
  PoolInfo info() const override;
  void on_health_change(std::function<void(const PoolHealth&)> tell) override {
    store_->on_health_change(std::move(tell));
  }
  void device_lost(const std::string& why) override { store_->device_lost(why); }
  std::vector<std::shared_ptr<Replica>> replicas() const override;
  std::vector<FaultedVolume> faulted() const override;
  std::shared_ptr<Replica> find(const Uuid& uuid) const override;
  std::shared_ptr<Replica> find(std::string_view name) const override;
  core::Task<Result<std::shared_ptr<Replica>>> create_replica(ReplicaOptions options) override;
  core::Task<Result<void>> destroy_replica(Uuid uuid) override;
  core::Task<Result<void>> set_attribute(Uuid uuid, std::string key, std::string value) override;
  core::Task<Result<void>> resize_replica(Uuid uuid, std::uint64_t size_bytes) override;
  core::Task<Result<bool>> grow() override;
  // Writes now what the load found to be repaired, which otherwise waits for the first change; the
  // pool counts as not unloaded after it.
  core::Task<Result<void>> repair();
  core::Task<Result<void>> unload() override;
  core::Task<Result<void>> destroy() override;
  std::vector<std::string> notes() const override { return store_->notes(); }

 private:
  Result<void> check_new(const ReplicaOptions& options) const;
  // Room in the memory of maps for a volume of `clusters` instead of one of `before` groups.
  Result<void> check_map_room(std::uint64_t clusters, std::uint64_t before) const;
  Result<void> check_resize(const ReplicaImpl& replica, std::uint64_t size_bytes) const;
  Blob new_blob(const ReplicaOptions& options) const;
  core::Task<Result<void>> place(Volume& volume);
  core::Task<Result<void>> fill_thick(Volume& volume);
  void give_up(Volume& volume);
  std::shared_ptr<Volume> find_volume(const Uuid& uuid) const;
  void name_damaged();
  std::shared_ptr<ReplicaImpl> replica_of(const Uuid& uuid) const;

  core::Env& env_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<Device> device_;
  std::map<std::string, std::shared_ptr<ReplicaImpl>, std::less<>> replicas_;  // by name
  std::map<std::uint64_t, Uuid> damaged_uuids_;  // by blob id; what faulted() shows
};

}  // namespace capstan::storage::lvs
