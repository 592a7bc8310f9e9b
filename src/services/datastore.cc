// Why this file exists: see datastore.h. The stores and the short operations; those that take or
// give streams are in datastore_streams.cc.
#include "services/datastore.h"

#include <algorithm>
#include <functional>

#include "base/limits.h"
#include "rpc/condition.h"

namespace capstan::services {

namespace d1 = datastore::v1;
using storage::kv::Change;
using storage::kv::Value;

namespace {

std::unexpected<Error> too_large(std::uint64_t bytes, std::string_view remedy) {
  return fail(Code::kResourceExhausted,
              "values of " + std::to_string(bytes) +
                  " bytes do not fit into one answer, which has at most " +
                  std::to_string(kKvAnswerBytes) + "; " + std::string(remedy));
}

}  // namespace

Result<d1::WriteResponse> DataStoreService::answer(const Used& store, Result<std::uint64_t> tail) {
  TRY(store.named(tail));
  d1::WriteResponse out;
  out.set_tail_offset(*tail);
  return out;
}

static Result<std::string> text_of(const Value& value) {
  std::string text(as_text(value.bytes()));
  TRY(value.intact());
  return text;
}

DataStoreService::~DataStoreService() {
  CAPSTAN_ASSERT(stores_.empty());  // stop() first
}

core::Task<Result<void>> DataStoreService::start(std::vector<StoreConfig> stores) {
  for (auto& config : stores) {
    auto opened = std::make_unique<Opened>();
    opened->name = config.name;
    config.options.refuse_foreign = true;  // a mistyped path must not empty somebody's file
    auto store = co_await Store::open(engine_.env(), config.path, config.options);
    if (!store) {
      co_return std::unexpected(std::move(store).error().within("store '" + config.name + "'"));
    }
    opened->store = *std::move(store);
    const auto stats = opened->store->stats();
    engine_.log().info("store_opened", {{"store", config.name},
                                        {"path", config.path},
                                        {"keys", stats.keys},
                                        {"bytes", stats.file_bytes},
                                        {"torn_bytes", stats.torn_bytes},
                                        {"repaired_values", stats.repaired_values}});
    if (stats.torn_bytes != 0 || stats.repaired_values != 0 || stats.read_only) {
      engine_.log().warn("store_recovered",
                         {{"store", config.name},
                          {"torn_bytes", stats.torn_bytes},
                          {"torn_copy", stats.torn_copy.empty() ? "none" : stats.torn_copy},
                          {"repaired_values", stats.repaired_values},
                          {"read_only", stats.read_only ? "older format" : "no"}});
    }
    opened->store->observe(
        [this, to = opened.get()](std::span<const storage::kv::Changed> changes) {
          tell(*to, changes);
        });
    publish(*opened);
    engine_.events().publish("store", "start", config.name, {{"path", config.path}});
    stores_.push_back(std::move(opened));
  }
  co_return Result<void>();
}

core::Task<void> DataStoreService::stop() {
  stopping_.fire(Code::kUnavailable);
  for (auto& opened : stores_) {
    opened->metrics.clear();
    {
      const auto alone = co_await opened->in_use.lock();
      if (auto closed = co_await opened->store->close(); !closed) {
        engine_.log().error("store_not_closed",
                            {{"store", opened->name}, {"error", closed.error().text()}});
      }
    }
    engine_.events().publish("store", "stop", opened->name);
  }
  stores_.clear();
}

void DataStoreService::publish(Opened& opened) {
  using Kind = core::Metrics::Kind;
  using Stats = storage::kv::StoreStats;
  const std::tuple<Kind, const char*, const char*, std::uint64_t Stats::*> rows[] = {
      {Kind::kGauge, "store_keys", "Keys of the store", &Stats::keys},
      {Kind::kGauge, "store_file_bytes", "Length of the store's file", &Stats::file_bytes},
      {Kind::kGauge, "store_live_bytes", "Bytes of newest values", &Stats::live_bytes},
      {Kind::kCounter, "store_reads_total", "Lookups", &Stats::reads},
      {Kind::kCounter, "store_writes_total", "Values written", &Stats::writes},
      {Kind::kCounter, "store_deletes_total", "Keys deleted", &Stats::deletes},
      {Kind::kCounter, "store_written_bytes_total", "Bytes appended", &Stats::bytes_written},
      {Kind::kCounter, "store_appends_total", "Groups of writes", &Stats::groups},
      {Kind::kCounter, "store_syncs_total", "Syncs of the file", &Stats::syncs},
      {Kind::kCounter, "store_compactions_total", "Compactions", &Stats::compactions},
  };
  for (const auto& [kind, name, help, field] : rows) {
    opened.metrics.push_back(metrics_.add(kind, name, help, {{"store", opened.name}},
                                          [store = opened.store.get(), field] {
                                            return static_cast<double>(store->stats().*field);
                                          }));
  }
}

core::Task<Result<DataStoreService::Used>> DataStoreService::find(std::string name) {
  if (stopping_.fired()) co_return fail(Code::kUnavailable, "the node is stopping");
  for (auto& opened : stores_) {
    if (!name.empty() && opened->name != name) continue;
    Used used{opened.get(), co_await opened->in_use.lock_shared()};
    if (stopping_.fired()) co_return fail(Code::kUnavailable, "the node is stopping");
    co_return used;
  }
  if (name.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   "this node has no store; start it with --kv NAME=PATH");
  }
  co_return fail(Code::kNotFound,
                 "store '" + name + "' not found; ListStores names those there are");
}

