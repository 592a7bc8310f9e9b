// Why this file exists: everything that speaks SPDK's method names, as one part of the node: the
// daemon makes one of these and binds it. Destroyed before the engine.
#pragma once

#include <set>
#include <string>

#include "services/json_bridge.h"
#include "services/mayastor_methods.h"
#include "services/spdk_bdev.h"
#include "services/spdk_framework.h"
#include "services/spdk_log.h"
#include "services/spdk_lvol.h"
#include "services/spdk_modules.h"
#include "services/spdk_nvme.h"
#include "services/spdk_nvmf.h"

namespace capstan::services {

struct SpdkOptions {
  SpdkFrameworkService::Signal signal;   // sends a signal to this process
  MayastorMethods::Export write_config;  // empty: the node was started without a file
};

class SpdkServices {
 public:
  // `log` and `allowed` (the JSON-RPC methods that may be called; empty: all) outlive this.
  SpdkServices(Engine& engine, core::Log& log, const NodeInfo& info,
               const rpc::Directory& directory, const std::set<std::string>& allowed,
               SpdkOptions options);

  // `v1` and `v0`: also the bridge of that version of Mayastor's API.
  Result<void> bind(rpc::Directory& directory, bool v1, bool v0);
  // Around the stop of the engine: what runs by itself is asked to end before, and has ended after.
  void leave() { nvme_.leave(); }
  core::Task<void> join() { return nvme_.join(); }

 private:
  SpdkDevices devices_;
  SpdkFrameworkService framework_;
  SpdkLogService log_;
  SpdkNotifyService notify_;
  SpdkBdevService bdev_;
  SpdkModulesService modules_;
  SpdkLvolService lvol_;
  SpdkNvmeService nvme_;
  SpdkNvmfService nvmf_;
  MayastorMethods mayastor_;
  JsonBridge bridge_;
};

}  // namespace capstan::services
