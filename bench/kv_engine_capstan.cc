// Why this file exists: our store as an engine of kv_bench, on one core of the real environment;
// reads are plain calls, writes are awaited one after the other.
#include <cstdio>
#include <cstdlib>

#include "bench/kv_engines.h"
#include "core/uring_env.h"
#include "storage/kv/store.h"

namespace capstan::bench {
namespace {

using storage::kv::Change;
using storage::kv::Store;

template <class T>
T must(Result<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>)
      return;
    else
      return *std::move(result);
  }
  std::fprintf(stderr, "capstan: %s\n", result.error().text().c_str());
  std::exit(1);
}

class CapstanEngine final : public Engine {
 public:
  CapstanEngine() : env_(must(core::UringEnv::create({}))) {}
  const char* name() const override { return "capstan"; }
  void open(const std::string& path) override { env_->run(open_store(path)); }
  void close() override { env_->run(close_store()); }
  void write(const Keys& keys, const std::string& value) override {
    env_->run(write_all(&keys, &value));
  }
  void batch_write(const Keys& keys, const std::string& value, std::size_t batch) override {
    env_->run(write_batches(&keys, &value, batch));
  }
  std::size_t read(const Keys& keys) override {
    std::size_t bytes = 0;
    for (const auto& key : keys) bytes += store_->find(as_bytes(key))->size();
    return bytes;
  }
  std::size_t batch_read(const Keys& keys) override {
    constexpr std::size_t kBatch = 1000;
    std::size_t bytes = 0;
    std::vector<ByteView> batch;
    for (std::size_t i = 0; i < keys.size(); i += kBatch) {
      batch.clear();
      for (std::size_t j = i; j < std::min(keys.size(), i + kBatch); ++j) {
        batch.push_back(as_bytes(keys[j]));
      }
      const auto values = must(store_->batch_read(batch));
      for (const auto& value : values) bytes += value->size();
    }
    return bytes;
  }

 private:
  core::Task<void> open_store(std::string path) {
    store_ = must(co_await Store::open(*env_, std::move(path)));
  }
  core::Task<void> close_store() {
    must(co_await store_->close());
    store_.reset();
  }
  core::Task<void> write_all(const Keys* keys, const std::string* value) {
    for (const auto& key : *keys) must(co_await store_->write(as_bytes(key), as_bytes(*value)));
  }
  core::Task<void> write_batches(const Keys* keys, const std::string* value, std::size_t batch) {
    std::vector<Change> changes;
    for (std::size_t i = 0; i < keys->size(); i += batch) {
      changes.clear();
      for (std::size_t j = i; j < std::min(keys->size(), i + batch); ++j) {
        changes.push_back(Change::put(as_bytes((*keys)[j]), as_bytes(*value)));
      }
      must(co_await store_->apply(changes));
    }
  }

  std::unique_ptr<core::UringEnv> env_;
  std::unique_ptr<Store> store_;
};

}  // namespace

std::unique_ptr<Engine> capstan_engine() {
  return std::make_unique<CapstanEngine>();
}

}  // namespace capstan::bench
