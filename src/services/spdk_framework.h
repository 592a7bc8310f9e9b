// Why this file exists: spdk.Framework: what SPDK's tools ask of the process (jsonrpc sections B.1
// and B.8). A thread of SPDK's is one of our reactors; it has no pollers, because work reaches it
// as events. Configuration is told as the calls that make the present devices again.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include <functional>

#include "rpc/directory.h"
#include "services/node_info.h"
#include "services/spdk_devices.h"
#include "spdk/framework.pb.h"

namespace capstan::services {

class SpdkFrameworkService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;
  using Signal = std::function<Result<void>(int)>;

  // `signal` sends a signal to this process.
  SpdkFrameworkService(SpdkDevices& devices, const NodeInfo& info, Signal signal);

  Answer<spdk::Version> get_version(rpc::Call& call, const Empty&);
  Answer<spdk::Subsystems> get_subsystems(rpc::Call& call, const Empty&);
  Answer<spdk::SubsystemConfig> get_config(rpc::Call& call, const spdk::GetConfigRequest& request);
  Answer<spdk::Reactors> get_reactors(rpc::Call& call, const Empty&);
  Answer<spdk::Scheduler> get_scheduler(rpc::Call& call, const Empty&);
  Answer<Empty> set_scheduler(rpc::Call& call, const spdk::SetSchedulerRequest& request);
  Answer<spdk::Governor> get_governor(rpc::Call& call, const Empty&);
  Answer<spdk::PciDevices> get_pci_devices(rpc::Call& call, const Empty&);
  Answer<spdk::ThreadStats> get_thread_stats(rpc::Call& call, const Empty&);
  Answer<spdk::ThreadPollers> get_thread_pollers(rpc::Call& call, const Empty&);
  Answer<spdk::IoChannels> get_io_channels(rpc::Call& call, const Empty&);
  Answer<Empty> kill_instance(rpc::Call& call, const spdk::KillInstanceRequest& request);

 private:
  SpdkDevices& devices_;
  const NodeInfo& info_;
  Signal signal_;
};

// The calls that create the devices as they are, in an order in which they succeed.
google::protobuf::ListValue saved_devices(SpdkDevices& devices);

Result<void> bind_spdk_framework(rpc::Directory& directory, SpdkFrameworkService& service);

}  // namespace capstan::services
