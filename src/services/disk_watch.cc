// Why this file exists: see disk_watch.h.
#include "services/disk_watch.h"

namespace capstan::services {
namespace {

std::string text(core::BlockNumber number) {
  return std::to_string(number.major) + ":" + std::to_string(number.minor);
}

}  // namespace

DiskWatch::DiskWatch(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices,
                     EventBus& events)
    : log_(log),
      devices_(devices),
      events_(events),
      kernel_(dynamic_cast<core::BlockEvents*>(&env.files())) {}

DiskWatch::~DiskWatch() {
  CAPSTAN_ASSERT(!messages_);
}

void DiskWatch::start() {
  if (!kernel_ || messages_) return;
  auto messages = kernel_->listen_kernel();
  if (!messages) {
    log_.warn("disks_not_watched",
              {{"error", messages.error().text()},
               {"effect", "a disk that is pulled is noticed with the next request to it"}});
    return;
  }
  messages_ = *std::move(messages);
  devices_.observe(*this);
  look_at_all();
  scope_.spawn(follow());
}

core::Task<void> DiskWatch::stop() {
  if (!messages_) co_return;
  devices_.unobserve(*this);
  messages_->cancel();
  co_await scope_.join();
  messages_.reset();
}

core::Task<void> DiskWatch::follow() {
  while (true) {
    const auto got = co_await messages_->next(room_);
    if (got) {
      const auto event = storage::parse_block_uevent(ByteView(room_).first(*got));
      if (event) co_await take(*event);
      continue;
    }
    if (got.error().code == Code::kCancelled) co_return;
    if (got.error().code != Code::kResourceExhausted) {
      log_.error("disks_not_watched", {{"error", got.error().text()}});
      co_return;
    }
    log_.warn("kernel_messages_lost", {{"effect", "every disk is looked at"}});
    look_at_all();
    for (const Disk& disk : disks(std::nullopt)) co_await measure(disk);
  }
}

core::Task<void> DiskWatch::take(storage::BlockUevent event) {
  const core::BlockNumber number{event.major, event.minor};
  const bool resized = event.resized;
  for (const Disk& disk : disks(number)) {
    const auto there = kernel_->is_there(number);
    if (there ? !*there : event.action == "remove" && !event.made_up) {
      lost(disk);
    } else if (resized) {
      co_await measure(disk);
    }
  }
}

core::Task<void> DiskWatch::measure(Disk disk) {
  const auto changed = co_await disk->rescan();
  if (!changed) {
    log_.error("disk_resized", {{"device", disk->name()}, {"error", changed.error().text()}});
    co_return;
  }
  if (!*changed || disk->retired()) co_return;
  log_.info("disk_resized",
            {{"device", disk->name()}, {"size_bytes", std::to_string(disk->size_bytes())}});
  devices_.announce_resized(*disk);
}

std::vector<DiskWatch::Disk> DiskWatch::disks(std::optional<core::BlockNumber> number) const {
  std::vector<Disk> found;
  for (const auto* entry : devices_.list()) {
    auto disk = std::dynamic_pointer_cast<storage::FileDevice>(entry->device);
    const auto own = disk ? disk->block_number() : std::nullopt;
    if (own && (!number || *own == *number)) found.push_back(std::move(disk));
  }
  return found;
}

void DiskWatch::look_at_all() {
  for (const Disk& disk : disks(std::nullopt)) {
    if (kernel_->is_there(*disk->block_number()) == false) lost(disk);
  }
}

// It may have been pulled after it was opened and before anybody knew it.
void DiskWatch::device_added(const storage::DeviceEntry& entry) {
  auto disk = std::dynamic_pointer_cast<storage::FileDevice>(entry.device);
  if (disk && disk->block_number()) scope_.spawn(look_at(std::move(disk)));
}

core::Task<void> DiskWatch::look_at(Disk disk) {
  co_await core::yield();  // the others are told that it is there before they hear that it is not
  if (kernel_->is_there(*disk->block_number()) == false) lost(disk);
}

void DiskWatch::lost(const Disk& disk) {
  if (disk->retired()) return;
  const std::string name = disk->name(), number = text(*disk->block_number());
  log_.error("disk_gone", {{"device", name}, {"number", number}});
  devices_.lose(name);
  events_.publish("device", "delete", name, {{"reason", "the kernel has no disk " + number}});
}

}  // namespace capstan::services
