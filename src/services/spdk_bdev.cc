// Why this file exists: see spdk_bdev.h.
#include "services/spdk_bdev.h"

#include <algorithm>
#include <cerrno>

#include "rpc/json_call.h"
#include "services/spdk_params.h"
#include "storage/device/memory_device.h"

namespace capstan::services {
namespace {

using Empty = google::protobuf::Empty;
using storage::IoStats;

constexpr std::string_view kSource = "io-engine.source_uuid";
constexpr std::size_t kNamesMax = 1024;
constexpr std::uint64_t kTickRate = core::kSecond;
constexpr std::uint64_t kPatienceMax = std::uint64_t{1} << 40;  // milliseconds; beyond any uptime

// The one UUID by which a clone names what it was made from.
std::optional<Uuid> source_of(const storage::Replica& volume) {
  if (!volume.is_clone()) return std::nullopt;
  return Uuid::parse(volume.attribute(kSource).value_or(""));
}

// "URING disk" is what the other services have always shown.
std::string product_of(const storage::Device& device) {
  return device.product() == "URING disk" ? "URING bdev" : std::string(device.product());
}

template <class Statistics>
void fill(Statistics& out, const IoStats& stats) {
  out.set_bytes_read(stats.read.bytes);
  out.set_num_read_ops(stats.read.ops);
  out.set_bytes_written(stats.write.bytes);
  out.set_num_write_ops(stats.write.ops);
  out.set_bytes_unmapped(stats.unmap.bytes);
  out.set_num_unmap_ops(stats.unmap.ops);
  out.set_read_latency_ticks(stats.read.latency_ns);
  out.set_max_read_latency_ticks(stats.read.max_latency_ns);
  out.set_min_read_latency_ticks(stats.read.min_latency_ns);
  out.set_write_latency_ticks(stats.write.latency_ns);
  out.set_max_write_latency_ticks(stats.write.max_latency_ns);
  out.set_min_write_latency_ticks(stats.write.min_latency_ns);
  out.set_unmap_latency_ticks(stats.unmap.latency_ns);
  out.set_max_unmap_latency_ticks(stats.unmap.max_latency_ns);
  out.set_min_unmap_latency_ticks(stats.unmap.min_latency_ns);
}

// The numbers of BdevStatistics as a free-form object, for the one answer that has no fixed shape.
google::protobuf::Struct channel_of(const spdk::BdevStatistics& statistics) {
  google::protobuf::Struct out;
  auto& members = *out.mutable_fields();
  members["thread_id"].set_number_value(1);
  const auto& descriptor = *statistics.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* field = descriptor.field(i);
    if (field->is_map()) {
      members[field->name()].mutable_struct_value();
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT64) {
      members[field->name()].set_number_value(
          static_cast<double>(statistics.GetReflection()->GetUInt64(statistics, field)));
    }
  }
  return out;
}

void forget_extremes(IoStats& stats) {
  for (auto* kind : {&stats.read, &stats.write, &stats.unmap}) {
    kind->max_latency_ns = 0;
    kind->min_latency_ns = 0;
  }
}

// Errors are not counted by devices, so "error" has nothing to forget.
void reset(IoStats& stats, std::string_view mode) {
  if (mode == "all") stats = IoStats();
  if (mode == "maxmin") forget_extremes(stats);
}

}  // namespace

void SpdkBdevService::dump_volume(const storage::Replica& volume, spdk::LvolSpecific& out) const {
  out.set_lvol_store_uuid(volume.pool_uuid().text());
  out.set_thin_provision(volume.thin());
  out.set_num_allocated_clusters(volume.usage().num_allocated_clusters);
  out.set_snapshot(volume.is_snapshot());
  out.set_clone(volume.is_clone());
  const auto* loaded = devices_.engine().find_pool(volume.pool_name());
  if (!loaded) return;
  out.set_base_bdev(spdk_name(*loaded->pool->device()));
  const auto source = source_of(volume);
  const auto snapshot = source ? loaded->pool->find(*source) : nullptr;
  if (snapshot) out.set_base_snapshot(snapshot->name());
  if (!volume.is_snapshot()) return;
  for (const auto& other : loaded->pool->replicas()) {
    if (source_of(*other) != volume.uuid()) continue;
    out.mutable_clones()->add_values()->set_string_value(other->name());
  }
}

