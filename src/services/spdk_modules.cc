// Why this file exists: see spdk_modules.h. What the engine cannot do (metadata, protection
// information, read-only files) is refused, not ignored.
#include "services/spdk_modules.h"

#include <cerrno>

#include "rpc/json_call.h"
#include "services/spdk_params.h"
#include "services/uris.h"
#include "storage/device/error_device.h"
#include "storage/device/null_device.h"

namespace capstan::services {
namespace {

using Kind = StackedDefinition::Kind;
using Empty = google::protobuf::Empty;
using storage::IoKind;

constexpr core::Nanos kMicrosecond = 1000;
constexpr std::uint64_t kLatencyMax = 3'600'000'000;  // one hour, in microseconds

// A size that fits; the URI says the rest of what may be wrong.
Result<void> check_blocks(std::uint32_t block_size, std::uint64_t num_blocks) {
  if (num_blocks != 0 && block_size != 0 && block_size % 512 == 0) return {};
  return rpc::json_errno(EINVAL, std::to_string(num_blocks) + " blocks of " +
                                     std::to_string(block_size) +
                                     " bytes: both must be above 0 and a block n x 512 bytes");
}

std::string memory_uri(std::string_view scheme, const std::string& name, std::uint32_t block_size,
                       std::uint64_t num_blocks, const std::string& uuid) {
  std::string uri(scheme);
  uri += ":///" + url_text(name) + "?blk_size=" + std::to_string(block_size);
  uri += "&num_blocks=" + std::to_string(num_blocks);
  return uuid.empty() ? uri : uri + "&uuid=" + uuid;
}

// A path alone is the name too, as for devices that other services make.
std::string file_uri(std::string_view scheme, const std::string& name, const std::string& path,
                     std::uint32_t block_size, const std::string& uuid) {
  std::string uri(scheme);
  uri += "://" + url_text(path);
  char separator = '?';
  const auto add = [&](const std::string& parameter) {
    uri += separator + parameter;
    separator = '&';
  };
  if (name != path) add("name=" + url_text(name));
  if (block_size != 0) add("blk_size=" + std::to_string(block_size));
  if (!uuid.empty()) add("uuid=" + uuid);
  return uri;
}

Result<void> check_name(const std::string& name) {
  if (!name.empty()) return {};
  return rpc::json_errno(EINVAL, "a device needs a name");
}

Result<spdk::BdevName> named(Result<std::string> created) {
  if (!created) return std::unexpected(std::move(created).error());
  spdk::BdevName out;
  out.set_name(*created);
  return out;
}

Result<core::Nanos> latency(const rpc::Call& call, std::uint64_t microseconds) {
  if (microseconds <= kLatencyMax) return microseconds * kMicrosecond;
  return rpc::json_errno(EINVAL, call.operation->jsonrpc_name + ": a latency of " +
                                     std::to_string(microseconds) + " us is above an hour");
}

}  // namespace

using M = SpdkModulesService;

M::Answer<Empty> M::remove(rpc::Call& call, const NameRequest& request, std::string scheme) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY(co_await devices_.remove(request.name(), std::move(scheme)));
  co_return Empty();
}

M::Answer<Empty> M::rescan(rpc::Call& call, const NameRequest& request, std::string scheme) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto device, devices_.find_made_by(request.name(), scheme));
  const auto changed = co_await device->rescan();
  if (!changed) {
    const Error& error = changed.error();
    co_return rpc::json_errno(error.sys_errno > 0 ? error.sys_errno : EIO, error.text());
  }
  if (*changed) devices_.engine().devices().announce_resized(*device);
  co_return Empty();
}

M::Answer<Empty> M::undefine(rpc::Call& call, const NameRequest& request, Kind kind) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY(co_await devices_.undefine(request.name(), kind));
  co_return Empty();
}

// --- memory and null ----------------------------------------------------------------------------

