// Why this file exists: the saved configuration (jsonrpc section B.8): the present devices as the
// calls of spdk.BdevModules that make them. Pools are not in it: they stand on the devices and are
// opened when these are created. Only methods that this node answers may be named here.
#include <string>

#include "services/spdk_framework.h"
#include "services/spdk_nvmf.h"
#include "storage/device/error_device.h"

namespace capstan::services {
namespace {

using Fields = SavedFields;

class Calls {
 public:
  explicit Calls(google::protobuf::ListValue& list) : list_(list) {}
  // The parameters of the new call.
  Fields& add(const char* method) { return add_saved_call(list_, method); }

 private:
  google::protobuf::ListValue& list_;
};

void save_device(const storage::DeviceEntry& entry, Calls& calls) {
  using Scheme = storage::DeviceUri::Scheme;
  const auto uri = storage::parse_device_uri(entry.uri);
  if (!uri) return;  // a volume, or a stacked device
  const storage::Device& device = *entry.device;
  const bool file = uri->scheme == Scheme::kAio || uri->scheme == Scheme::kUring;
  const bool memory = uri->scheme == Scheme::kMalloc || uri->scheme == Scheme::kNull;
  if (!file && !memory) return;
  const char* method = uri->scheme == Scheme::kAio      ? "bdev_aio_create"
                       : uri->scheme == Scheme::kUring  ? "bdev_uring_create"
                       : uri->scheme == Scheme::kMalloc ? "bdev_malloc_create"
                                                        : "bdev_null_create";
  Fields& params = calls.add(method);
  params["name"].set_string_value(device.name());
  params["uuid"].set_string_value(device.uuid().text());
  if (file) {
    params["filename"].set_string_value(uri->path);
    if (uri->block_size != 0) params["block_size"].set_number_value(uri->block_size);
  } else {
    params["block_size"].set_number_value(device.block_size());
    params["num_blocks"].set_number_value(static_cast<double>(device.num_blocks()));
  }
}

void save_stacked(const StackedDefinition& definition, Calls& calls) {
  using Kind = StackedDefinition::Kind;
  if (definition.kind == Kind::kError) {
    Fields& params = calls.add("bdev_error_create");
    params["base_name"].set_string_value(definition.below);
    params["uuid"].set_string_value(definition.uuid.text());
    return;
  }
  const bool delay = definition.kind == Kind::kDelay;
  Fields& params = calls.add(delay ? "bdev_delay_create" : "bdev_passthru_create");
  params["name"].set_string_value(definition.name);
  params["base_bdev_name"].set_string_value(definition.below);
  params["uuid"].set_string_value(definition.uuid.text());
  if (!delay) return;
  const auto microseconds = [](core::Nanos nanos) { return static_cast<double>(nanos / 1000); };
  params["avg_read_latency"].set_number_value(microseconds(definition.latencies.average_read));
  params["p99_read_latency"].set_number_value(microseconds(definition.latencies.p99_read));
  params["avg_write_latency"].set_number_value(microseconds(definition.latencies.average_write));
  params["p99_write_latency"].set_number_value(microseconds(definition.latencies.p99_write));
}

}  // namespace

google::protobuf::ListValue saved_devices(SpdkDevices& devices) {
  google::protobuf::ListValue list;
  Calls calls(list);
  if (const auto& save = devices.remote_part().options) save(list);
  // Stacked first would wait for their devices, but then nobody saw an error.
  for (const auto* entry : devices.engine().devices().list()) save_device(*entry, calls);
  if (const auto& save = devices.remote_part().controllers) save(list);
  for (const auto& definition : devices.definitions()) save_stacked(definition, calls);
  (*list.add_values()->mutable_struct_value()->mutable_fields())["method"].set_string_value(
      "bdev_wait_for_examine");
  return list;
}

}  // namespace capstan::services