void SpdkBdevService::dump_driver(const storage::DeviceEntry& entry,
                                  spdk::DriverSpecific& out) const {
  using Kind = StackedDefinition::Kind;
  const storage::Device& device = *entry.device;
  if (const auto* volume = dynamic_cast<const storage::Replica*>(&device)) {
    return dump_volume(*volume, *out.mutable_lvol());
  }
  const auto* definition = devices_.definition(device.name());
  if (definition && definition->kind == Kind::kError) {
    out.mutable_error_disk()->set_base_bdev(definition->below);
  } else if (definition && definition->kind == Kind::kPassthru) {
    out.mutable_passthru()->set_name(definition->name);
    out.mutable_passthru()->set_base_bdev_name(definition->below);
  } else if (definition) {
    auto& delay = *out.mutable_delay();
    delay.set_name(definition->name);
    delay.set_base_bdev_name(definition->below);
    delay.set_uuid(definition->uuid.text());
    delay.set_avg_read_latency(definition->latencies.average_read / 1000);
    delay.set_p99_read_latency(definition->latencies.p99_read / 1000);
    delay.set_avg_write_latency(definition->latencies.average_write / 1000);
    delay.set_p99_write_latency(definition->latencies.p99_write / 1000);
  }
  // Most devices have no file: their URI need not be taken apart.
  if (entry.uri.empty() || entry.uri.starts_with("malloc:") || entry.uri.starts_with("null:")) {
    return;
  }
  const auto uri = storage::parse_device_uri(entry.uri);
  if (!uri || uri->path.empty()) return;
  if (uri->scheme == storage::DeviceUri::Scheme::kUring) {
    out.mutable_uring()->set_filename(uri->path);
  } else {
    out.mutable_aio()->set_filename(uri->path);
    out.mutable_aio()->set_block_size_override(uri->block_size != 0);
  }
}

void SpdkBdevService::dump(const storage::DeviceEntry& entry, spdk::BdevInfo& out) const {
  const storage::Device& device = *entry.device;
  const auto* volume = dynamic_cast<const storage::Replica*>(&device);
  out.set_name(spdk_name(device));
  out.add_aliases(volume ? volume->pool_name() + "/" + volume->name() : device.uuid().text());
  out.set_product_name(product_of(device));
  out.set_block_size(device.block_size());
  out.set_num_blocks(device.num_blocks());
  out.set_uuid(device.uuid().text());
  // "Any": what SPDK prints for memory that no one node of the machine holds.
  if (dynamic_cast<const storage::MemoryDevice*>(&device)) out.set_numa_id(-1);
  out.mutable_assigned_rate_limits();
  out.set_claimed(device.claimed());
  if (device.claimed()) out.set_claim_type("exclusive_write");
  const bool writable = !volume || !volume->read_only();
  auto& types = *out.mutable_supported_io_types();
  types.set_read(true);
  types.set_flush(true);
  types.set_write(writable);
  types.set_write_zeroes(writable);
  types.set_unmap(writable && device.supports_unmap());
  dump_driver(entry, *out.mutable_driver_specific());
}

SpdkBdevService::Answer<spdk::Bdevs> SpdkBdevService::get_bdevs(
    rpc::Call& call, const spdk::GetBdevsRequest& request) {
  spdk::Bdevs out;
  auto& registry = devices_.engine().devices();
  if (!request.has_name()) {
    for (const auto* entry : registry.list()) dump(*entry, *out.add_bdevs());
    co_return out;
  }
  auto device = spdk_find(devices_.engine(), request.name());
  if (!device && request.timeout() != 0) {
    const core::Nanos patience = std::min(request.timeout(), kPatienceMax) * core::kMillisecond;
    CO_TRY_SET(device, co_await devices_.wait_for(request.name(), patience, call.token));
  }
  const auto* entry = device ? registry.entry(device->name()) : nullptr;
  if (!entry) co_return rpc::json_errno(ENODEV, "device '" + request.name() + "' not found");
  dump(*entry, *out.add_bdevs());
  co_return out;
}

Result<std::vector<storage::Device*>> SpdkBdevService::selected(
    const spdk::GetIostatRequest& request) const {
  std::vector<std::string> names(request.names().begin(), request.names().end());
  if (request.has_name()) names.push_back(request.name());
  std::vector<storage::Device*> out;
  Engine& engine = devices_.engine();
  for (const auto& name : names) {
    const auto device = spdk_find(engine, name);
    if (!device) return rpc::json_errno(ENODEV, "device '" + name + "' not found");
    out.push_back(device.get());
  }
  if (!names.empty()) return out;
  for (const auto* entry : engine.devices().list()) out.push_back(entry->device.get());
  return out;
}