M::Answer<M::Name> M::malloc_create(rpc::Call& call, const spdk::MallocCreateRequest& request) {
  CO_TRY(require(call, request, {"num_blocks", "block_size"}));
  CO_TRY(uuid_param(call, request.uuid()));
  CO_TRY(refuse_unsupported(call, request, {"md_size", "dif_type"}));
  CO_TRY(check_blocks(request.block_size(), request.num_blocks()));
  const bool automatic = request.name().empty();
  const std::string name = automatic ? "Malloc" + std::to_string(malloc_names_) : request.name();
  auto created = co_await devices_.create(
      memory_uri("malloc", name, request.block_size(), request.num_blocks(), request.uuid()));
  if (created && automatic) ++malloc_names_;
  co_return named(std::move(created));
}

M::Answer<Empty> M::malloc_delete(rpc::Call& call, const NameRequest& request) {
  return remove(call, request, "malloc");
}

M::Answer<M::Name> M::null_create(rpc::Call& call, const spdk::NullCreateRequest& request) {
  CO_TRY(require(call, request, {"name", "num_blocks", "block_size"}));
  CO_TRY(uuid_param(call, request.uuid()));
  CO_TRY(refuse_unsupported(call, request, {"md_size", "dif_type"}));
  CO_TRY(check_name(request.name()));
  CO_TRY(check_blocks(request.block_size(), request.num_blocks()));
  co_return named(co_await devices_.create(memory_uri("null", request.name(), request.block_size(),
                                                      request.num_blocks(), request.uuid())));
}

M::Answer<Empty> M::null_delete(rpc::Call& call, const NameRequest& request) {
  return remove(call, request, "null");
}

M::Answer<Empty> M::null_resize(rpc::Call& call, const spdk::NullResizeRequest& request) {
  CO_TRY(require(call, request, {"name", "new_size"}));
  CO_TRY_SET(const auto device, devices_.find_made_by(request.name(), "null"));
  const std::uint64_t per_mib = (1U << 20) / device->block_size();
  if (request.new_size() > (1ULL << 43) - 1) co_return rpc::json_errno(EINVAL, "too large");
  const auto resized =
      dynamic_cast<storage::NullDevice&>(*device).resize(request.new_size() * per_mib);
  if (!resized) co_return rpc::json_errno(EINVAL, resized.error().text());
  devices_.engine().devices().announce_resized(*device);
  co_return Empty();
}

// --- files --------------------------------------------------------------------------------------

M::Answer<M::Name> M::aio_create(rpc::Call& call, const spdk::AioCreateRequest& request) {
  CO_TRY(require(call, request, {"name", "filename"}));
  CO_TRY(uuid_param(call, request.uuid()));
  CO_TRY(refuse_unsupported(call, request, {"readonly"}));
  CO_TRY(check_name(request.name()));
  co_return named(co_await devices_.create(
      file_uri("aio", request.name(), request.filename(), request.block_size(), request.uuid())));
}

M::Answer<Empty> M::aio_rescan(rpc::Call& call, const NameRequest& request) {
  return rescan(call, request, "aio");
}

M::Answer<Empty> M::aio_delete(rpc::Call& call, const NameRequest& request) {
  return remove(call, request, "aio");
}

M::Answer<M::Name> M::uring_create(rpc::Call& call, const spdk::UringCreateRequest& request) {
  CO_TRY(require(call, request, {"name", "filename"}));
  CO_TRY(uuid_param(call, request.uuid()));
  auto created = co_await devices_.create(
      file_uri("uring", request.name(), request.filename(), request.block_size(), request.uuid()));
  if (created) co_return named(std::move(created));
  const Error& error = created.error();
  co_return rpc::json_error(error.code, rpc::json_code::kInternalError,
                            "Unable to create URING bdev.", error.text());
}

M::Answer<Empty> M::uring_rescan(rpc::Call& call, const NameRequest& request) {
  return rescan(call, request, "uring");
}

M::Answer<Empty> M::uring_delete(rpc::Call& call, const NameRequest& request) {
  return remove(call, request, "uring");
}

// --- stacked devices ----------------------------------------------------------------------------

