// Why this file exists: what the tests of stores share: coroutines as plain calls on a simulated
// machine, and the sample files of tests/vectors/kv.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "capstan_test_paths.h"
#include "core/sim_env.h"
#include "storage/kv/store.h"
#include "storage/kv/value_stream.h"

namespace capstan::storage::kv {

inline std::vector<std::uint8_t> vector_file(const std::string& name) {
  std::ifstream in(std::string(CAPSTAN_SOURCE_DIR) + "/tests/vectors/kv/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
core::Task<void> keep(core::Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}
template <class T>
T run_on(core::SimWorld& world, core::Task<T> task) {
  std::optional<T> result;
  world.run(keep(std::move(task), &result));
  return std::move(*result);
}

inline core::Task<Result<void>> put_file(core::Env* env, std::string path,
                                         std::vector<std::uint8_t> bytes) {
  core::OpenOptions options;
  options.write = options.create = options.truncate = true;
  CO_TRY_SET(auto file, co_await env->files().open(path, options));
  CO_TRY(co_await file->write(0, bytes));
  CO_TRY(co_await file->sync_data());
  co_return co_await env->files().sync_directory("/");
}

// One store on a simulated machine, with plain calls.
class StoreTest : public ::testing::Test {
 protected:
  static StoreOptions small_map() {
    StoreOptions options;
    options.map_bytes = 1U << 20;
    return options;
  }
  template <class T>
  T run(core::Task<T> task) {
    return run_on(world_, std::move(task));
  }
  void open(StoreOptions options = small_map()) {
    auto opened = try_open(options);
    ASSERT_TRUE(opened) << opened.error().text();
    store_ = *std::move(opened);
  }
  Result<std::unique_ptr<Store>> try_open(StoreOptions options = small_map()) {
    return run(Store::open(env_, "/store", options));
  }
  void close() {
    if (!store_) return;
    (void)run(store_->close());
    store_.reset();
  }
  void reopen(StoreOptions options = small_map()) {
    close();
    open(options);
  }
  void TearDown() override { close(); }

  Result<std::uint64_t> write(std::string_view key, std::string_view value) {
    return run(store_->write(as_bytes(key), as_bytes(value)));
  }
  Result<std::uint64_t> erase(std::string_view key) { return run(store_->erase(as_bytes(key))); }
  // The value, or "<none>".
  std::string get(std::string_view key) const { return get(*store_, key); }
  static std::string get(const Store& store, std::string_view key) {
    const auto value = store.find(as_bytes(key));
    return value ? std::string(as_text(value->bytes())) : "<none>";
  }
  std::vector<std::string> values() const {
    std::vector<std::string> out;
    auto cursor = store_->iterate();
    while (const auto value = cursor.next()) out.emplace_back(as_text(value->bytes()));
    return out;
  }
  std::vector<std::uint8_t> image(std::string path = "/store") {
    auto content = run(env_.files().read_file(std::move(path), 1U << 30));
    EXPECT_TRUE(content);
    const auto bytes = as_bytes(*content);
    return {bytes.begin(), bytes.end()};
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  std::unique_ptr<Store> store_;
};

}  // namespace capstan::storage::kv
