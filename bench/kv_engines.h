// Why this file exists: the one interface through which kv_bench drives every engine. Keys come in
// one vector in the order in which they are wanted, so that no engine pays for making them or for
// fetching them from all over the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace capstan::bench {

class Engine {
 public:
  using Keys = std::vector<std::string>;
  virtual ~Engine() = default;
  virtual const char* name() const = 0;
  virtual void open(const std::string& path) = 0;
  virtual void close() = 0;
  virtual void write(const Keys& keys, const std::string& value) = 0;
  virtual void batch_write(const Keys& keys, const std::string& value, std::size_t batch) = 0;
  // Both answer the sum of the sizes of what was read.
  virtual std::size_t read(const Keys& keys) = 0;
  virtual std::size_t batch_read(const Keys& keys) { return read(keys); }
};

// Ours first.
std::vector<std::unique_ptr<Engine>> engines();
std::unique_ptr<Engine> capstan_engine();
std::unique_ptr<Engine> lmdb_engine();
std::unique_ptr<Engine> rocksdb_engine();
std::unique_ptr<Engine> leveldb_engine();
std::unique_ptr<Engine> simd_r_drive_engine();  // with CAPSTAN_BENCH_SIMD_R_DRIVE

}  // namespace capstan::bench