M::Answer<M::Name> M::passthru_create(rpc::Call& call, const spdk::PassthruCreateRequest& request) {
  CO_TRY(require(call, request, {"name", "base_bdev_name"}));
  CO_TRY_SET(const auto uuid, uuid_param(call, request.uuid()));
  CO_TRY(check_name(request.name()));
  CO_TRY(devices_.define(
      {Kind::kPassthru, request.name(), request.base_bdev_name(), uuid.value_or(Uuid()), {}}));
  co_return named(request.name());
}

M::Answer<Empty> M::passthru_delete(rpc::Call& call, const NameRequest& request) {
  return undefine(call, request, Kind::kPassthru);
}

M::Answer<M::Name> M::delay_create(rpc::Call& call, const spdk::DelayCreateRequest& request) {
  CO_TRY(require(call, request,
                 {"name", "base_bdev_name", "avg_read_latency", "p99_read_latency",
                  "avg_write_latency", "p99_write_latency"}));
  CO_TRY_SET(const auto uuid, uuid_param(call, request.uuid()));
  CO_TRY(check_name(request.name()));
  StackedDefinition wanted{
      Kind::kDelay, request.name(), request.base_bdev_name(), uuid.value_or(Uuid()), {}};
  CO_TRY_SET(wanted.latencies.average_read, latency(call, request.avg_read_latency()));
  CO_TRY_SET(wanted.latencies.p99_read, latency(call, request.p99_read_latency()));
  CO_TRY_SET(wanted.latencies.average_write, latency(call, request.avg_write_latency()));
  CO_TRY_SET(wanted.latencies.p99_write, latency(call, request.p99_write_latency()));
  CO_TRY(devices_.define(std::move(wanted)));
  co_return named(request.name());
}

M::Answer<Empty> M::delay_update(rpc::Call& call, const spdk::DelayUpdateLatencyRequest& request) {
  CO_TRY(require(call, request, {"delay_bdev_name", "latency_type", "latency_us"}));
  CO_TRY(require_one_of(call, "latency_type", request.latency_type(),
                        {"avg_read", "p99_read", "avg_write", "p99_write"}));
  CO_TRY_SET(const core::Nanos value, latency(call, request.latency_us()));
  auto* definition = devices_.definition(request.delay_bdev_name());
  if (!definition || definition->kind != Kind::kDelay) {
    co_return rpc::json_errno(ENODEV, "delay device '" + request.delay_bdev_name() + "' not found");
  }
  auto& latencies = definition->latencies;
  const std::string& type = request.latency_type();
  (type == "avg_read"    ? latencies.average_read
   : type == "p99_read"  ? latencies.p99_read
   : type == "avg_write" ? latencies.average_write
                         : latencies.p99_write) = value;
  const auto device = devices_.engine().devices().find(definition->name);
  if (auto* delaying = dynamic_cast<storage::DelayDevice*>(device.get())) {
    delaying->set_latencies(latencies);
  }
  co_return Empty();
}

M::Answer<Empty> M::delay_delete(rpc::Call& call, const NameRequest& request) {
  return undefine(call, request, Kind::kDelay);
}

// --- errors on order ----------------------------------------------------------------------------

M::Answer<Empty> M::error_create(rpc::Call& call, const spdk::ErrorCreateRequest& request) {
  CO_TRY(require(call, request, {"base_name"}));
  CO_TRY_SET(const auto uuid, uuid_param(call, request.uuid()));
  CO_TRY(check_name(request.base_name()));
  CO_TRY(devices_.define(
      {Kind::kError, "EE_" + request.base_name(), request.base_name(), uuid.value_or(Uuid()), {}}));
  co_return Empty();
}