SpdkBdevService::Answer<spdk::Iostat> SpdkBdevService::get_iostat(
    rpc::Call& call, const spdk::GetIostatRequest& request) {
  const std::string mode = request.has_reset_mode() ? request.reset_mode() : "none";
  CO_TRY(require_one_of(call, "reset_mode", mode, {"all", "maxmin", "error", "none"}));
  const auto given = static_cast<std::size_t>(request.names_size()) + (request.has_name() ? 1 : 0);
  if (given > kNamesMax || (request.per_channel() && given != 1)) {
    co_return rpc::json_errno(EINVAL,
                              "per_channel needs exactly one name, and at most 1024 are "
                              "taken otherwise");
  }
  CO_TRY_SET(const auto devices, selected(request));
  spdk::Iostat out;
  out.set_tick_rate(kTickRate);
  out.set_ticks(core::Reactor::current()->now());
  for (auto* device : devices) {
    spdk::BdevStatistics statistics;
    statistics.set_name(spdk_name(*device));
    fill(statistics, device->stats());
    if (request.per_channel()) {
      out.set_name(statistics.name());
      *out.mutable_channels()->add_values()->mutable_struct_value() = channel_of(statistics);
    } else {
      *out.add_bdevs() = std::move(statistics);
    }
    reset(device->stats(), mode);
  }
  co_return out;
}

SpdkBdevService::Answer<Empty> SpdkBdevService::reset_iostat(
    rpc::Call& call, const spdk::ResetIostatRequest& request) {
  const std::string mode = request.has_mode() ? request.mode() : "all";
  CO_TRY(require_one_of(call, "mode", mode, {"all", "maxmin", "error", "none"}));
  spdk::GetIostatRequest which;
  if (request.has_name()) which.set_name(request.name());
  CO_TRY_SET(const auto devices, selected(which));
  for (auto* device : devices) reset(device->stats(), mode);
  co_return Empty();
}

// A creation is answered after its device was looked at; one that could not be reached at first is
// looked at later.
SpdkBdevService::Answer<Empty> SpdkBdevService::wait_for_examine(rpc::Call& call, const Empty&) {
  CO_TRY(co_await devices_.wait_for_examine(call.token));
  co_return Empty();
}

SpdkBdevService::Answer<Empty> SpdkBdevService::examine(rpc::Call& call,
                                                        const spdk::ExamineRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  if (devices_.auto_examine()) {
    co_return rpc::json_errno(EINVAL, "every new device is examined by itself");
  }
  const auto device = spdk_find(devices_.engine(), request.name());
  if (!device) co_return rpc::json_errno(ENODEV, "device '" + request.name() + "' not found");
  co_await devices_.examine(device);
  co_return Empty();
}

// Pools and caches of requests are SPDK's; here every request has its own memory.
SpdkBdevService::Answer<Empty> SpdkBdevService::set_options(
    rpc::Call&, const spdk::SetBdevOptionsRequest& request) {
  if (request.has_bdev_auto_examine()) devices_.set_auto_examine(request.bdev_auto_examine());
  co_return Empty();
}

Result<void> bind_spdk_bdev(rpc::Directory& directory, SpdkBdevService& service) {
  using S = SpdkBdevService;
  TRY(directory.declare(spdk::Bdevs::descriptor()->file()->service(0)));
  TRY(rpc::bind_unary(directory, "spdk.Bdev/GetBdevs", service, &S::get_bdevs));
  TRY(rpc::bind_unary(directory, "spdk.Bdev/GetIostat", service, &S::get_iostat));
  TRY(rpc::bind_unary(directory, "spdk.Bdev/ResetIostat", service, &S::reset_iostat));
  TRY(rpc::bind_unary(directory, "spdk.Bdev/WaitForExamine", service, &S::wait_for_examine));
  TRY(rpc::bind_unary(directory, "spdk.Bdev/Examine", service, &S::examine));
  return rpc::bind_unary(directory, "spdk.Bdev/SetOptions", service, &S::set_options);
}

}  // namespace capstan::services
