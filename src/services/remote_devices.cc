// Why this file exists: see remote_devices.h.
#include "services/remote_devices.h"

#include "storage/nvme/initiator_uri.h"

namespace capstan::services {

namespace nvme = storage::nvme;

namespace {

constexpr std::string_view kNqnOfUuid = "nqn.2019-05.io.openebs:uuid:";

}  // namespace

RemoteDevices::RemoteDevices(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices)
    : env_(env), devices_(devices), initiator_(env, log) {
  configure({});
  devices_.serve_remote(this);
}

RemoteDevices::~RemoteDevices() {
  devices_.serve_remote(nullptr);
}

void RemoteDevices::configure(RemoteSettings settings) {
  settings_ = std::move(settings);
  const Uuid id = settings_.host_id             ? *settings_.host_id
                  : !settings_.host_nqn.empty() ? Uuid::from_name(settings_.host_nqn)
                                                : env_.random_uuid();
  host_id_ = nvme::host_id_of(id);
  host_nqn_ = settings_.host_nqn.empty() ? std::string(kNqnOfUuid) + id.text() : settings_.host_nqn;
}

nvme::HostOptions RemoteDevices::options() const {
  nvme::HostOptions options = settings_.defaults;
  options.host = host_nqn_;
  options.host_id = host_id_;
  return options;
}

core::Task<Result<std::shared_ptr<storage::Device>>> RemoteDevices::make(storage::DeviceUri uri) {
  CO_TRY_SET(auto controller, co_await initiator_.connect(nvme::with_uri(options(), *uri.remote)));
  CO_TRY_SET(const auto device,
             nvme::RemoteDevice::make(std::move(controller), uri.remote->nsid, uri.name,
                                      uri.uuid.value_or(Uuid::from_name(uri.name))));
  watch(*device);
  co_return std::shared_ptr<storage::Device>(device);
}

void RemoteDevices::watch(nvme::RemoteDevice& device) {
  device.on_resize([this](nvme::RemoteDevice& resized) { devices_.announce_resized(resized); });
}

std::vector<std::shared_ptr<nvme::RemoteDevice>> RemoteDevices::list() const {
  std::vector<std::shared_ptr<nvme::RemoteDevice>> all;
  for (const auto* entry : devices_.list()) {
    if (auto device = std::dynamic_pointer_cast<nvme::RemoteDevice>(entry->device)) {
      all.push_back(std::move(device));
    }
  }
  return all;
}

}  // namespace capstan::services