namespace {

using Action = storage::InjectedFault::Action;

Result<storage::InjectedFault> fault_of(const rpc::Call& call,
                                        const spdk::ErrorInjectErrorRequest& request) {
  TRY(require_one_of(call, "error_type", request.error_type(),
                     {"failure", "pending", "corrupt_data", "nomem", "nvme_failure"}));
  TRY(refuse_unsupported(call, request, {"queue_depth"}));
  if (request.corrupt_value() > 255) {
    return rpc::json_invalid_params(call.operation->jsonrpc_name + ": corrupt_value: above 255");
  }
  const std::string& type = request.error_type();
  if (type == "nvme_failure" && !request.has_nvme_sct() && !request.has_nvme_sc()) {
    return rpc::json_error(Code::kInvalidArgument, -EINVAL,
                           "nvme_sct or nvme_sc should be specified for NVMe error injection");
  }
  storage::InjectedFault fault;
  fault.count = request.has_num() ? request.num() : 1;
  if (type == "pending") fault.action = Action::kHold;
  if (type == "corrupt_data") fault.action = Action::kCorrupt;
  if (type == "nomem") {
    fault.code = Code::kResourceExhausted;
    fault.sys_errno = ENOMEM;
  }
  fault.corrupt_offset = request.corrupt_offset();
  fault.corrupt_value = static_cast<std::uint8_t>(request.corrupt_value());
  const std::string& io = request.io_type();
  if (io == "read") fault.kinds = {IoKind::kRead};
  if (io == "write") fault.kinds = {IoKind::kWrite};
  if (io == "unmap") fault.kinds = {IoKind::kUnmap};
  if (io == "flush") fault.kinds = {IoKind::kFlush};
  return fault;
}

}  // namespace

M::Answer<Empty> M::error_inject(rpc::Call& call, const spdk::ErrorInjectErrorRequest& request) {
  CO_TRY(require(call, request, {"name", "io_type", "error_type"}));
  CO_TRY(require_one_of(call, "io_type", request.io_type(),
                        {"clear", "read", "write", "unmap", "flush", "all"}));
  CO_TRY_SET(auto fault, fault_of(call, request));
  const auto device = spdk_find(devices_.engine(), request.name());
  auto* failing = dynamic_cast<storage::ErrorInjectingDevice*>(device.get());
  if (!failing) {
    co_return rpc::json_errno(ENODEV, "error device '" + request.name() + "' not found");
  }
  if (request.io_type() == "clear") {
    failing->clear();
    failing->resume_held();
  } else {
    failing->inject(std::move(fault));
  }
  co_return Empty();
}

M::Answer<Empty> M::error_resume(rpc::Call& call, const NameRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  const auto device = spdk_find(devices_.engine(), request.name());
  auto* failing = dynamic_cast<storage::ErrorInjectingDevice*>(device.get());
  if (!failing) {
    co_return rpc::json_errno(ENODEV, "error device '" + request.name() + "' not found");
  }
  failing->resume_held();
  co_return Empty();
}

M::Answer<Empty> M::error_delete(rpc::Call& call, const NameRequest& request) {
  return undefine(call, request, Kind::kError);
}

Result<void> bind_spdk_modules(rpc::Directory& directory, SpdkModulesService& service) {
  TRY(directory.declare(spdk::BdevName::descriptor()->file()->service(0)));
  const auto bind = [&](const char* method, auto handler) {
    return rpc::bind_unary(directory, std::string("spdk.BdevModules/") + method, service, handler);
  };
  TRY(bind("MallocCreate", &M::malloc_create));
  TRY(bind("MallocDelete", &M::malloc_delete));
  TRY(bind("NullCreate", &M::null_create));
  TRY(bind("NullDelete", &M::null_delete));
  TRY(bind("NullResize", &M::null_resize));
  TRY(bind("AioCreate", &M::aio_create));
  TRY(bind("AioRescan", &M::aio_rescan));
  TRY(bind("AioDelete", &M::aio_delete));
  TRY(bind("UringCreate", &M::uring_create));
  TRY(bind("UringRescan", &M::uring_rescan));
  TRY(bind("UringDelete", &M::uring_delete));
  TRY(bind("PassthruCreate", &M::passthru_create));
  TRY(bind("PassthruDelete", &M::passthru_delete));
  TRY(bind("DelayCreate", &M::delay_create));
  TRY(bind("DelayUpdateLatency", &M::delay_update));
  TRY(bind("DelayDelete", &M::delay_delete));
  TRY(bind("ErrorCreate", &M::error_create));
  TRY(bind("ErrorInjectError", &M::error_inject));
  TRY(bind("ErrorResumePending", &M::error_resume));
  return bind("ErrorDelete", &M::error_delete);
}

}  // namespace capstan::services
