// Why this file exists: spdk.Log and spdk.Notify: the levels of the running log, and the last
// things that happened to devices, kept for clients that ask again and again (jsonrpc section B.1).
// The node has one log; SPDK's two levels (syslog and standard error) are both its level. SPDK's
// five levels are ours by rank: NOTICE is what we call info, INFO debug, DEBUG trace.
// Thread-safety: core 0. Everything given outlives the services, the services the calls.
#pragma once

#include <deque>

#include "core/log.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "spdk/log.pb.h"
#include "spdk/notify.pb.h"

namespace capstan::services {

class SpdkLogService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkLogService(core::Log& log) : log_(log) {}

  Answer<spdk::LogLevel> get_level(rpc::Call& call, const Empty&);
  Answer<Empty> set_level(rpc::Call& call, const spdk::SetLogLevelRequest& request);
  Answer<spdk::LogFlags> get_flags(rpc::Call& call, const Empty&);
  Answer<Empty> set_flag(rpc::Call& call, const spdk::LogFlagRequest& request);
  Answer<Empty> clear_flag(rpc::Call& call, const spdk::LogFlagRequest& request);
  Answer<Empty> enable_timestamps(rpc::Call& call, const spdk::LogTimestampsRequest& request);

 private:
  Result<Empty> change_flag(const rpc::Call& call, const spdk::LogFlagRequest& request, bool on);

  core::Log& log_;
};

// Devices that come, go and change size, as SPDK has it, and pools that stop working well.
class SpdkNotifyService final : public storage::DeviceRegistry::Observer,
                                public EventBus::Listener {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkNotifyService(Engine& engine);
  ~SpdkNotifyService() override;
  SpdkNotifyService(const SpdkNotifyService&) = delete;
  SpdkNotifyService& operator=(const SpdkNotifyService&) = delete;

  Answer<spdk::NotificationTypes> get_types(rpc::Call& call, const Empty&);
  Answer<spdk::Notifications> get_notifications(rpc::Call& call,
                                                const spdk::GetNotificationsRequest& request);

  void device_added(const storage::DeviceEntry& entry) override;
  void device_removed(const storage::Device& device) override;
  void device_resized(const storage::Device& device) override;
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override;

 private:
  void keep(std::string_view type, std::string object);

  Engine& engine_;
  std::deque<spdk::Notification> kept_;  // the last limits::kSpdkNotifications
  std::uint64_t next_id_ = 0;
};

Result<void> bind_spdk_log(rpc::Directory& directory, SpdkLogService& service);
Result<void> bind_spdk_notify(rpc::Directory& directory, SpdkNotifyService& service);

}  // namespace capstan::services
