// Why this file exists: the operations of datastore.h that send or receive more than one message.
// A slow client holds no store: what it reads is pinned by a value or a cursor.
#include <algorithm>
#include <map>

#include "base/limits.h"
#include "core/scope.h"
#include "rpc/wishes.h"
#include "services/datastore.h"
#include "storage/kv/value_stream.h"

namespace capstan::services {

namespace d1 = datastore::v1;

namespace {

// Keys on their way to the client, so many in a message.
class KeySender {
 public:
  KeySender(rpc::Call& call, rpc::Sink<d1::ListKeysResponse> sink, bool values)
      : call_(call), sink_(std::move(sink)), values_(values) {}

  core::Task<Result<void>> add(storage::kv::Value value) {
    if (values_ && value.size() > kKvAnswerBytes) {
      co_return fail(Code::kResourceExhausted,
                     "a value of " + std::to_string(value.size()) +
                         " bytes does not fit into one answer; list the keys without values and "
                         "read it with ReadStream");
    }
    auto* key = message_.add_keys();
    key->set_key_hash(value.key_hash());
    key->set_size_bytes(value.size());
    key->set_begin_offset(value.begin_offset());
    if (values_) {
      key->set_value(value.bytes().data(), value.size());
      bytes_ += value.size();
    }
    CO_TRY(value.intact());
    const bool full = static_cast<std::size_t>(message_.keys_size()) >= limits::kKvListEntries ||
                      bytes_ >= limits::kKvStreamPieceBytes;
    if (full) co_return co_await flush();
    co_return Result<void>();
  }
  core::Task<Result<void>> flush() {
    if (message_.keys_size() == 0) co_return Result<void>();
    CO_TRY(call_.token.check());
    CO_TRY(co_await sink_.send(message_));
    co_await core::yield();
    message_.Clear();
    bytes_ = 0;
    co_return Result<void>();
  }

