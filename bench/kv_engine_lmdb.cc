// Why this file exists: LMDB as an engine of kv_bench: NOSYNC and WRITEMAP, its fastest settings;
// all reads in one transaction.
#include <lmdb.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "bench/kv_engines.h"

namespace capstan::bench {
namespace {

void must(int code) {
  if (code == 0) return;
  std::fprintf(stderr, "lmdb: %s\n", mdb_strerror(code));
  std::exit(1);
}

MDB_val as_val(const std::string& text) {
  return {text.size(), const_cast<char*>(text.data())};
}

class Lmdb final : public Engine {
 public:
  const char* name() const override { return "lmdb"; }
  void open(const std::string& path) override {
    std::filesystem::create_directories(path);
    must(mdb_env_create(&env_));
    must(mdb_env_set_mapsize(env_, 64ULL << 30U));
    must(mdb_env_open(env_, path.c_str(), MDB_NOSYNC | MDB_WRITEMAP | MDB_NORDAHEAD, 0600));
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, 0, &txn));
    must(mdb_dbi_open(txn, nullptr, MDB_CREATE, &table_));
    must(mdb_txn_commit(txn));
  }
  void close() override { mdb_env_close(env_); }
  void write(const Keys& keys, const std::string& value) override { batch_write(keys, value, 1); }
  void batch_write(const Keys& keys, const std::string& value, std::size_t batch) override {
    for (std::size_t i = 0; i < keys.size(); i += batch) {
      MDB_txn* txn = nullptr;
      must(mdb_txn_begin(env_, nullptr, 0, &txn));
      for (std::size_t j = i; j < std::min(keys.size(), i + batch); ++j) {
        MDB_val key = as_val(keys[j]), data = as_val(value);
        must(mdb_put(txn, table_, &key, &data, 0));
      }
      must(mdb_txn_commit(txn));
    }
  }
  std::size_t read(const Keys& keys) override {
    MDB_txn* txn = nullptr;
    must(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
    std::size_t bytes = 0;
    for (const auto& wanted : keys) {
      MDB_val key = as_val(wanted), data{};
      must(mdb_get(txn, table_, &key, &data));
      bytes += data.mv_size;
    }
    mdb_txn_abort(txn);
    return bytes;
  }

 private:
  MDB_env* env_ = nullptr;
  MDB_dbi table_ = 0;
};

}  // namespace

std::unique_ptr<Engine> lmdb_engine() {
  return std::make_unique<Lmdb>();
}

}  // namespace capstan::bench
