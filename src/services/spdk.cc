// Why this file exists: see spdk.h.
#include "services/spdk.h"

namespace capstan::services {

SpdkServices::SpdkServices(Engine& engine, core::Log& log, const NodeInfo& info,
                           const rpc::Directory& directory, const std::set<std::string>& allowed,
                           SpdkOptions options)
    : devices_(engine),
      framework_(devices_, info, std::move(options.signal)),
      log_(log),
      notify_(engine),
      bdev_(devices_),
      modules_(devices_),
      lvol_(engine),
      nvme_(devices_),
      nvmf_(devices_),
      mayastor_(devices_, std::move(options.write_config)),
      bridge_(directory, allowed) {}

Result<void> SpdkServices::bind(rpc::Directory& directory, bool v1, bool v0) {
  TRY(bind_spdk_framework(directory, framework_));
  TRY(bind_spdk_log(directory, log_));
  TRY(bind_spdk_notify(directory, notify_));
  TRY(bind_spdk_bdev(directory, bdev_));
  TRY(bind_spdk_modules(directory, modules_));
  TRY(bind_spdk_lvol(directory, lvol_));
  TRY(bind_spdk_nvme(directory, nvme_));
  TRY(bind_spdk_nvmf(directory, nvmf_));
  TRY(bind_mayastor_methods(directory, mayastor_));
  if (v1) TRY(bind_json_bridge_v1(directory, bridge_));
  if (v0) TRY(bind_json_bridge_v0(directory, bridge_));
  return {};
}

}  // namespace capstan::services