 private:
  rpc::Call& call_;
  rpc::Sink<d1::ListKeysResponse> sink_;
  bool values_;
  d1::ListKeysResponse message_;
  std::size_t bytes_ = 0;
};

using ByHash = std::map<std::uint64_t, storage::kv::Value>;

// The `most` smallest hashes above `after`, in one walk over all of them.
core::Task<Result<ByHash>> next_page(storage::kv::Cursor cursor, std::optional<std::uint64_t> after,
                                     std::size_t most, core::CancelToken token) {
  ByHash page;
  std::size_t walked = 0;
  while (auto value = cursor.next()) {
    const std::uint64_t hash = value->key_hash();
    if (++walked % limits::kKvListEntries == 0) {
      CO_TRY(token.check());
      co_await core::yield();
    }
    if (after && hash <= *after) continue;
    if (page.size() == most && hash > page.rbegin()->first) continue;
    page.emplace(hash, *std::move(value));
    if (page.size() > most) page.erase(std::prev(page.end()));
  }
  CO_TRY(cursor.intact());
  co_return page;
}

}  // namespace

core::Task<Result<void>> DataStoreService::list_keys(rpc::Call& call,
                                                     const d1::ListKeysRequest& request,
                                                     rpc::Sink<d1::ListKeysResponse> sink) {
  if (!request.prefix().empty()) {
    co_return fail_field("prefix",
                         "a store keeps hashes of keys, not keys, so it cannot tell which begin "
                         "with the prefix; leave it out, and go through all with after and limit");
  }
  CO_TRY_SET(auto store, co_await find(request.store()));
  const auto all = store->iterate();
  store.guard.release();  // the cursor needs no store, and the client may be slow
  KeySender sender(call, std::move(sink), request.values());
  if (!request.has_after() && request.limit() == 0) {
    auto cursor = all;
    while (auto value = cursor.next()) CO_TRY(co_await sender.add(*std::move(value)));
    CO_TRY(cursor.intact());
    co_return co_await sender.flush();
  }
  std::optional<std::uint64_t> after;
  if (request.has_after()) after = request.after();
  std::uint64_t wanted = request.limit() == 0 ? UINT64_MAX : request.limit();
  while (wanted != 0) {
    const std::size_t most = std::min<std::uint64_t>(wanted, kKvPageEntries);
    CO_TRY_SET(const ByHash page, co_await next_page(all, after, most, call.token));
    for (const auto& [hash, value] : page) CO_TRY(co_await sender.add(value));
    if (page.size() < most) break;
    after = page.rbegin()->first;
    wanted -= page.size();
  }
  co_return co_await sender.flush();
}

void DataStoreService::tell(Opened& opened, std::span<const storage::kv::Changed> changes) {
  const std::uint64_t before = opened.seq;
  opened.seq += changes.size();
  for (Watcher* watcher : opened.watchers) {
    std::uint64_t seq = before;
    for (const auto& change : changes) {
      ++seq;
      // Who wrote by the hash alone named no key: nobody knows what it begins with.
      if (!change.key.empty() && !as_text(change.key).starts_with(watcher->prefix)) continue;
      // A longer key is not told: the hash says which it is.
      const std::size_t key = change.key.size() <= kKvToldKeyBytes ? change.key.size() : 0;
      const bool room =
          watcher->queue.size() < limits::kKvWatchQueue && watcher->bytes + key <= kKvWatchBytes;
      if (!room || (watcher->missed != 0 && watcher->abort_when_slow)) {
        ++watcher->missed;
        continue;
      }
      watcher->bytes += key;
      auto& message = watcher->queue.emplace_back();
      message.set_key_hash(change.key_hash);
      message.set_key(change.key.data(), key);
      message.set_removed(change.removed);
      message.set_size_bytes(change.size);
      message.set_tail_offset(change.tail);
      message.set_missed(std::exchange(watcher->missed, 0));
      message.set_seq(seq);
      message.set_op(change.removed ? "delete" : "write");
    }
    watcher->changed.notify_all();
  }
}

core::Task<Result<void>> DataStoreService::watch(rpc::Call& call, const d1::WatchRequest& request,
                                                 rpc::Sink<d1::Change> sink) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  Opened& opened = *store.opened;
  if (opened.watchers.size() >= limits::kKvWatchers) {
    co_return fail(Code::kResourceExhausted, "store '" + opened.name + "' has " +
                                                 std::to_string(limits::kKvWatchers) +
                                                 " watchers already; end one of them");
  }
  Watcher watcher;
  watcher.prefix = request.prefix();
  watcher.abort_when_slow = rpc::wishes(call, rpc::kWishOverflow, "abort");
  struct Entered {
    Opened& opened;
    Watcher* watcher;
    Entered(Opened& to, Watcher* who) : opened(to), watcher(who) { opened.watchers.insert(who); }
    ~Entered() { opened.watchers.erase(watcher); }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
  } const entered(opened, &watcher);
  const auto wake = [&watcher] { watcher.changed.notify_all(); };
  const core::CancelCallback left(call.token, wake);
  const core::CancelCallback stopped(stopping_.token(), wake);
  while (true) {
    CO_TRY(call.token.check());
    if (stopping_.fired()) co_return fail(Code::kUnavailable, "the node is stopping");
    d1::Change change;
    if (!watcher.queue.empty()) {
      change = std::move(watcher.queue.front());
      watcher.queue.pop_front();
      watcher.bytes -= change.key().size();
    } else if (watcher.missed != 0 && watcher.abort_when_slow) {
      co_return fail(Code::kResourceExhausted, "the client is too slow: changes of store '" +
                                                   opened.name +
                                                   "' were lost; read faster, or watch less");
    } else if (watcher.missed != 0) {  // the last ones; there may be no next to tell it with
      change.set_missed(std::exchange(watcher.missed, 0));
    } else {
      co_await watcher.changed.wait();
      continue;
    }
    CO_TRY(co_await sink.send(change));
  }
}

namespace {

// What a running compaction tells the coroutine that reports it.
struct Report {
  std::uint64_t done = 0, total = 0;
  bool fresh = false;
  std::optional<Result<storage::kv::Store::Compacted>> result;
  core::Event changed;
};

core::Task<void> compact_store(storage::kv::Store* store, Report* report, core::CancelToken token) {
  report->result = co_await store->compact(
      [report](std::uint64_t done, std::uint64_t total) {
        report->done = done;
        report->total = total;
        report->fresh = true;
        report->changed.notify_all();
      },
      std::move(token));
  report->changed.notify_all();
}

core::Task<Result<void>> send_progress(Report& report, rpc::Sink<d1::CompactResponse> sink) {
  while (!report.result) {
    if (!report.fresh) {
      co_await report.changed.wait();
      continue;
    }
    report.fresh = false;
    d1::CompactResponse message;
    message.set_done_bytes(report.done);
    message.set_total_bytes(report.total);
    CO_TRY(co_await sink.send(message));
  }
  co_return Result<void>();
}

}  // namespace