core::Task<Result<core::SharedMutex::Guard>> DataStoreService::begin_change(
    const rpc::Call& call, const Used& store, const std::string& key) {
  core::SharedMutex& changing = store.opened->changing;
  if (!rpc::is_conditional(call)) co_return co_await changing.lock_shared();
  auto guard = co_await changing.lock();
  CO_TRY_SET(const auto now, read_value(store, key));
  CO_TRY(rpc::check_condition(call, now.has_value() ? &now : nullptr, "value"));
  co_return guard;
}

core::Task<Result<d1::WriteResponse>> DataStoreService::write(rpc::Call& call,
                                                              const d1::WriteRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  CO_TRY_SET(const auto guard, co_await begin_change(call, store, request.key()));
  co_return answer(store,
                   co_await store->write(as_bytes(request.key()), as_bytes(request.value())));
}

core::Task<Result<d1::WriteResponse>> DataStoreService::batch_write(
    rpc::Call&, const d1::BatchWriteRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  if (static_cast<std::size_t>(request.entries_size()) > limits::kKvBatchEntries) {
    co_return fail(Code::kResourceExhausted,
                   "a batch of " + std::to_string(request.entries_size()) +
                       " values; write at most " + std::to_string(limits::kKvBatchEntries));
  }
  std::vector<Change> changes;
  changes.reserve(static_cast<std::size_t>(request.entries_size()));
  for (const auto& entry : request.entries()) {
    changes.push_back(Change::put(as_bytes(entry.key()), as_bytes(entry.value())));
  }
  const auto guard = co_await store.opened->changing.lock_shared();
  co_return answer(store, co_await store->apply(changes));
}

Result<d1::ReadResponse> DataStoreService::read_value(const Used& store, const std::string& key) {
  TRY_SET(const auto value, store.named(store->read(as_bytes(key))));
  if (value && value->size() > kKvAnswerBytes) {
    return store.named(
        Result<d1::ReadResponse>(too_large(value->size(), "read it with ReadStream")));
  }
  d1::ReadResponse out;
  if (value) {
    TRY_SET(*out.mutable_value(), store.named(text_of(*value)));
  }
  return out;
}

core::Task<Result<d1::ReadResponse>> DataStoreService::read(rpc::Call&,
                                                            const d1::ReadRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  co_return read_value(store, request.key());
}

