// Why this file exists: the `capstan replica` commands over mayastor.v1.ReplicaRpc: arguments
// become messages, answers become tables. What they mean is decided by the node.
#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "base/uuid.h"
#include "replica.pb.h"

namespace capstan::apps {
namespace {

namespace v1 = ::mayastor::v1;

std::string_view share_word(v1::ShareProtocol share) {
  switch (share) {
    case v1::NVMF: return "nvmf";
    case v1::ISCSI: return "iscsi";
    default: return "none";
  }
}

std::string kind_word(const v1::Replica& replica) {
  if (replica.is_snapshot()) return "snapshot";
  return replica.is_clone() ? "clone" : "replica";
}

Result<void> print_replica(Printer& out, const v1::Replica& replica) {
  if (out.json()) return out.message(replica);
  out.line(replica.uri());
  return {};
}

// The calls take UUIDs, people know names.
core::Task<Result<std::string>> find_uuid(Session& session, std::string text) {
  if (Uuid::parse(text)) co_return text;
  v1::ListReplicaOptions request;
  request.mutable_name()->set_value(text);
  CO_TRY_SET(const v1::ListReplicasResponse answer,
             co_await session.call<v1::ListReplicasResponse>("mayastor.v1.ReplicaRpc/ListReplicas",
                                                             request));
  if (answer.replicas().empty()) {
    co_return fail(Code::kNotFound,
                   "replica '" + text + "' not found; 'capstan replica list' shows what there is");
  }
  if (answer.replicas_size() > 1) {
    co_return fail(Code::kFailedPrecondition,
                   "there are " + std::to_string(answer.replicas_size()) + " replicas named '" +
                       text + "', in different pools; give the UUID of the one you mean");
  }
  co_return answer.replicas(0).uuid();
}

}  // namespace

Done replica_create(Session& session, Arguments arguments) {
  v1::CreateReplicaRequest request;
  request.set_name(arguments.text("NAME"));
  request.set_pooluuid(arguments.text("POOL"));
  request.set_uuid(arguments.given("uuid") ? arguments.text("uuid")
                                           : session.env().random_uuid().text());
  const auto size = arguments.size("size");
  CO_TRY(Session::usage(size));
  request.set_size(*size);
  request.set_thin(arguments.on("thin"));
  request.set_share(arguments.text("protocol") == "nvmf" ? v1::NVMF : v1::NONE);
  for (const std::string& host : arguments.list("allowed-host")) request.add_allowed_hosts(host);
  if (arguments.given("entity-id")) request.set_entity_id(arguments.text("entity-id"));
  CO_TRY_SET(const v1::Replica replica,
             co_await session.call<v1::Replica>("mayastor.v1.ReplicaRpc/CreateReplica", request));
  co_return print_replica(session.out(), replica);
}

Done replica_destroy(Session& session, Arguments arguments) {
  if (arguments.given("pool-uuid") && arguments.given("pool-name")) {
    co_return Session::usage_error("--pool-uuid and --pool-name exclude each other. Give one");
  }
  v1::DestroyReplicaRequest request;
  CO_TRY_SET(*request.mutable_uuid(), co_await find_uuid(session, arguments.text("REPLICA")));
  if (arguments.given("pool-uuid")) request.set_pool_uuid(arguments.text("pool-uuid"));
  if (arguments.given("pool-name")) request.set_pool_name(arguments.text("pool-name"));
  CO_TRY(co_await session.order("mayastor.v1.ReplicaRpc/DestroyReplica", request));
  session.done("replica: " + arguments.text("REPLICA") + " is deleted");
  co_return Result<void>();
}

Done replica_list(Session& session, Arguments arguments) {
  v1::ListReplicaOptions request;
  if (arguments.given("NAME")) request.mutable_name()->set_value(arguments.text("NAME"));
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  if (arguments.given("pool-name")) {
    request.mutable_poolname()->set_value(arguments.text("pool-name"));
  }
  if (arguments.given("pool-uuid")) {
    request.mutable_pooluuid()->set_value(arguments.text("pool-uuid"));
  }
  CO_TRY_SET(const v1::ListReplicasResponse answer,
             co_await session.call<v1::ListReplicasResponse>("mayastor.v1.ReplicaRpc/ListReplicas",
                                                             request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table(
      {"POOL", "NAME", "UUID", "KIND", "THIN", "SHARE", ">SIZE", ">ALLOCATED", "ENTITY", "URI"});
  for (const v1::Replica& replica : answer.replicas()) {
    table.add({replica.poolname(), replica.name(), replica.uuid(), kind_word(replica),
               replica.thin() ? "yes" : "no", std::string(share_word(replica.share())),
               out.size(replica.size()), out.size(replica.usage().allocated_bytes()),
               replica.entity_id(), replica.uri()});
  }
  out.table(table, "replicas");
  co_return Result<void>();
}

Done replica_resize(Session& session, Arguments arguments) {
  const auto size = arguments.size("SIZE");
  CO_TRY(Session::usage(size));
  v1::ResizeReplicaRequest request;
  CO_TRY_SET(*request.mutable_uuid(), co_await find_uuid(session, arguments.text("REPLICA")));
  request.set_requested_size(*size);
  CO_TRY_SET(const v1::Replica replica,
             co_await session.call<v1::Replica>("mayastor.v1.ReplicaRpc/ResizeReplica", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(replica);
  out.line("replica: " + replica.name() + " has " + out.size(replica.size()));
  co_return Result<void>();
}

Done replica_share(Session& session, Arguments arguments) {
  const std::string protocol = arguments.given("PROTOCOL") ? arguments.text("PROTOCOL") : "nvmf";
  if (protocol != "nvmf" && protocol != "none") {
    co_return Session::usage_error("'" + protocol + "' is no protocol. Give nvmf");
  }
  v1::ShareReplicaRequest request;
  CO_TRY_SET(*request.mutable_uuid(), co_await find_uuid(session, arguments.text("REPLICA")));
  request.set_share(protocol == "nvmf" ? v1::NVMF : v1::NONE);
  for (const std::string& host : arguments.list("allowed-host")) request.add_allowed_hosts(host);
  CO_TRY_SET(const v1::Replica replica,
             co_await session.call<v1::Replica>("mayastor.v1.ReplicaRpc/ShareReplica", request));
  co_return print_replica(session.out(), replica);
}

Done replica_unshare(Session& session, Arguments arguments) {
  v1::UnshareReplicaRequest request;
  CO_TRY_SET(*request.mutable_uuid(), co_await find_uuid(session, arguments.text("REPLICA")));
  CO_TRY_SET(const v1::Replica replica,
             co_await session.call<v1::Replica>("mayastor.v1.ReplicaRpc/UnshareReplica", request));
  co_return print_replica(session.out(), replica);
}

Done replica_set_entity_id(Session& session, Arguments arguments) {
  v1::SetReplicaEntityIdRequest request;
  CO_TRY_SET(*request.mutable_uuid(), co_await find_uuid(session, arguments.text("REPLICA")));
  request.set_entity_id(arguments.text("ID"));
  CO_TRY_SET(const v1::Replica replica, co_await session.call<v1::Replica>(
                                            "mayastor.v1.ReplicaRpc/SetReplicaEntityId", request));
  if (session.out().json()) co_return session.out().message(replica);
  session.done("replica: " + replica.uuid() + " belongs to " + replica.entity_id());
  co_return Result<void>();
}

}  // namespace capstan::apps
