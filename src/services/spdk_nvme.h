// Why this file exists: spdk.BdevNvme: controllers that this node is connected to as a host, by the
// names that SPDK's clients give them (jsonrpc section B.6). Each has one or more paths; each of
// its namespaces is a device <name>n<namespace>, which comes and goes with the namespace.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/bdev_nvme.pb.h"

namespace capstan::services {

class SpdkNvmeService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkNvmeService(SpdkDevices& devices);
  ~SpdkNvmeService();

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

 private:
  class Controller;

  Controller* find(std::string_view name);
  Result<std::vector<storage::nvme::HostController*>> select(
      const spdk::BdevNvmePathRequest& request);

  SpdkDevices& devices_;
  std::list<std::unique_ptr<Controller>> controllers_;
};

Result<void> bind_spdk_nvme(rpc::Directory& directory, SpdkNvmeService& service);

}  // namespace capstan::services
