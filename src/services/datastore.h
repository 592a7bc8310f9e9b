// Why this file exists: DataStoreRpc, the node's key/value stores for clients: which stores there
// are, and each operation of api/datastore as an adapter over storage/kv. The first store is the
// one that clients see who cannot name any.
//
// Reads answer from any core without waiting for writers. Changes are told to watchers from a queue
// per watcher; a slow one loses changes and is told how many, or its stream ends (rpc/wishes.h).
// Lifetimes: the engine outlives the service, the service the directory. Thread-safety: core 0.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "datastore/datastore.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "services/store_config.h"
#include "storage/kv/store.h"

namespace capstan::services {

inline constexpr std::uint64_t kKvAnswerBytes = 256U << 20;  // of values in one message
inline constexpr std::size_t kKvShownKeyBytes = 256;         // of a key in an error
inline constexpr std::size_t kKvToldKeyBytes = 64U << 10;    // of a key in a change, else none
inline constexpr std::size_t kKvPageEntries = 1U << 16;      // sorted by hash at once
inline constexpr std::size_t kKvWatchBytes = 4U << 20;       // of keys not taken, per watcher

class DataStoreService {
 public:
  DataStoreService(Engine& engine, core::Metrics& metrics) : engine_(engine), metrics_(metrics) {}
  ~DataStoreService();

  // Opens the stores in order. One that cannot be opened is an error that names it.
  core::Task<Result<void>> start(std::vector<StoreConfig> stores);
  // Ends watchers and closes every store cleanly. May follow a failed start.
  core::Task<void> stop();

  template <class Response>
  using Answer = core::Task<Result<Response>>;
  Answer<datastore::v1::WriteResponse> write(rpc::Call&, const datastore::v1::WriteRequest&);
  Answer<datastore::v1::WriteResponse> batch_write(rpc::Call&,
                                                   const datastore::v1::BatchWriteRequest&);
  Answer<datastore::v1::ReadResponse> read(rpc::Call&, const datastore::v1::ReadRequest&);
  Answer<datastore::v1::BatchReadResponse> batch_read(rpc::Call&,
                                                      const datastore::v1::BatchReadRequest&);
  Answer<datastore::v1::WriteResponse> erase(rpc::Call&, const datastore::v1::DeleteRequest&);
  Answer<datastore::v1::ExistsResponse> exists(rpc::Call&, const datastore::v1::ExistsRequest&);
  Answer<datastore::v1::LenResponse> len(rpc::Call&, const datastore::v1::LenRequest&);
  Answer<datastore::v1::IsEmptyResponse> is_empty(rpc::Call&, const datastore::v1::IsEmptyRequest&);
  Answer<datastore::v1::FileSizeResponse> file_size(rpc::Call&,
                                                    const datastore::v1::FileSizeRequest&);
  Answer<datastore::v1::WriteResponse> rename(rpc::Call&, const datastore::v1::RenameRequest&);
  Answer<datastore::v1::WriteResponse> copy(rpc::Call&, const datastore::v1::CopyRequest&);
  Answer<datastore::v1::WriteResponse> transfer(rpc::Call&, const datastore::v1::CopyRequest&);
  Answer<datastore::v1::Metadata> get_metadata(rpc::Call&,
                                               const datastore::v1::GetMetadataRequest&);
  Answer<void> list_keys(rpc::Call&, const datastore::v1::ListKeysRequest&,
                         rpc::Sink<datastore::v1::ListKeysResponse>);
  Answer<void> watch(rpc::Call&, const datastore::v1::WatchRequest&,
                     rpc::Sink<datastore::v1::Change>);
  Answer<void> compact(rpc::Call&, const datastore::v1::CompactRequest&,
                       rpc::Sink<datastore::v1::CompactResponse>);
  Answer<datastore::v1::Stats> get_stats(rpc::Call&, const datastore::v1::GetStatsRequest&);
  Answer<datastore::v1::ListStoresResponse> list_stores(rpc::Call&,
                                                        const datastore::v1::ListStoresRequest&);
  Answer<void> read_stream(rpc::Call&, const datastore::v1::ReadStreamRequest&,
                           rpc::Sink<datastore::v1::ReadStreamResponse>);
  Answer<datastore::v1::WriteResponse> write_stream(rpc::Call&,
                                                    rpc::Source<datastore::v1::WriteStreamRequest>);
  Answer<datastore::v1::SyncResponse> sync(rpc::Call&, const datastore::v1::SyncRequest&);

 private:
  using Store = storage::kv::Store;
  struct Watcher {
    std::string prefix;  // of the keys it wants to hear of
    bool abort_when_slow = false;
    std::deque<datastore::v1::Change> queue;
    std::size_t bytes = 0;  // of the keys in the queue
    std::uint64_t missed = 0;
    core::Event changed;
  };
  struct Opened {
    std::string name;
    std::unique_ptr<Store> store;
    std::set<Watcher*> watchers;
    std::uint64_t seq = 0;  // changes since it was opened
    std::vector<core::Metrics::Handle> metrics;
    core::SharedMutex in_use;    // held shared by calls, alone by stop()
    core::SharedMutex changing;  // held shared by changes, alone by those on a condition
  };
  // A store that stop() does not close while this is held.
  struct Used {
    Opened* opened = nullptr;
    core::SharedMutex::Guard guard;
    Store* operator->() const { return opened->store.get(); }
    Store& operator*() const { return *opened->store; }
    // Errors say which store they are about. Clients that know one store see the bare text.
    template <class T>
    Result<T> named(Result<T> result) const {
      if (result) return result;
      return std::unexpected(std::move(result).error().within("store '" + opened->name + "'"));
    }
  };
  static Result<datastore::v1::WriteResponse> answer(const Used& store, Result<std::uint64_t> tail);
  static std::unexpected<Error> no_key(const std::string& key);
  core::Task<Result<Used>> find(std::string name);
  // Held while a value of the store is written or deleted. The key is of the object that a
  // condition of the call is about; without one, changes run beside each other. The arguments
  // outlive the task.
  static core::Task<Result<core::SharedMutex::Guard>> begin_change(const rpc::Call& call,
                                                                   const Used& store,
                                                                   const std::string& key);
  // The value as Read answers it.
  static Result<datastore::v1::ReadResponse> read_value(const Used& store, const std::string& key);
  void tell(Opened& opened, std::span<const storage::kv::Changed> changes);
  void publish(Opened& opened);
  static datastore::v1::Stats stats_of(const Opened& opened);

  Engine& engine_;
  core::Metrics& metrics_;
  std::vector<std::unique_ptr<Opened>> stores_;
  core::CancelSource stopping_;
};

Result<void> bind_datastore(rpc::Directory& directory, DataStoreService& service);

}  // namespace capstan::services
