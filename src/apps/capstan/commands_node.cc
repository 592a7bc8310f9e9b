// Why this file exists: the `capstan node` commands over capstan.node.v1.NodeRpc and
// mayastor.v1.HostRpc.
#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "apps/capstan/shown.h"
#include "host.pb.h"
#include "node/node.pb.h"

namespace capstan::apps {
namespace {

namespace v1 = ::mayastor::v1;
namespace node = ::capstan::node::v1;

// Two columns without a header: names and values of one thing.
class Facts {
 public:
  void add(std::string name, std::string value) { table_.add({std::move(name), std::move(value)}); }
  void print(Printer& out) const { out.line(trimmed(table_.text(false))); }

 private:
  static std::string trimmed(std::string text) {
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  Table table_{{"NAME", "VALUE"}};
};

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
  return all;
}

}  // namespace

Done node_version(Session& session, Arguments) {
  CO_TRY_SET(const node::Version answer,
             co_await session.call<node::Version>("capstan.node.v1.NodeRpc/GetVersion",
                                                  node::GetVersionRequest()));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Facts facts;
  facts.add("node", answer.node_name());
  facts.add("release", answer.release());
  facts.add("version", answer.version());
  facts.add("instance", answer.instance_uuid());
  facts.add("started", time_text(answer.started()));
  facts.add("uptime", uptime_text(answer.uptime_ms()));
  facts.print(out);
  co_return Result<void>();
}

Done node_health(Session& session, Arguments) {
  CO_TRY_SET(const node::Health answer,
             co_await session.call<node::Health>("capstan.node.v1.NodeRpc/GetHealth",
                                                 node::GetHealthRequest()));
  Printer& out = session.out();
  if (out.json()) {
    CO_TRY(out.message(answer));
  } else {
    Table table({"PART", "HEALTHY", "DETAIL"});
    for (const auto& part : answer.parts()) {
      table.add({part.name(), part.healthy() ? "yes" : "no", part.detail()});
    }
    if (!table.empty()) out.table(table, "parts");
    out.remark(answer.healthy() ? "The node is healthy" : "The node is not healthy");
  }
  if (!answer.healthy()) co_return fail(Code::kFailedPrecondition, "the node is not healthy");
  co_return Result<void>();
}

Done node_operations(Session& session, Arguments arguments) {
  node::DescribeOperationsRequest request;
  request.set_prefix(arguments.text("PREFIX"));
  CO_TRY_SET(const node::DescribeOperationsResponse answer,
             co_await session.call<node::DescribeOperationsResponse>(
                 "capstan.node.v1.NodeRpc/DescribeOperations", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"OPERATION", "KIND", "ACCESS", "HTTP", "JSON-RPC", "DRPC"});
  for (const auto& one : answer.operations()) {
    std::string drpc;
    if (one.drpc_module() != 0) {
      drpc = std::to_string(one.drpc_module()) + "/" + std::to_string(one.drpc_method());
    }
    table.add({one.full_name(), one.kind(), one.access(), one.http(), one.jsonrpc(), drpc});
  }
  out.table(table, "operations");
  co_return Result<void>();
}

Done node_config(Session& session, Arguments) {
  CO_TRY_SET(const node::Config answer,
             co_await session.call<node::Config>("capstan.node.v1.NodeRpc/GetConfig",
                                                 node::GetConfigRequest()));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"NAME", "VALUE", "SOURCE", "HELP"});
  for (const auto& value : answer.values()) {
    table.add({value.name(), value.value(), value.source(), value.help()});
  }
  out.table(table, "values");
  co_return Result<void>();
}

Done node_metrics(Session& session, Arguments) {
  CO_TRY_SET(const node::MetricsText answer,
             co_await session.call<node::MetricsText>("capstan.node.v1.NodeRpc/GetMetrics",
                                                      node::GetMetricsRequest()));
  if (session.out().json()) co_return session.out().message(answer);
  std::string_view text = answer.text();
  if (text.ends_with('\n')) text.remove_suffix(1);
  session.out().line(text);
  co_return Result<void>();
}

Done node_info(Session& session, Arguments) {
  CO_TRY_SET(const v1::MayastorInfoResponse answer,
             co_await session.call<v1::MayastorInfoResponse>("mayastor.v1.HostRpc/GetMayastorInfo",
                                                             google::protobuf::Empty()));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  const v1::RegisterRequest& info = answer.registration_info();
  const auto yes_no = [](bool value) { return std::string(value ? "yes" : "no"); };
  std::string versions;
  for (const int version : info.api_version()) {
    versions +=
        (versions.empty() ? "" : ",") + v1::APIVersion_Name(static_cast<v1::APIVersion>(version));
  }
  Facts facts;
  facts.add("node", info.id());
  facts.add("version", answer.version());
  facts.add("endpoint", info.grpc_endpoint());
  facts.add("instance", info.instance_uuid().value());
  facts.add("api versions", versions);
  facts.add("host nqn", info.hostnqn().value());
  facts.add("asymmetric namespaces", yes_no(info.features().asymmetricnamespaceaccess()));
  facts.add("logical volume manager", yes_no(info.features().logicalvolumemanager()));
  facts.add("snapshot rebuild", yes_no(info.features().snapshotrebuild()));
  facts.add("rdma", yes_no(info.features().rdmacapableioengine()));
  facts.print(out);
  co_return Result<void>();
}

Done node_resources(Session& session, Arguments) {
  CO_TRY_SET(const v1::GetMayastorResourceUsageResponse answer,
             co_await session.call<v1::GetMayastorResourceUsageResponse>(
                 "mayastor.v1.HostRpc/GetMayastorResourceUsage", google::protobuf::Empty()));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  const v1::ResourceUsage& usage = answer.usage();
  Facts facts;
  facts.add("soft page faults", std::to_string(usage.soft_faults()));
  facts.add("hard page faults", std::to_string(usage.hard_faults()));
  facts.add("voluntary context switches", std::to_string(usage.vol_csw()));
  facts.add("involuntary context switches", std::to_string(usage.invol_csw()));
  facts.add("blocks read", std::to_string(usage.in_block_ops()));
  facts.add("blocks written", std::to_string(usage.out_block_ops()));
  facts.print(out);
  co_return Result<void>();
}

Done node_devices(Session& session, Arguments arguments) {
  v1::ListBlockDevicesRequest request;
  request.set_all(arguments.on("all"));
  CO_TRY_SET(const v1::ListBlockDevicesResponse answer,
             co_await session.call<v1::ListBlockDevicesResponse>(
                 "mayastor.v1.HostRpc/ListBlockDevices", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"DEVICE", "TYPE", ">SIZE", "AVAILABLE", "MODEL", "FSTYPE", "MOUNTPOINTS"});
  for (const v1::BlockDevice& device : answer.devices()) {
    table.add({device.devname(), device.devtype(), out.size(device.size() * 512),
               device.available() ? "yes" : "no", device.model(), device.filesystem().fstype(),
               joined(device.filesystem().mountpoints())});
  }
  out.table(table, "devices");
  co_return Result<void>();
}

}  // namespace capstan::apps
