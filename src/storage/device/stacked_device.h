// Why this file exists: a device of its own name over another one, and what can be made of it: a
// device that answers late (for trying how software stands a slow disk). Content and size are those
// of the device below, which the stacked one claims for as long as it lives.
// Thread-safety: the core of the device below.
#pragma once

#include <memory>
#include <string>

#include "core/reactor.h"
#include "storage/device/device.h"

namespace capstan::storage {

class StackedDevice : public Device {
 public:
  // Fails with kFailedPrecondition when the device below is in use.
  static Result<std::shared_ptr<StackedDevice>> make(std::shared_ptr<Device> below,
                                                     std::string name, Uuid uuid);
  ~StackedDevice() override { below_->release(); }

  const std::string& name() const override { return name_; }
  Uuid uuid() const override { return uuid_; }
  std::uint32_t block_size() const override { return below_->block_size(); }
  std::uint64_t num_blocks() const override { return below_->num_blocks(); }
  std::string_view product() const override { return "passthru"; }

  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;

  bool supports_unmap() const override { return below_->supports_unmap(); }
  bool thin() const override { return below_->thin(); }
  bool volatile_cache() const override { return below_->volatile_cache(); }
  bool atomic_4k() const override { return below_->atomic_4k(); }
  core::Task<Result<bool>> rescan() override { return below_->rescan(); }
  core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                    std::uint64_t length) override {
    return below_->allocated(offset, length);
  }
  const std::shared_ptr<Device>& below() const { return below_; }

 protected:
  // `below` is claimed already.
  StackedDevice(std::shared_ptr<Device> below, std::string name, Uuid uuid)
      : below_(std::move(below)), name_(std::move(name)), uuid_(uuid) {}
  // How long the next operation has to wait before it starts.
  virtual core::Nanos delay(bool write) {
    static_cast<void>(write);
    return 0;
  }

 private:
  core::Task<Result<void>> enter(std::uint64_t offset, std::uint64_t length, bool write);

  std::shared_ptr<Device> below_;
  std::string name_;
  Uuid uuid_;
};

// Every hundredth operation of a kind waits for `p99`, the others for `average`.
class DelayDevice final : public StackedDevice {
 public:
  struct Latencies {
    core::Nanos average_read = 0, p99_read = 0, average_write = 0, p99_write = 0;
  };
  static Result<std::shared_ptr<DelayDevice>> make(std::shared_ptr<Device> below, std::string name,
                                                   Uuid uuid, Latencies latencies);
  std::string_view product() const override { return "delay"; }
  const Latencies& latencies() const { return latencies_; }
  void set_latencies(const Latencies& latencies) { latencies_ = latencies; }

 private:
  DelayDevice(std::shared_ptr<Device> below, std::string name, Uuid uuid, Latencies latencies)
      : StackedDevice(std::move(below), std::move(name), uuid), latencies_(latencies) {}
  core::Nanos delay(bool write) override;

  Latencies latencies_;
  std::uint64_t reads_ = 0, writes_ = 0;
};

}  // namespace capstan::storage
