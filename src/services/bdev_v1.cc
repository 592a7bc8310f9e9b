// Why this file exists: see bdev_v1.h.
#include "services/bdev_v1.h"

#include "rpc/condition.h"
#include "rpc/wishes.h"
#include "services/errors.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "services/uris.h"
#include "storage/device/device_uri.h"
#include "storage/device/url.h"

namespace capstan::services {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

namespace {

v1::Bdev message(const Engine& engine, const storage::DeviceEntry& entry) {
  const auto& device = *entry.device;
  v1::Bdev out;
  out.set_name(device.name());
  out.set_uuid(device.uuid().text());
  out.set_num_blocks(device.num_blocks());
  out.set_blk_size(device.block_size());
  out.set_claimed(device.claimed());
  out.set_claimed_by(device.claimed() ? device.claimed_by() : "Orphaned");
  std::string aliases;
  for (const auto& alias : entry.aliases) aliases += (aliases.empty() ? "" : ",") + alias;
  out.set_aliases(aliases);
  out.set_uri(creation_uri(engine.devices(), device));
  out.set_product_name(std::string(device.product()));
  out.set_share_uri(engine.shares().uri(device));
  return out;
}

// Of a change of the device of that name, which begins with nothing awaited after this.
core::Task<Result<void>> check_condition(BdevServiceV1* service, rpc::Call& call,
                                         std::string name) {
  if (!rpc::is_conditional(call)) co_return {};
  v1::ListBdevOptions which;
  which.mutable_name()->set_value(std::move(name));
  CO_TRY_SET(const auto found, co_await service->list(call, which));
  co_return rpc::check_condition(call, found.bdevs().empty() ? nullptr : &found, "bdevs");
}

// The URI by which a device is closed, which HTTP clients call by its name.
Result<std::string> closing_uri(const Engine& engine, const rpc::Call& call,
                                const std::string& text) {
  if (!rpc::wishes(call, rpc::kWishBy, "name")) return text;
  if (const auto* entry = engine.devices().entry(text)) {
    if (!entry->uri.empty()) return entry->uri;
    return fail(Code::kFailedPrecondition,
                "device '" + text + "' was not opened by a URI; destroy the " +
                    std::string(entry->device->product()) + " that it is");
  }
  if (text.contains(":/")) return text;
  return fail(Code::kNotFound, "device '" + text + "' not found");
}

}  // namespace

core::Task<Result<v1::CreateBdevResponse>> BdevServiceV1::create(
    rpc::Call& call, const v1::CreateBdevRequest& request) {
  CO_TRY_SET(const std::string name, storage::device_name_of(request.uri()));
  const bool existed = engine_.devices().find(name) != nullptr;
  auto created = co_await engine_.devices().create(request.uri(), call.token);
  if (!created) {
    Error error = std::move(created).error();
    // Upstream tells a taken name from other failures by this code, and its clients expect it.
    // Another call may have taken it meanwhile.
    const bool own = rpc::wishes(call, rpc::kWishErrors, "own");
    const bool taken = engine_.devices().find(name) != nullptr;
    if (taken && !own && error.code == Code::kAlreadyExists) error.code = Code::kInternal;
    co_return std::unexpected(std::move(error));
  }
  const auto* entry = engine_.devices().entry((*created)->name());
  if (!entry) {
    co_return fail(Code::kNotFound, "device '" + name + "' vanished while it was created; retry");
  }
  if (!existed) engine_.events().publish("device", "create", entry->device->name());
  v1::CreateBdevResponse response;
  *response.mutable_bdev() = message(engine_, *entry);
  co_return response;
}

core::Task<Result<Empty>> BdevServiceV1::destroy(rpc::Call& call,
                                                 const v1::DestroyBdevRequest& request) {
  const auto text = closing_uri(engine_, call, request.uri());
  if (!text) {
    CO_TRY(co_await check_condition(this, call, request.uri()));  // what is not there matches none
    co_return std::unexpected(text.error());
  }
  CO_TRY_SET(const auto uri, storage::parse_device_uri(*text));
  // Letting go of a reference leaves the device, and a pool on it, alone.
  const bool reference = uri.scheme == storage::DeviceUri::Scheme::kExisting;
  DeviceHold hold;
  if (!reference) {
    CO_TRY_SET(hold, co_await hold_device(engine_, uri.name, call.token));
  }
  CO_TRY(co_await check_condition(this, call, uri.name));  // nothing is waited for after this
  if (!reference && engine_.devices().find(uri.name)) {
    CO_TRY(co_await close_pool_on(engine_, uri.name));
    if (const auto device = engine_.devices().find(uri.name)) {
      co_await engine_.shares().unshare(device);
    }
  }
  CO_TRY(co_await engine_.devices().destroy(*text));
  if (!reference) engine_.events().publish("device", "delete", uri.name);
  co_return Empty();
}

core::Task<Result<v1::ListBdevResponse>> BdevServiceV1::list(rpc::Call&,
                                                             const v1::ListBdevOptions& request) {
  v1::ListBdevResponse response;
  for (const auto* entry : engine_.devices().list()) {
    if (request.has_name() && request.name().value() != entry->device->name()) continue;
    *response.add_bdevs() = message(engine_, *entry);
  }
  co_return response;
}

core::Task<Result<v1::BdevShareResponse>> BdevServiceV1::share(
    rpc::Call& call, const v1::BdevShareRequest& request) {
  CO_TRY(co_await check_condition(this, call, request.name()));
  if (request.protocol() != v1::NVMF) {
    co_return fail_field("protocol", "invalid share protocol value: " +
                                         std::to_string(request.protocol()) + "; use NVMF");
  }
  const auto device = engine_.devices().find(request.name());
  if (!device) {
    const std::string name = storage::without_user_info(request.name());
    co_return fail(Code::kNotFound, "device '" + name + "' not found");
  }
  if (device->claimed()) {
    const bool own = rpc::wishes(call, rpc::kWishErrors, "own");
    co_return fail(own ? Code::kFailedPrecondition : Code::kInternal,
                   "device '" + device->name() + "' is already shared or claimed (" +
                       device->claimed_by() + ")");
  }
  std::vector<std::string> hosts(request.allowed_hosts().begin(), request.allowed_hosts().end());
  if (const auto replica = std::dynamic_pointer_cast<storage::Replica>(device)) {
    CO_TRY_SET(const auto guard,
               co_await engine_.replica_calls().lock(replica->pool_name(), call.token));
    CO_TRY(
        co_await check_condition(this, call, request.name()));  // the lock may have been waited for
    CO_TRY(co_await share_replica(engine_, replica->uuid().text(), ShareKind::kNvmf, "NVMF",
                                  std::move(hosts)));
  } else {
    CO_TRY(engine_.shares().check());
    auto shared = engine_.shares().share(device, {.hosts = std::move(hosts)});
    if (!shared) co_return std::unexpected(share_error(std::move(shared).error()));
  }
  const auto* entry = engine_.devices().entry(device->name());
  if (!entry) co_return fail(Code::kNotFound, "device '" + device->name() + "' has vanished");
  v1::BdevShareResponse response;
  *response.mutable_bdev() = message(engine_, *entry);
  co_return response;
}

core::Task<Result<Empty>> BdevServiceV1::unshare(rpc::Call& call,
                                                 const v1::BdevUnshareRequest& request) {
  CO_TRY(co_await check_condition(this, call, request.name()));
  const auto device = engine_.devices().find(request.name());
  if (!device || !engine_.shares().shared(*device)) co_return Empty();
  if (const auto replica = std::dynamic_pointer_cast<storage::Replica>(device)) {
    CO_TRY_SET(const auto guard,
               co_await engine_.replica_calls().lock(replica->pool_name(), call.token));
    CO_TRY(
        co_await check_condition(this, call, request.name()));  // the lock may have been waited for
    CO_TRY(co_await unshare_replica(engine_, replica->uuid().text()));
    co_return Empty();
  }
  co_await engine_.shares().unshare(device);
  co_return Empty();
}

Result<void> bind_bdev_v1(rpc::Directory& directory, BdevServiceV1& service) {
  TRY(directory.declare(v1::Bdev::descriptor()->file()->FindServiceByName("BdevRpc")));
  using S = BdevServiceV1;
  TRY(rpc::bind_unary(directory, "mayastor.v1.BdevRpc/Create", service, &S::create));
  TRY(rpc::bind_unary(directory, "mayastor.v1.BdevRpc/Destroy", service, &S::destroy));
  TRY(rpc::bind_unary(directory, "mayastor.v1.BdevRpc/List", service, &S::list));
  TRY(rpc::bind_unary(directory, "mayastor.v1.BdevRpc/Share", service, &S::share));
  return rpc::bind_unary(directory, "mayastor.v1.BdevRpc/Unshare", service, &S::unshare);
}

}  // namespace capstan::services