core::Task<Result<d1::BatchReadResponse>> DataStoreService::batch_read(
    rpc::Call&, const d1::BatchReadRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  if (static_cast<std::size_t>(request.keys_size()) > limits::kKvBatchEntries) {
    co_return fail(Code::kResourceExhausted, "a batch of " + std::to_string(request.keys_size()) +
                                                 " keys; read at most " +
                                                 std::to_string(limits::kKvBatchEntries));
  }
  std::vector<ByteView> keys;
  keys.reserve(static_cast<std::size_t>(request.keys_size()));
  for (const auto& key : request.keys()) keys.push_back(as_bytes(key));
  CO_TRY_SET(const auto values, store.named(store->batch_read(keys)));
  std::uint64_t bytes = 0;
  for (const auto& value : values) bytes += value ? value->size() : 0;
  if (bytes > kKvAnswerBytes) {
    co_return store.named(Result<d1::BatchReadResponse>(too_large(bytes, "read fewer at once")));
  }
  d1::BatchReadResponse out;
  for (const auto& value : values) {
    auto* item = out.add_values();
    if (!value) continue;
    CO_TRY_SET(*item->mutable_value(), store.named(text_of(*value)));
  }
  co_return out;
}

core::Task<Result<d1::WriteResponse>> DataStoreService::erase(rpc::Call& call,
                                                              const d1::DeleteRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  CO_TRY_SET(const auto guard, co_await begin_change(call, store, request.key()));
  co_return answer(store, co_await store->erase(as_bytes(request.key())));
}

core::Task<Result<d1::ExistsResponse>> DataStoreService::exists(rpc::Call&,
                                                                const d1::ExistsRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  d1::ExistsResponse out;
  out.set_exists(store->exists(as_bytes(request.key())));
  co_return out;
}

core::Task<Result<d1::LenResponse>> DataStoreService::len(rpc::Call&,
                                                          const d1::LenRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  d1::LenResponse out;
  out.set_entries(store->len());
  co_return out;
}

core::Task<Result<d1::IsEmptyResponse>> DataStoreService::is_empty(
    rpc::Call&, const d1::IsEmptyRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  d1::IsEmptyResponse out;
  out.set_is_empty(store->is_empty());
  co_return out;
}

core::Task<Result<d1::FileSizeResponse>> DataStoreService::file_size(
    rpc::Call&, const d1::FileSizeRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  d1::FileSizeResponse out;
  out.set_file_size_bytes(store->file_size());
  co_return out;
}

core::Task<Result<d1::WriteResponse>> DataStoreService::rename(rpc::Call&,
                                                               const d1::RenameRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  const auto guard = co_await store.opened->changing.lock_shared();
  co_return answer(store,
                   co_await store->rename(as_bytes(request.key()), as_bytes(request.new_key())));
}

core::Task<Result<d1::WriteResponse>> DataStoreService::copy(rpc::Call&,
                                                             const d1::CopyRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  CO_TRY_SET(const auto target, co_await find(request.target()));
  const auto guard = co_await target.opened->changing.lock_shared();
  co_return answer(store, co_await store->copy(as_bytes(request.key()), *target));
}

core::Task<Result<d1::WriteResponse>> DataStoreService::transfer(rpc::Call&,
                                                                 const d1::CopyRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  CO_TRY_SET(const auto target, co_await find(request.target()));
  // In one order for all, or two transfers could wait for each other; once when it is one store.
  core::SharedMutex* first = &store.opened->changing;
  core::SharedMutex* second = &target.opened->changing;
  if (std::less<>()(second, first)) std::swap(first, second);
  const auto guard = co_await first->lock_shared();
  core::SharedMutex::Guard other;
  if (second != first) other = co_await second->lock_shared();
  co_return answer(store, co_await store->transfer(as_bytes(request.key()), *target));
}

std::unexpected<Error> DataStoreService::no_key(const std::string& key) {
  return fail(Code::kNotFound, "Key '" + key.substr(0, kKvShownKeyBytes) + "' not found");
}

