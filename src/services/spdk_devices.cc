// Why this file exists: see spdk_devices.h.
#include "services/spdk_devices.h"

#include <algorithm>
#include <cerrno>

#include "rpc/json_call.h"
#include "services/pool_ops.h"
#include "services/uris.h"
#include "storage/device/error_device.h"

namespace capstan::services {
namespace {

using Kind = StackedDefinition::Kind;

std::unexpected<Error> no_device(std::string_view name) {
  return rpc::json_errno(ENODEV, "device '" + std::string(name) + "' not found");
}

// Every refusal of a device's creation carries an errno or is about the arguments.
std::unexpected<Error> creation_error(Error error) {
  const int err = error.sys_errno > 0                      ? error.sys_errno
                  : error.code == Code::kAlreadyExists     ? EEXIST
                  : error.code == Code::kResourceExhausted ? ENOSPC
                                                           : EINVAL;
  return rpc::json_errno(err, error.text());
}

}  // namespace

std::string spdk_name(const storage::Device& device) {
  return dynamic_cast<const storage::Replica*>(&device) ? device.uuid().text() : device.name();
}

std::shared_ptr<storage::Device> spdk_find(Engine& engine, std::string_view text) {
  auto& devices = engine.devices();
  if (auto device = devices.find(text)) return device;
  const auto uuid = Uuid::parse(text);
  return uuid ? devices.find_uuid(*uuid) : nullptr;
}

SpdkDevices::SpdkDevices(Engine& engine) : engine_(engine) {
  engine_.devices().observe(*this);
}

SpdkDevices::~SpdkDevices() {
  engine_.devices().unobserve(*this);
}

// --- creating and deleting ----------------------------------------------------------------------

// A device that the start of the node made for a recorded pool is what a replayed configuration
// asks for again.
bool SpdkDevices::adopts(const std::string& name, const std::string& uri) {
  const auto* entry = engine_.devices().entry(name);
  if (!entry || !entry->device->claimed() || created_.contains(name)) return false;
  const auto there = storage::parse_device_uri(entry->uri);
  const auto asked = storage::parse_device_uri(uri);
  if (!there || !asked || there->scheme != asked->scheme || there->path != asked->path) {
    return false;
  }
  if (there->path.empty() || (asked->uuid && *asked->uuid != entry->device->uuid())) return false;
  created_.insert(name);
  return true;
}

core::Task<Result<std::string>> SpdkDevices::create(std::string uri) {
  auto parsed = storage::parse_device_uri(uri);
  if (!parsed) co_return creation_error(parsed.error());
  const std::string name = parsed->name;
  if (adopts(name, uri)) co_return name;
  if (spdk_find(engine_, name)) {
    co_return rpc::json_errno(EEXIST, "a device named '" + name + "' exists");
  }
  auto created = co_await engine_.devices().create(std::move(uri));
  if (!created) co_return creation_error(std::move(created).error());
  created_.insert(name);
  engine_.events().publish("device", "create", name);
  if (auto_examine_) co_await examine(*created);
  co_return name;
}

Result<std::shared_ptr<storage::Device>> SpdkDevices::find_made_by(std::string_view name,
                                                                   std::string_view scheme) const {
  auto device = spdk_find(engine_, name);
  if (!device) return no_device(name);
  const auto* entry = engine_.devices().entry(device->name());
  if (!entry || !entry->uri.starts_with(std::string(scheme) + ":")) return no_device(name);
  return device;
}

core::Task<Result<void>> SpdkDevices::remove(std::string name, std::string scheme) {
  CO_TRY_SET(auto device, find_made_by(name, scheme));
  CO_TRY_SET(const auto hold, co_await hold_devices(engine_, with_stacked(device->name()), {}));
  CO_TRY_SET(device, find_made_by(name, scheme));  // it may have gone meanwhile
  name = device->name();
  const std::string uri = engine_.devices().entry(name)->uri;
  device.reset();
  CO_TRY(co_await close_pools_above(name));
  auto destroyed = co_await engine_.devices().destroy(uri);
  if (!destroyed) co_return no_device(name);
  engine_.events().publish("device", "delete", name);
  co_return {};
}

std::vector<std::string> SpdkDevices::with_stacked(const std::string& name) const {
  std::vector<std::string> names;
  if (const auto device = engine_.devices().find(name)) {
    for (const auto& definition : definitions_) {
      if (!stands_on(definition, *device)) continue;
      for (auto& above : with_stacked(definition.name)) names.push_back(std::move(above));
    }
  }
  names.push_back(name);
  return names;
}

core::Task<Result<void>> SpdkDevices::close_pools_above(std::string name) {
  for (auto& device : with_stacked(name)) {
    CO_TRY(co_await close_pool_on(engine_, std::move(device)));
  }
  co_return {};
}

core::Task<void> SpdkDevices::examine(std::shared_ptr<storage::Device> device) {
  ++examining_;
  co_await open_pool_on(std::move(device));
  --examining_;
  changed_.notify_all();
}

core::Task<Result<void>> SpdkDevices::wait_for_examine(core::CancelToken token) {
  const core::CancelCallback cancelled(token, [this] { changed_.notify_all(); });
  while (examining_ != 0) {
    CO_TRY(token.check());
    co_await changed_.wait();
  }
  co_return {};
}

core::Task<void> SpdkDevices::open_pool_on(std::shared_ptr<storage::Device> device) {
  if (device->claimed()) co_return;
  const auto found = co_await storage::Pool::probe(device);
  if (!found) co_return;  // nothing there, or damaged: an explicit import tells
  const auto guard = co_await engine_.pool_calls().lock(found->name, {});
  if (!guard) co_return;  // the node stops
  if (device->claimed() || device->retired() || engine_.find_pool(found->name)) co_return;
  const auto* entry = engine_.devices().entry(device->name());
  if (!entry) co_return;
  PoolArguments arguments;
  arguments.name = found->name;
  arguments.examined = true;
  arguments.disks = {entry->uri.empty() ? local_uri(device->name(), device->uuid()) : entry->uri};
  const auto opened = co_await import_pool(engine_, std::move(arguments));
  if (opened) co_return;
  engine_.log().warn("pool_not_opened", {{"pool", found->name}, {"error", opened.error().text()}});
}

// --- stacked devices ----------------------------------------------------------------------------

bool SpdkDevices::stands_on(const StackedDefinition& definition,
                            const storage::Device& device) const {
  if (definition.below == device.name() || definition.below == device.uuid().text()) return true;
  const auto* replica = dynamic_cast<const storage::Replica*>(&device);
  return replica && definition.below == replica->pool_name() + "/" + replica->name();
}

Result<void> SpdkDevices::define(StackedDefinition wanted) {
  if (definition(wanted.name) || spdk_find(engine_, wanted.name)) {
    return rpc::json_errno(EEXIST, "a device named '" + wanted.name + "' exists");
  }
  if (wanted.uuid.is_nil()) wanted.uuid = engine_.env().random_uuid();
  if (engine_.devices().find_uuid(wanted.uuid)) {
    return rpc::json_errno(EEXIST, "a device with UUID " + wanted.uuid.text() + " exists");
  }
  if (const auto below = spdk_find(engine_, wanted.below)) {
    TRY(attach(wanted, below));
    engine_.events().publish("device", "create", wanted.name);
  }
  definitions_.push_back(std::move(wanted));
  return {};
}

Result<void> SpdkDevices::attach(const StackedDefinition& definition,
                                 const std::shared_ptr<storage::Device>& below) {
  if (below->claimed()) {
    return rpc::json_errno(EPERM,
                           "device '" + below->name() + "' is in use by " + below->claimed_by());
  }
  std::shared_ptr<storage::Device> device;
  switch (definition.kind) {
    case Kind::kPassthru: {
      TRY_SET(device, storage::StackedDevice::make(below, definition.name, definition.uuid));
      break;
    }
    case Kind::kDelay: {
      TRY_SET(device, storage::DelayDevice::make(below, definition.name, definition.uuid,
                                                 definition.latencies));
      break;
    }
    case Kind::kError: {
      TRY(below->claim(definition.name));
      device =
          std::make_shared<storage::ErrorInjectingDevice>(below, definition.name, definition.uuid);
      break;
    }
  }
  auto added = engine_.devices().add({device, "", {}});
  if (added) return {};
  return creation_error(std::move(added).error());
}

void SpdkDevices::detach(const StackedDefinition& definition) {
  const auto device = engine_.devices().find(definition.name);
  if (!device || device->name() != definition.name) return;
  device->retire();
  if (auto* failing = dynamic_cast<storage::ErrorInjectingDevice*>(device.get())) {
    failing->resume_held();
  }
  engine_.devices().remove(definition.name);
}

core::Task<Result<void>> SpdkDevices::undefine(std::string name, Kind kind) {
  CO_TRY_SET(const auto hold, co_await hold_devices(engine_, with_stacked(name), {}));
  const auto* found = definition(name);
  if (!found || found->kind != kind) co_return no_device(name);
  CO_TRY(co_await close_pools_above(name));
  const auto it = std::ranges::find(definitions_, name, &StackedDefinition::name);
  if (it == definitions_.end()) co_return no_device(name);
  const StackedDefinition gone = *it;
  definitions_.erase(it);
  detach(gone);
  engine_.events().publish("device", "delete", name);
  co_return {};
}

StackedDefinition* SpdkDevices::definition(std::string_view name) {
  const auto it = std::ranges::find(definitions_, name, &StackedDefinition::name);
  return it == definitions_.end() ? nullptr : &*it;
}

// --- what happens in the registry ---------------------------------------------------------------

void SpdkDevices::device_added(const storage::DeviceEntry& entry) {
  changed_.notify_all();
  const auto below = entry.device;
  for (std::size_t i = 0; i < definitions_.size(); ++i) {
    const StackedDefinition waiting = definitions_[i];
    if (!stands_on(waiting, *below) || engine_.devices().find(waiting.name)) continue;
    if (const auto attached = attach(waiting, below); !attached) {
      engine_.log().warn("device_not_stacked",
                         {{"device", waiting.name}, {"error", attached.error().text()}});
    }
  }
}

void SpdkDevices::device_removed(const storage::Device& device) {
  created_.erase(device.name());
  const auto definitions = definitions_;
  for (const auto& definition : definitions) {
    if (stands_on(definition, device)) detach(definition);
  }
}

void SpdkDevices::device_resized(const storage::Device&) {}

core::Task<Result<std::shared_ptr<storage::Device>>> SpdkDevices::wait_for(
    std::string name, core::Nanos patience, core::CancelToken token) {
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos deadline = reactor.now() + patience;
  while (true) {
    CO_TRY(token.check());
    if (auto device = spdk_find(engine_, name)) co_return device;
    if (reactor.now() >= deadline) {
      co_return rpc::json_errno(ETIMEDOUT, "device '" + name + "' did not appear");
    }
    core::Timer wake([this] { changed_.notify_all(); });
    wake.arm_at(reactor, deadline);
    const core::CancelCallback cancelled(token, [this] { changed_.notify_all(); });
    co_await changed_.wait();
  }
}

}  // namespace capstan::services
