// Why this file exists: see registry.h. Creating is the only part that waits (a file is opened);
// the name is kept in busy_ meanwhile, so that two calls for one name follow each other.
#include "storage/device/registry.h"

#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/device/file_device.h"
#include "storage/device/memory_device.h"
#include "storage/device/null_device.h"
#include "storage/device/url.h"

namespace capstan::storage {
namespace {

// A failed creation, as io-engine-behaviour section 4.1 maps it. Clients match the sentence.
std::unexpected<Error> creation_failed(const std::string& name, Error error) {
  switch (error.sys_errno) {
    case ENOENT:
    case ENODEV: error.code = Code::kNotFound; break;
    case EEXIST: error.code = Code::kAlreadyExists; break;
    case ESHUTDOWN: error.code = Code::kUnavailable; break;  // of the node: elsewhere it may work
    default: error.code = Code::kInvalidArgument; break;
  }
  return std::unexpected(std::move(error).within("Failed to create a BDEV '" + name + "'"));
}

std::unexpected<Error> wrong_uuid(const Device& device, const Uuid& wanted) {
  return fail(Code::kInvalidArgument, "device '" + device.name() + "' has UUID " +
                                          device.uuid().text() + ", not " + wanted.text());
}

std::unexpected<Error> taken(const std::string& name) {
  return fail(Code::kAlreadyExists,
              "a device named '" + name + "' exists; destroy it first or use bdev:///" + name,
              EEXIST);
}

std::unexpected<Error> unsupported(const DeviceUri& parsed) {
  std::string_view instead = "use aio, uring, malloc, null, bdev or loopback";
  if (parsed.scheme == DeviceUri::Scheme::kLvol) {
    instead = "create the pool and the replica with their own calls, then use bdev:///<name>";
  } else if (parsed.scheme == DeviceUri::Scheme::kPcie) {
    instead = "leave the disk to the kernel's driver and use aio:///dev/nvme0n1";
  }
  return fail(Code::kUnimplemented, parsed.scheme_text + ":// devices are not supported by this " +
                                        "build yet ('" + parsed.name + "'); " +
                                        std::string(instead));
}

// Takes a name out of the set and wakes who waits for it, however the creation ends.
class BusyName {
 public:
  BusyName(std::set<std::string, std::less<>>& busy, core::Event& changed, std::string name)
      : busy_(busy), changed_(changed), name_(std::move(name)) {
    busy_.insert(name_);
  }
  ~BusyName() {
    busy_.erase(name_);
    changed_.notify_all();
  }
  BusyName(const BusyName&) = delete;
  BusyName& operator=(const BusyName&) = delete;

