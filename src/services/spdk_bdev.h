// Why this file exists: spdk.Bdev: every device of the node in SPDK's words, with the members of
// its lists in SPDK's order (jsonrpc section B.2). Values are the engine's; what the engine does
// not have (rate limits, zones) is said as SPDK says that it is off.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/bdev.pb.h"

namespace capstan::services {

class SpdkBdevService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkBdevService(SpdkDevices& devices) : devices_(devices) {}

  Answer<spdk::Bdevs> get_bdevs(rpc::Call& call, const spdk::GetBdevsRequest& request);
  Answer<spdk::Iostat> get_iostat(rpc::Call& call, const spdk::GetIostatRequest& request);
  Answer<Empty> reset_iostat(rpc::Call& call, const spdk::ResetIostatRequest& request);
  Answer<Empty> wait_for_examine(rpc::Call& call, const Empty&);
  Answer<Empty> examine(rpc::Call& call, const spdk::ExamineRequest& request);
  Answer<Empty> set_options(rpc::Call& call, const spdk::SetBdevOptionsRequest& request);

 private:
  void dump(const storage::DeviceEntry& entry, spdk::BdevInfo& out) const;
  void dump_driver(const storage::DeviceEntry& entry, spdk::DriverSpecific& out) const;
  void dump_volume(const storage::Replica& volume, spdk::LvolSpecific& out) const;
  Result<std::vector<storage::Device*>> selected(const spdk::GetIostatRequest& request) const;

  SpdkDevices& devices_;
};

Result<void> bind_spdk_bdev(rpc::Directory& directory, SpdkBdevService& service);

}  // namespace capstan::services
