// Why this file exists: the key/value store inside of a program: no node, no network. Writes a few
// values, reads them without copying, and shows what a Value may be used for.
//
//     ninja -C build/asan kv_store
//     build/asan/bin/kv_store /tmp/example.kv
#include <cstdio>
#include <string>

#include "core/uring_env.h"
#include "storage/kv/store.h"
#include "storage/kv/value_stream.h"

using namespace capstan;
using storage::kv::Change;
using storage::kv::Store;

namespace {

core::Task<Result<void>> use_store(core::Env& env, std::string path) {
  // One process at a time has a store open; opening repairs what a crash left behind.
  CO_TRY_SET(auto store, co_await Store::open(env, path));

  CO_TRY(co_await store->write(as_bytes("greeting"), as_bytes("hello")));
  // A batch becomes visible, and fails, as a whole.
  const Change batch[] = {Change::put(as_bytes("a"), as_bytes("1")),
                          Change::put(as_bytes("b"), as_bytes("2")),
                          Change::erase(as_bytes("nobody"))};
  CO_TRY(co_await store->apply(batch));
  // Large values may come in pieces; the store is free meanwhile.
  auto stream = store->stream(as_bytes("large"));
  for (int i = 0; i < 1000; ++i) CO_TRY(co_await stream.append(as_bytes("a thousand pieces, ")));
  CO_TRY(co_await stream.commit());

  // A view into the mapped file, 64-byte aligned: no copy is made. It stays as it is however the
  // key changes, also when the store is compacted or closed.
  const auto greeting = store->find(as_bytes("greeting"));
  CO_TRY(co_await store->write(as_bytes("greeting"), as_bytes("hello again")));
  CO_TRY_SET(const auto compacted, co_await store->compact());
  if (greeting) {
    std::printf("then: %s\n", std::string(as_text(greeting->bytes())).c_str());
  }
  if (const auto now = store->find(as_bytes("greeting"))) {
    std::printf("now: %s\n", std::string(as_text(now->bytes())).c_str());
  }

  // Newest first; keys are known by their hashes only.
  auto cursor = store->iterate();
  while (const auto value = cursor.next()) {
    std::printf("%016llx: %llu bytes\n", static_cast<unsigned long long>(value->key_hash()),
                static_cast<unsigned long long>(value->size()));
  }
  std::printf("%llu keys, compacted from %llu to %llu bytes\n",
              static_cast<unsigned long long>(store->len()),
              static_cast<unsigned long long>(compacted.bytes_before),
              static_cast<unsigned long long>(compacted.bytes_after));
  co_return co_await store->close();
}

core::Task<void> run(core::Env* env, std::string path, int* code) {
  const auto used = co_await use_store(*env, std::move(path));
  if (!used) std::fprintf(stderr, "kv_store: %s\n", used.error().text().c_str());
  *code = used ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  auto env = core::UringEnv::create({});
  if (!env || argc != 2) {
    std::fprintf(stderr, "%s\n", env ? "usage: kv_store FILE" : env.error().text().c_str());
    return 2;
  }
  int code = 1;
  (*env)->run(run(env->get(), argv[1], &code));
  return code;
}