core::Task<Result<d1::Metadata>> DataStoreService::get_metadata(
    rpc::Call&, const d1::GetMetadataRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  const auto value = store->find(as_bytes(request.key()));
  if (!value) co_return store.named(Result<d1::Metadata>(no_key(request.key())));
  const auto metadata = value->metadata();
  d1::Metadata out;
  out.set_key_hash(metadata.key_hash);
  out.set_prev_offset(metadata.prev_offset);
  out.set_checksum(metadata.checksum);
  out.set_checksum_right(value->checksum_right());
  CO_TRY(store.named(value->intact()));
  out.set_size_bytes(value->size());
  out.set_begin_offset(value->begin_offset());
  out.set_end_offset(value->end_offset());
  co_return out;
}

d1::Stats DataStoreService::stats_of(const Opened& opened) {
  const auto stats = opened.store->stats();
  d1::Stats out;
  out.set_name(opened.name);
  out.set_path(opened.store->path());
  out.set_keys(stats.keys);
  out.set_file_size_bytes(stats.file_bytes);
  out.set_live_bytes(stats.live_bytes);
  out.set_compaction_savings(stats.compaction_savings());
  out.set_reads(stats.reads);
  out.set_writes(stats.writes);
  out.set_deletes(stats.deletes);
  out.set_bytes_written(stats.bytes_written);
  out.set_groups(stats.groups);
  out.set_syncs(stats.syncs);
  out.set_compactions(stats.compactions);
  out.set_collisions(stats.collisions);
  out.set_torn_bytes(stats.torn_bytes);
  out.set_repaired_values(stats.repaired_values);
  out.set_alignment(static_cast<std::uint32_t>(stats.alignment));
  out.set_read_only(stats.read_only);
  out.set_fault(stats.fault);
  return out;
}

core::Task<Result<d1::Stats>> DataStoreService::get_stats(rpc::Call&,
                                                          const d1::GetStatsRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  co_return stats_of(*store.opened);
}

core::Task<Result<d1::ListStoresResponse>> DataStoreService::list_stores(
    rpc::Call&, const d1::ListStoresRequest&) {
  d1::ListStoresResponse out;
  if (stopping_.fired()) co_return out;
  for (const auto& opened : stores_) *out.add_stores() = stats_of(*opened);
  co_return out;
}

core::Task<Result<d1::SyncResponse>> DataStoreService::sync(rpc::Call&,
                                                            const d1::SyncRequest& request) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  CO_TRY(store.named(co_await store->sync()));
  co_return d1::SyncResponse();
}

Result<void> bind_datastore(rpc::Directory& directory, DataStoreService& service) {
  using S = DataStoreService;
  TRY(directory.declare(d1::WriteRequest::descriptor()->file()->FindServiceByName("DataStoreRpc")));
  const auto unary = [&](const char* name, auto handler) {
    return rpc::bind_unary(directory, std::string("capstan.datastore.v1.DataStoreRpc/") + name,
                           service, handler);
  };
  const auto stream = [&](const char* name, auto handler) {
    return rpc::bind_server_stream(
        directory, std::string("capstan.datastore.v1.DataStoreRpc/") + name, service, handler);
  };
  TRY(unary("Write", &S::write));
  TRY(unary("BatchWrite", &S::batch_write));
  TRY(unary("Read", &S::read));
  TRY(unary("BatchRead", &S::batch_read));
  TRY(unary("Delete", &S::erase));
  TRY(unary("Exists", &S::exists));
  TRY(unary("Len", &S::len));
  TRY(unary("IsEmpty", &S::is_empty));
  TRY(unary("FileSize", &S::file_size));
  TRY(unary("Rename", &S::rename));
  TRY(unary("Copy", &S::copy));
  TRY(unary("Transfer", &S::transfer));
  TRY(unary("GetMetadata", &S::get_metadata));
  TRY(unary("GetStats", &S::get_stats));
  TRY(unary("ListStores", &S::list_stores));
  TRY(unary("Sync", &S::sync));
  TRY(stream("ListKeys", &S::list_keys));
  TRY(stream("Watch", &S::watch));
  TRY(stream("Compact", &S::compact));
  TRY(stream("ReadStream", &S::read_stream));
  return rpc::bind_client_stream(directory, "capstan.datastore.v1.DataStoreRpc/WriteStream",
                                 service, &S::write_stream);
}

}  // namespace capstan::services
