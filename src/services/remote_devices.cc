// Why this file exists: see remote_devices.h.
#include "services/remote_devices.h"

#include <cerrno>

#include "storage/nvme/initiator_uri.h"

namespace capstan::services {

namespace nvme = storage::nvme;

namespace {

constexpr std::string_view kNqnOfUuid = "nqn.2019-05.io.openebs:uuid:";

}  // namespace

Result<void> set_reconnect_times(nvme::HostOptions& options, std::optional<std::int32_t> loss,
                                 std::optional<std::uint32_t> delay,
                                 std::optional<std::uint32_t> fast) {
  const auto bad = [](const char* why) { return fail(Code::kInvalidArgument, why, EINVAL); };
  const std::int64_t whole = loss.value_or(0);
  if (whole < -1) return bad("ctrlr_loss_timeout_sec is -1 (for ever), 0 or more");
  if (whole != 0 && delay.value_or(0) == 0) return bad("reconnect_delay_sec must be above 0");
  if (whole > 0 && delay.value_or(0) > whole) {
    return bad("reconnect_delay_sec is longer than ctrlr_loss_timeout_sec");
  }
  if (fast.value_or(0) != 0) {
    if (*fast < delay.value_or(0) || (whole > 0 && *fast > whole)) {
      return bad("fast_io_fail_timeout_sec is not between the two others");
    }
  }
  if (loss) {
    options.ctrl_loss =
        whole < 0 ? nvme::HostOptions::kForever : static_cast<core::Nanos>(whole) * core::kSecond;
  }
  if (delay && *delay != 0) options.reconnect_delay = *delay * core::kSecond;
  if (fast) options.fast_io_fail = *fast * core::kSecond;
  return {};
}

RemoteDevices::RemoteDevices(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices)
    : env_(env), devices_(devices), initiator_(env, log) {
  configure({});
  devices_.serve_remote(this);
  devices_.observe(*this);
}

RemoteDevices::~RemoteDevices() {
  devices_.unobserve(*this);
  devices_.serve_remote(nullptr);
}

// Who still waits for it to be reachable need not.
void RemoteDevices::device_removed(const storage::Device& device) {
  const auto removed = std::const_pointer_cast<storage::Device>(device.shared_from_this());
  if (auto* remote = dynamic_cast<nvme::RemoteDevice*>(removed.get())) remote->give_up();
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

core::Task<Result<std::shared_ptr<storage::Device>>> RemoteDevices::make(storage::DeviceUri uri,
                                                                         core::CancelToken token) {
  CO_TRY_SET(auto controller,
             co_await initiator_.connect(nvme::with_uri(options(), *uri.remote), std::move(token)));
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
