// Why this file exists: see spdk_log.h.
#include "services/spdk_log.h"

#include <array>

#include "base/limits.h"
#include "rpc/json_call.h"
#include "services/spdk_devices.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

using Empty = google::protobuf::Empty;

// By core::LogLevel.
constexpr std::array<std::string_view, 5> kLevels = {"DEBUG", "INFO", "NOTICE", "WARNING", "ERROR"};

// SPDK's own, then what became of a pool, with its name: SPDK has no events of pools.
constexpr std::array<std::string_view, 6> kTypes = {"bdev_register", "bdev_unregister",
                                                    "bdev_resize",   "lvs_degraded",
                                                    "lvs_faulted",   "lvs_unavailable"};
constexpr std::string_view kPoolPrefix = "lvs_";

}  // namespace

SpdkLogService::Answer<spdk::LogLevel> SpdkLogService::get_level(rpc::Call&, const Empty&) {
  spdk::LogLevel out;
  out.set_level(std::string(kLevels[static_cast<std::size_t>(log_.level())]));
  co_return out;
}

SpdkLogService::Answer<Empty> SpdkLogService::set_level(rpc::Call& call,
                                                        const spdk::SetLogLevelRequest& request) {
  CO_TRY(require(call, request, {"level"}));
  CO_TRY(require_one_of(call, "level", request.level(),
                        {"ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}));
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i] == request.level()) log_.set_level(static_cast<core::LogLevel>(i));
  }
  co_return Empty();
}

SpdkLogService::Answer<spdk::LogFlags> SpdkLogService::get_flags(rpc::Call&, const Empty&) {
  spdk::LogFlags out;
  for (const auto& [module, everything] : log_.modules()) {
    (*out.mutable_flags())[module] = everything;
  }
  co_return out;
}

Result<Empty> SpdkLogService::change_flag(const rpc::Call& call,
                                          const spdk::LogFlagRequest& request, bool on) {
  TRY(require(call, request, {"flag"}));
  if (request.flag() == "all") {
    for (const auto& [module, everything] : log_.modules()) log_.set_module(module, on);
  } else if (!log_.set_module(request.flag(), on)) {
    return rpc::json_invalid_params("invalid log flag");
  }
  return Empty();
}

SpdkLogService::Answer<Empty> SpdkLogService::set_flag(rpc::Call& call,
                                                       const spdk::LogFlagRequest& request) {
  co_return change_flag(call, request, true);
}

SpdkLogService::Answer<Empty> SpdkLogService::clear_flag(rpc::Call& call,
                                                         const spdk::LogFlagRequest& request) {
  co_return change_flag(call, request, false);
}

SpdkLogService::Answer<Empty> SpdkLogService::enable_timestamps(
    rpc::Call& call, const spdk::LogTimestampsRequest& request) {
  CO_TRY(require(call, request, {"enabled"}));
  if (!log_.show_time(request.enabled())) {
    co_return fail(Code::kUnimplemented, "where this node logs to, lines have no time to hide");
  }
  co_return Empty();
}

// --- notifications ------------------------------------------------------------------------------

SpdkNotifyService::SpdkNotifyService(Engine& engine) : engine_(engine) {
  engine_.devices().observe(*this);
  engine_.events().listen(*this);
}

SpdkNotifyService::~SpdkNotifyService() {
  engine_.events().forget(*this);
  engine_.devices().unobserve(*this);
}

void SpdkNotifyService::keep(std::string_view type, std::string object) {
  auto& kept = kept_.emplace_back();
  kept.set_type(std::string(type));
  kept.set_ctx(std::move(object));
  kept.set_id(next_id_++);
  if (kept_.size() > limits::kSpdkNotifications) kept_.pop_front();
}

void SpdkNotifyService::device_added(const storage::DeviceEntry& entry) {
  keep(kTypes[0], spdk_name(*entry.device));
}

void SpdkNotifyService::device_removed(const storage::Device& device) {
  keep(kTypes[1], spdk_name(device));
}

void SpdkNotifyService::device_resized(const storage::Device& device) {
  keep(kTypes[2], spdk_name(device));
}

void SpdkNotifyService::published(std::string_view category, std::string_view action,
                                  std::string_view target, const EventBus::Details& details) {
  if (category != "pool" || action != "state_change") return;
  const auto state = details.find("state");
  for (const auto type : kTypes) {
    if (state == details.end() || type != std::string(kPoolPrefix) + state->second) continue;
    keep(type, std::string(target));
  }
}

SpdkNotifyService::Answer<spdk::NotificationTypes> SpdkNotifyService::get_types(rpc::Call&,
                                                                                const Empty&) {
  spdk::NotificationTypes out;
  for (const auto type : kTypes) out.add_types(std::string(type));
  co_return out;
}

SpdkNotifyService::Answer<spdk::Notifications> SpdkNotifyService::get_notifications(
    rpc::Call&, const spdk::GetNotificationsRequest& request) {
  spdk::Notifications out;
  for (const auto& kept : kept_) {
    if (kept.id() < request.id()) continue;
    if (request.has_max() && std::cmp_greater_equal(out.notifications_size(), request.max())) break;
    *out.add_notifications() = kept;
  }
  co_return out;
}

Result<void> bind_spdk_log(rpc::Directory& directory, SpdkLogService& service) {
  using S = SpdkLogService;
  TRY(directory.declare(spdk::LogLevel::descriptor()->file()->service(0)));
  TRY(rpc::bind_unary(directory, "spdk.Log/GetLevel", service, &S::get_level));
  TRY(rpc::bind_unary(directory, "spdk.Log/SetLevel", service, &S::set_level));
  TRY(rpc::bind_unary(directory, "spdk.Log/GetPrintLevel", service, &S::get_level));
  TRY(rpc::bind_unary(directory, "spdk.Log/SetPrintLevel", service, &S::set_level));
  TRY(rpc::bind_unary(directory, "spdk.Log/GetFlags", service, &S::get_flags));
  TRY(rpc::bind_unary(directory, "spdk.Log/SetFlag", service, &S::set_flag));
  TRY(rpc::bind_unary(directory, "spdk.Log/ClearFlag", service, &S::clear_flag));
  return rpc::bind_unary(directory, "spdk.Log/EnableTimestamps", service, &S::enable_timestamps);
}

Result<void> bind_spdk_notify(rpc::Directory& directory, SpdkNotifyService& service) {
  using S = SpdkNotifyService;
  TRY(directory.declare(spdk::Notification::descriptor()->file()->service(0)));
  TRY(rpc::bind_unary(directory, "spdk.Notify/GetTypes", service, &S::get_types));
  return rpc::bind_unary(directory, "spdk.Notify/GetNotifications", service, &S::get_notifications);
}

}  // namespace capstan::services
