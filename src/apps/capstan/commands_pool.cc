// Why this file exists: the `capstan pool` commands over mayastor.v1.PoolRpc: arguments become
// messages, answers become tables. What they mean is decided by the node.
#include <charconv>

#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "apps/capstan/shown.h"
#include "pool.pb.h"

namespace capstan::apps {
namespace {

namespace v1 = ::mayastor::v1;

v1::PoolType type_of(const Arguments& arguments) {
  return arguments.text("type") == "lvm" ? v1::Lvm : v1::Lvs;
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
  return all;
}

Result<void> print_pool(Printer& out, const v1::Pool& pool) {
  if (out.json()) return out.message(pool);
  out.line(pool.name());
  return {};
}

Result<void> read_format_flags(const Arguments& arguments, v1::CreatePoolRequest& request) {
  if (arguments.given("cluster-size")) {
    TRY_SET(const std::uint64_t bytes, arguments.size("cluster-size"));
    if (bytes > UINT32_MAX) {
      return fail(Code::kInvalidArgument, "--cluster-size: '" + arguments.text("cluster-size") +
                                              "' is too large. Give at most 1GiB");
    }
    request.set_cluster_size(static_cast<std::uint32_t>(bytes));
  }
  if (arguments.given("md-resv-ratio")) {
    const std::string text = arguments.text("md-resv-ratio");
    float ratio = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), ratio);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
      return fail(Code::kInvalidArgument,
                  "--md-resv-ratio: '" + text + "' is no number. Write it as in 1.0");
    }
    request.mutable_md_args()->set_md_resv_ratio(ratio);
  }
  return {};
}

}  // namespace

Done pool_create(Session& session, Arguments arguments) {
  v1::CreatePoolRequest request;
  request.set_name(arguments.text("POOL"));
  for (const std::string& disk : arguments.list("DISK")) request.add_disks(disk);
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  request.set_pooltype(type_of(arguments));
  CO_TRY(Session::usage(read_format_flags(arguments, request)));
  client::MetadataList metadata;
  if (arguments.on("force")) metadata.emplace_back("capstan-force", "true");
  CO_TRY_SET(const v1::Pool pool, co_await session.call<v1::Pool>("mayastor.v1.PoolRpc/CreatePool",
                                                                  request, std::move(metadata)));
  co_return print_pool(session.out(), pool);
}

Done pool_import(Session& session, Arguments arguments) {
  v1::ImportPoolRequest request;
  request.set_name(arguments.text("POOL"));
  for (const std::string& disk : arguments.list("DISK")) request.add_disks(disk);
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  request.set_pooltype(type_of(arguments));
  CO_TRY_SET(const v1::Pool pool,
             co_await session.call<v1::Pool>("mayastor.v1.PoolRpc/ImportPool", request));
  co_return print_pool(session.out(), pool);
}

Done pool_export(Session& session, Arguments arguments) {
  v1::ExportPoolRequest request;
  request.set_name(arguments.text("POOL"));
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  CO_TRY(co_await session.order("mayastor.v1.PoolRpc/ExportPool", request));
  session.done("pool: " + request.name() + " is exported");
  co_return Result<void>();
}

Done pool_destroy(Session& session, Arguments arguments) {
  v1::DestroyPoolRequest request;
  request.set_name(arguments.text("POOL"));
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  CO_TRY(co_await session.order("mayastor.v1.PoolRpc/DestroyPool", request));
  session.done("pool: " + request.name() + " is deleted");
  co_return Result<void>();
}

Done pool_list(Session& session, Arguments arguments) {
  v1::ListPoolOptions request;
  if (arguments.given("POOL")) request.mutable_name()->set_value(arguments.text("POOL"));
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  if (arguments.given("type")) request.mutable_pooltype()->set_value(type_of(arguments));
  CO_TRY_SET(const v1::ListPoolsResponse answer, co_await session.call<v1::ListPoolsResponse>(
                                                     "mayastor.v1.PoolRpc/ListPools", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"NAME", "UUID", "STATE", ">CAPACITY", ">USED", ">USED%", ">COMMITTED",
               ">CLUSTER_SIZE", ">MD_USED%", "DISKS"});
  for (const v1::Pool& pool : answer.pools()) {
    table.add(
        {pool.name(), pool.uuid(), std::string(state_word(pool.state())), out.size(pool.capacity()),
         out.size(pool.used()), percent(pool.used(), pool.capacity()), out.size(pool.committed()),
         out.size(pool.cluster_size()),
         percent(pool.md_info().md_used_pages(), pool.md_info().md_pages()), joined(pool.disks())});
  }
  out.table(table, "pools");
  co_return Result<void>();
}

Done pool_grow(Session& session, Arguments arguments) {
  v1::GrowPoolRequest request;
  request.set_name(arguments.text("POOL"));
  if (arguments.given("uuid")) request.mutable_uuid()->set_value(arguments.text("uuid"));
  CO_TRY_SET(const v1::GrowPoolResponse answer,
             co_await session.call<v1::GrowPoolResponse>("mayastor.v1.PoolRpc/GrowPool", request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  const auto before = answer.previous_pool().capacity(), now = answer.current_pool().capacity();
  out.line("pool: " + request.name() +
           (before == now ? " already uses all of its disk, " + out.size(now)
                          : " grew from " + out.size(before) + " to " + out.size(now)));
  co_return Result<void>();
}

}  // namespace capstan::apps
