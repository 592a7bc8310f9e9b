// Why this file exists: LevelDB as an engine of kv_bench: no compression, no sync, a cache of 1 GiB
// and a Bloom filter of 10 bits per key.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <cstdio>
#include <cstdlib>

#include "bench/kv_engines.h"

namespace capstan::bench {
namespace {

void must(const leveldb::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "leveldb: %s\n", status.ToString().c_str());
  std::exit(1);
}

class LevelDb final : public Engine {
 public:
  const char* name() const override { return "leveldb"; }
  void open(const std::string& path) override {
    leveldb::Options options;
    options.create_if_missing = true;
    options.compression = leveldb::kNoCompression;
    options.block_cache = cache_.get();
    options.filter_policy = filter_.get();
    leveldb::DB* opened = nullptr;
    must(leveldb::DB::Open(options, path, &opened));
    store_.reset(opened);
  }
  void close() override { store_.reset(); }
  void write(const Keys& keys, const std::string& value) override {
    for (const auto& key : keys) must(store_->Put({}, key, value));
  }
  void batch_write(const Keys& keys, const std::string& value, std::size_t batch) override {
    for (std::size_t i = 0; i < keys.size(); i += batch) {
      leveldb::WriteBatch changes;
      for (std::size_t j = i; j < std::min(keys.size(), i + batch); ++j) {
        changes.Put(keys[j], value);
      }
      must(store_->Write({}, &changes));
    }
  }
  std::size_t read(const Keys& keys) override {
    std::size_t bytes = 0;
    std::string value;
    for (const auto& key : keys) {
      must(store_->Get({}, key, &value));
      bytes += value.size();
    }
    return bytes;
  }

 private:
  std::unique_ptr<leveldb::Cache> cache_{leveldb::NewLRUCache(1ULL << 30U)};
  std::unique_ptr<const leveldb::FilterPolicy> filter_{leveldb::NewBloomFilterPolicy(10)};
  std::unique_ptr<leveldb::DB> store_;
};

}  // namespace

std::unique_ptr<Engine> leveldb_engine() {
  return std::make_unique<LevelDb>();
}

}  // namespace capstan::bench
