// Why this file exists: spdk.BdevModules: the calls that make and delete each kind of device, over
// SpdkDevices (jsonrpc section B.3). A device is made through the same URIs that other services
// use. Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/bdev_modules.pb.h"

namespace capstan::services {

class SpdkModulesService {
 public:
  using Empty = google::protobuf::Empty;
  using Name = spdk::BdevName;
  using NameRequest = spdk::BdevNameRequest;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkModulesService(SpdkDevices& devices) : devices_(devices) {}

  Answer<Name> malloc_create(rpc::Call& call, const spdk::MallocCreateRequest& request);
  Answer<Empty> malloc_delete(rpc::Call& call, const NameRequest& request);
  Answer<Name> null_create(rpc::Call& call, const spdk::NullCreateRequest& request);
  Answer<Empty> null_delete(rpc::Call& call, const NameRequest& request);
  Answer<Empty> null_resize(rpc::Call& call, const spdk::NullResizeRequest& request);
  Answer<Name> aio_create(rpc::Call& call, const spdk::AioCreateRequest& request);
  Answer<Empty> aio_rescan(rpc::Call& call, const NameRequest& request);
  Answer<Empty> aio_delete(rpc::Call& call, const NameRequest& request);
  Answer<Name> uring_create(rpc::Call& call, const spdk::UringCreateRequest& request);
  Answer<Empty> uring_rescan(rpc::Call& call, const NameRequest& request);
  Answer<Empty> uring_delete(rpc::Call& call, const NameRequest& request);
  Answer<Name> passthru_create(rpc::Call& call, const spdk::PassthruCreateRequest& request);
  Answer<Empty> passthru_delete(rpc::Call& call, const NameRequest& request);
  Answer<Name> delay_create(rpc::Call& call, const spdk::DelayCreateRequest& request);
  Answer<Empty> delay_update(rpc::Call& call, const spdk::DelayUpdateLatencyRequest& request);
  Answer<Empty> delay_delete(rpc::Call& call, const NameRequest& request);
  Answer<Empty> error_create(rpc::Call& call, const spdk::ErrorCreateRequest& request);
  Answer<Empty> error_inject(rpc::Call& call, const spdk::ErrorInjectErrorRequest& request);
  Answer<Empty> error_resume(rpc::Call& call, const NameRequest& request);
  Answer<Empty> error_delete(rpc::Call& call, const NameRequest& request);

 private:
  Answer<Empty> remove(rpc::Call& call, const NameRequest& request, std::string scheme);
  Answer<Empty> rescan(rpc::Call& call, const NameRequest& request, std::string scheme);
  Answer<Empty> undefine(rpc::Call& call, const NameRequest& request, StackedDefinition::Kind kind);

  SpdkDevices& devices_;
  std::uint64_t malloc_names_ = 0;  // Malloc0, Malloc1 … given so far
};

Result<void> bind_spdk_modules(rpc::Directory& directory, SpdkModulesService& service);

}  // namespace capstan::services
