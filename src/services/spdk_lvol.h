// Why this file exists: spdk.Lvol: pools and replicas by SPDK's names, over pool_ops.h and
// replica_ops.h, so that PoolRpc and ReplicaRpc show the same objects (jsonrpc section B.4).
// What the store itself refuses is answered with SPDK's odd codes: -32602 and the errno's text.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/lvol.pb.h"

namespace capstan::services {

class SpdkLvolService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkLvolService(Engine& engine) : engine_(engine) {}

  Answer<spdk::LvolUuid> create_lvstore(rpc::Call& call, const spdk::CreateLvstoreRequest& request);
  Answer<Empty> delete_lvstore(rpc::Call& call, const spdk::LvstoreSelector& request);
  Answer<spdk::Lvstores> get_lvstores(rpc::Call& call, const spdk::LvstoreSelector& request);
  Answer<Empty> grow_lvstore(rpc::Call& call, const spdk::LvstoreSelector& request);
  Answer<spdk::LvolUuid> create(rpc::Call& call, const spdk::CreateLvolRequest& request);
  Answer<Empty> remove(rpc::Call& call, const spdk::LvolNameRequest& request);
  Answer<Empty> resize(rpc::Call& call, const spdk::ResizeLvolRequest& request);
  Answer<spdk::Lvols> get_lvols(rpc::Call& call, const spdk::GetLvolsRequest& request);

 private:
  Result<LoadedPool*> select(const rpc::Call& call, const std::string& uuid,
                             const std::string& name);
  core::Task<Result<void>> clear(std::shared_ptr<storage::Device> device, std::string method);
  core::Task<Result<void>> check_base(std::shared_ptr<storage::Device> device, std::string name);
  FoundReplica find(const std::string& text);
  std::string pool_of(const std::string& text);  // empty: no such lvol
  core::Task<Result<void>> destroy(FoundReplica found);

  Engine& engine_;
};

Result<void> bind_spdk_lvol(rpc::Directory& directory, SpdkLvolService& service);

}  // namespace capstan::services
