// Why this file exists: a value that arrives in pieces. Pieces are collected in memory, from a MiB
// on in a file beside the store that has no name; only commit() appends to the store. So a stream
// that is slow, breaks or is given up costs the store and other writers nothing.
// Lifetimes: the store outlives the stream. Thread-safety: the store's core.
#pragma once

#include "storage/kv/store.h"

namespace capstan::storage::kv {

class ValueStream {
 public:
  ValueStream(ValueStream&&) = default;

  core::Task<Result<void>> append(ByteView piece);
  // Answers the store's new tail. kInvalidArgument when nothing, or nothing but zeros, was given.
  core::Task<Result<std::uint64_t>> commit();
  std::uint64_t size() const { return size_; }

 private:
  friend class Store;
  ValueStream(Store& store, std::uint64_t hash, std::uint16_t verifier, std::string key)
      : store_(&store), hash_(hash), verifier_(verifier), key_(std::move(key)) {}
  core::Task<Result<void>> spill();

  Store* store_;
  std::uint64_t hash_;
  std::uint16_t verifier_;
  std::string key_;
  std::vector<std::uint8_t> memory_;
  std::unique_ptr<core::File> spilled_;
  std::uint64_t size_ = 0, on_disk_ = 0;
  std::uint32_t checksum_ = 0;
  bool zeros_ = true;
};

}  // namespace capstan::storage::kv