 private:
  std::set<std::string, std::less<>>& busy_;
  core::Event& changed_;
  std::string name_;
};

}  // namespace

DeviceRegistry::DeviceRegistry(core::Env& env) : env_(env) {}
DeviceRegistry::~DeviceRegistry() = default;

core::Task<Result<std::shared_ptr<Device>>> DeviceRegistry::create(std::string uri,
                                                                   core::CancelToken token) {
  CO_TRY_SET(DeviceUri parsed, parse_device_uri(uri));
  while (busy_.contains(parsed.name)) {
    CO_TRY(token.check());
    const core::CancelCallback wake(token, [this] { busy_changed_.notify_all(); });
    co_await busy_changed_.wait();
  }
  const BusyName busy(busy_, busy_changed_, parsed.name);
  co_return co_await create_checked(std::move(parsed), std::move(uri), std::move(token));
}

core::Task<Result<std::shared_ptr<Device>>> DeviceRegistry::create_checked(
    DeviceUri parsed, std::string uri, core::CancelToken token) {
  if (parsed.scheme == DeviceUri::Scheme::kExisting) co_return find_existing(parsed);
  if (const auto it = entries_.find(parsed.name); it != entries_.end()) {
    const std::shared_ptr<Device> device = it->second.device;
    if (parsed.rescan && std::dynamic_pointer_cast<FileDevice>(device)) {
      const auto rescanned = co_await device->rescan();
      if (!rescanned) co_return creation_failed(parsed.name, rescanned.error());
      if (*rescanned) announce_resized(*device);
      co_return device;
    }
    if (parsed.resize && std::dynamic_pointer_cast<MemoryDevice>(device)) {
      const auto resized = resize(*device, parsed);
      if (!resized) co_return creation_failed(parsed.name, resized.error());
      announce_resized(*device);
      co_return device;
    }
    co_return taken(parsed.name);
  }
  if (parsed.uuid) {
    if (const auto other = find_uuid(*parsed.uuid)) {
      co_return fail(Code::kInvalidArgument,
                     "UUID " + parsed.uuid->text() + " is that of device '" + other->name() +
                         "'; choose another one",
                     EEXIST);
    }
  }
  CO_TRY_SET(auto device, co_await make(std::move(parsed), std::move(token)));
  CO_TRY(add({device, uri, {uri}}));
  co_return device;
}

core::Task<Result<std::shared_ptr<Device>>> DeviceRegistry::make(DeviceUri parsed,
                                                                 core::CancelToken token) {
  using Scheme = DeviceUri::Scheme;
  switch (parsed.scheme) {
    case Scheme::kAio:
    case Scheme::kUring: co_return co_await make_file(std::move(parsed));
    case Scheme::kMalloc: co_return make_memory(parsed);
    case Scheme::kNull: break;
    case Scheme::kExisting: co_return find_existing(parsed);
    case Scheme::kNvmf: {
      co_return co_await make_remote(std::move(parsed), std::move(token));
    }
    case Scheme::kPcie:
    case Scheme::kNexus:
    case Scheme::kLvol: co_return unsupported(parsed);
  }
  if (parsed.num_blocks == 0) {
    co_return creation_failed(
        parsed.name,
        Error{Code::kInvalidArgument, EINVAL, "no blocks; give size_mb or num_blocks", {}});
  }
  const Uuid uuid = parsed.uuid ? *parsed.uuid : env_.random_uuid();
  std::shared_ptr<Device> device =
      std::make_shared<NullDevice>(parsed.name, uuid, parsed.block_size, parsed.num_blocks);
  co_return device;
}

core::Task<Result<std::shared_ptr<Device>>> DeviceRegistry::make_file(DeviceUri parsed) {
  const bool uring = parsed.scheme == DeviceUri::Scheme::kUring;
  auto opened = co_await FileDevice::open(
      env_, FileDeviceOptions{parsed.path, parsed.block_size, parsed.uuid,
                              uring ? std::string_view("URING disk") : "AIO disk", parsed.name});
  if (!opened) {
    auto failed = creation_failed(parsed.name, std::move(opened).error());
    // Section 6.1: whatever keeps a uring device from opening, it counts as not there.
    if (uring) failed.error().code = Code::kNotFound;
    co_return failed;
  }
  std::shared_ptr<Device> device = *std::move(opened);
  co_return device;
}

core::Task<Result<std::shared_ptr<Device>>> DeviceRegistry::make_remote(DeviceUri parsed,
                                                                        core::CancelToken token) {
  if (!remote_) co_return unsupported(parsed);
  auto made = co_await remote_->make(parsed, token);
  if (!made) CO_TRY(token.check());
  if (!made) co_return creation_failed(parsed.name, std::move(made).error());
  const std::shared_ptr<Device> device = *std::move(made);
  if (parsed.uuid && *parsed.uuid != device->uuid()) co_return wrong_uuid(*device, *parsed.uuid);
  if (const auto other = find_uuid(device->uuid())) {
    co_return fail(Code::kInvalidArgument,
                   "device '" + parsed.name + "' is what this node has as device '" +
                       other->name() + "' (UUID " + other->uuid().text() + "); use bdev:///" +
                       other->name(),
                   EEXIST);
  }
  co_return device;
}

Result<std::shared_ptr<Device>> DeviceRegistry::make_memory(const DeviceUri& parsed) {
  const auto fits = check_memory(parsed.name, parsed.size_bytes());
  if (!fits) return creation_failed(parsed.name, fits.error());
  const Uuid uuid = parsed.uuid ? *parsed.uuid : env_.random_uuid();
  return std::make_shared<MemoryDevice>(parsed.name, uuid, parsed.block_size, parsed.num_blocks);
}

Result<std::shared_ptr<Device>> DeviceRegistry::find_existing(const DeviceUri& parsed) const {
  auto device = find(parsed.name);
  if (!device) return fail(Code::kNotFound, "device '" + parsed.name + "' not found", ENODEV);
  if (parsed.uuid && *parsed.uuid != device->uuid()) return wrong_uuid(*device, *parsed.uuid);
  return device;
}

Result<void> DeviceRegistry::check_memory(const std::string& name, std::uint64_t size_bytes) const {
  std::uint64_t others = 0;
  for (const auto& [other, entry] : entries_) {
    if (other == name || !std::dynamic_pointer_cast<MemoryDevice>(entry.device)) continue;
    others += entry.device->size_bytes();
  }
  if (others > limits::kMallocDeviceBytesMax ||
      size_bytes > limits::kMallocDeviceBytesMax - others) {
    return fail(Code::kResourceExhausted,
                std::to_string(size_bytes) + " bytes of memory are too many: malloc devices may " +
                    "have " + std::to_string(limits::kMallocDeviceBytesMax) + " together, " +
                    std::to_string(others) + " are taken",
                ENOMEM);
  }
  return {};
}

Result<void> DeviceRegistry::resize(Device& device, const DeviceUri& parsed) const {
  if (parsed.size_bytes() % device.block_size() != 0) {
    return fail(Code::kInvalidArgument,
                std::to_string(parsed.size_bytes()) +
                    " bytes are no whole number of its blocks of " +
                    std::to_string(device.block_size()),
                EINVAL);
  }
  TRY(check_memory(parsed.name, parsed.size_bytes()));
  return dynamic_cast<MemoryDevice&>(device).resize(parsed.size_bytes() / device.block_size());
}

core::Task<Result<void>> DeviceRegistry::destroy(std::string uri) {
  CO_TRY_SET(const DeviceUri parsed, parse_device_uri(uri));
  if (parsed.scheme == DeviceUri::Scheme::kExisting) co_return {};
  while (busy_.contains(parsed.name)) co_await busy_changed_.wait();
  const auto it = entries_.find(parsed.name);
  if (it == entries_.end()) {
    co_return fail(Code::kNotFound, "device '" + parsed.name + "' not found", ENODEV);
  }
  const auto made_by = parse_device_uri(it->second.uri);
  if (!made_by || made_by->scheme != parsed.scheme) {
    co_return fail(Code::kNotFound,
                   "device '" + parsed.name + "' is not one of " + parsed.scheme_text + "://" +
                       (made_by ? "; it was created as " + it->second.uri : ""),
                   ENODEV);
  }
  lose(parsed.name);
  co_return {};
}

void DeviceRegistry::lose(const std::string& name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return;
  it->second.device->retire();
  remove(std::string(it->first));  // `name` may be part of the device
}

Result<void> DeviceRegistry::add(DeviceEntry entry) {
  CAPSTAN_ASSERT(entry.device != nullptr);
  const std::string name = entry.device->name();
  if (entries_.size() >= limits::kDevicesMax) {
    return fail(Code::kResourceExhausted, "device '" + name + "': the node has its " +
                                              std::to_string(limits::kDevicesMax) +
                                              " devices already; destroy some first");
  }
  if (entries_.contains(name) || aliases_.contains(name)) return taken(name);
  for (const std::string& alias : entry.aliases) {
    if (entries_.contains(alias) || aliases_.contains(alias)) return taken(alias);
  }
  for (const std::string& alias : entry.aliases) aliases_.emplace(alias, name);
  const auto added = entries_.emplace(name, std::move(entry)).first;
  tell([&](Observer& observer) { observer.device_added(added->second); });
  return {};
}

void DeviceRegistry::remove(const std::string& name) {
  const std::string key = name;  // `name` may live in the entry
  std::erase_if(aliases_, [&](const auto& alias) { return alias.second == key; });
  const auto gone = entries_.extract(key);
  if (gone) tell([&](Observer& observer) { observer.device_removed(*gone.mapped().device); });
}

void DeviceRegistry::announce_resized(const Device& device) {
  tell([&](Observer& observer) { observer.device_resized(device); });
}

void DeviceRegistry::unobserve(Observer& observer) {
  std::erase(observers_, &observer);
}

void DeviceRegistry::tell(const std::function<void(Observer&)>& what) const {
  const auto observers = observers_;  // one of them may come or go meanwhile
  for (Observer* observer : observers) what(*observer);
}

std::shared_ptr<Device> DeviceRegistry::find(std::string_view name_or_alias) const {
  if (const auto alias = aliases_.find(name_or_alias); alias != aliases_.end()) {
    return entries_.find(alias->second)->second.device;
  }
  const DeviceEntry* found = entry(name_or_alias);
  return found ? found->device : nullptr;
}

std::shared_ptr<Device> DeviceRegistry::find_uuid(const Uuid& uuid) const {
  for (const auto& [name, entry] : entries_) {
    if (entry.device->uuid() == uuid) return entry.device;
  }
  return nullptr;
}

const DeviceEntry* DeviceRegistry::entry(std::string_view name) const {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

std::vector<const DeviceEntry*> DeviceRegistry::list() const {
  std::vector<const DeviceEntry*> all;
  all.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) all.push_back(&entry);
  return all;
}

Result<std::string> device_name_of(std::string_view uri) {
  TRY_SET(DeviceUri parsed, parse_device_uri(uri));
  return std::move(parsed.name);
}

std::string normalize_disk(std::string_view text) {
  return has_scheme(text) ? std::string(text) : "aio://" + std::string(text);
}

}  // namespace capstan::storage