core::Task<Result<void>> DataStoreService::compact(rpc::Call& call,
                                                   const d1::CompactRequest& request,
                                                   rpc::Sink<d1::CompactResponse> sink) {
  CO_TRY_SET(const auto store, co_await find(request.store()));
  Report report;
  core::Scope scope(call.token);
  const core::CancelCallback stopped(stopping_.token(), [&scope] { scope.cancel(); });
  scope.spawn(compact_store(&*store, &report, scope.token()));
  const auto sent = co_await send_progress(report, sink);
  if (!sent) scope.cancel();
  co_await scope.join();
  CO_TRY(sent);
  CO_TRY_SET(const auto done, store.named(*std::move(report.result)));
  engine_.events().publish("store", "compact", store.opened->name,
                           {{"bytes_before", std::to_string(done.bytes_before)},
                            {"bytes_after", std::to_string(done.bytes_after)}});
  d1::CompactResponse message;
  message.set_done_bytes(report.total);
  message.set_total_bytes(report.total);
  message.set_finished(true);
  message.set_bytes_before(done.bytes_before);
  message.set_bytes_after(done.bytes_after);
  message.set_values(done.values);
  co_return co_await sink.send(message);
}

core::Task<Result<void>> DataStoreService::read_stream(rpc::Call& call,
                                                       const d1::ReadStreamRequest& request,
                                                       rpc::Sink<d1::ReadStreamResponse> sink) {
  CO_TRY_SET(auto store, co_await find(request.store()));
  CO_TRY_SET(const auto value, store.named(store->read(as_bytes(request.key()))));
  if (!value) co_return store.named(Result<void>(no_key(request.key())));
  store.guard.release();  // the value needs no store, and the client may be slow
  if (request.offset() > value->size()) {
    co_return fail(Code::kOutOfRange, "offset " + std::to_string(request.offset()) +
                                          " is behind the end of the value, which has " +
                                          std::to_string(value->size()) + " bytes");
  }
  auto rest = value->bytes().subspan(request.offset());
  if (request.length() != 0 && request.length() < rest.size()) {
    rest = rest.first(request.length());
  }
  d1::ReadStreamResponse message;
  message.set_size_bytes(value->size());
  do {
    CO_TRY(call.token.check());
    const auto piece = rest.first(std::min(rest.size(), limits::kKvStreamPieceBytes));
    message.set_data(piece.data(), piece.size());
    CO_TRY(value->intact());
    CO_TRY(co_await sink.send(message));
    message.clear_size_bytes();
    rest = rest.subspan(piece.size());
  } while (!rest.empty());
  co_return Result<void>();
}

core::Task<Result<d1::WriteResponse>> DataStoreService::write_stream(
    rpc::Call&, rpc::Source<d1::WriteStreamRequest> source) {
  d1::WriteStreamRequest request;
  CO_TRY_SET(const bool any, co_await source.next(request));
  if (!any) co_return fail(Code::kInvalidArgument, "Payload cannot be empty.");
  CO_TRY_SET(const auto store, co_await find(request.store()));
  auto stream = store->stream(as_bytes(request.key()));
  while (true) {
    if (request.data().size() > limits::kKvStreamPieceBytes) {
      co_return fail(Code::kInvalidArgument, "a piece of " + std::to_string(request.data().size()) +
                                                 " bytes; send at most " +
                                                 std::to_string(limits::kKvStreamPieceBytes));
    }
    CO_TRY(store.named(co_await stream.append(as_bytes(request.data()))));
    CO_TRY_SET(const bool more, co_await source.next(request));
    if (!more) break;
  }
  const auto guard = co_await store.opened->changing.lock_shared();
  co_return answer(store, co_await stream.commit());
}

}  // namespace capstan::services
