// Why this file exists: RocksDB as an engine of kv_bench: no compression, no sync, a cache of 1 GiB
// and a Bloom filter of 10 bits per key.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <cstdio>
#include <cstdlib>

#include "bench/kv_engines.h"

namespace capstan::bench {
namespace {

void must(const rocksdb::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "rocksdb: %s\n", status.ToString().c_str());
  std::exit(1);
}

class RocksDb final : public Engine {
 public:
  const char* name() const override { return "rocksdb"; }
  void open(const std::string& path) override {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(1ULL << 30U);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* opened = nullptr;
    must(rocksdb::DB::Open(options, path, &opened));
    store_.reset(opened);
  }
  void close() override { store_.reset(); }
  void write(const Keys& keys, const std::string& value) override {
    for (const auto& key : keys) must(store_->Put({}, key, value));
  }
  void batch_write(const Keys& keys, const std::string& value, std::size_t batch) override {
    for (std::size_t i = 0; i < keys.size(); i += batch) {
      rocksdb::WriteBatch changes;
      for (std::size_t j = i; j < std::min(keys.size(), i + batch); ++j) {
        changes.Put(keys[j], value);
      }
      must(store_->Write({}, &changes));
    }
  }
  std::size_t read(const Keys& keys) override {
    std::size_t bytes = 0;
    for (const auto& key : keys) {
      rocksdb::PinnableSlice value;
      must(store_->Get({}, store_->DefaultColumnFamily(), key, &value));
      bytes += value.size();
    }
    return bytes;
  }

 private:
  std::unique_ptr<rocksdb::DB> store_;
};

}  // namespace

std::unique_ptr<Engine> rocksdb_engine() {
  return std::make_unique<RocksDb>();
}

}  // namespace capstan::bench
