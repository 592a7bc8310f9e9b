// Why this file exists: the engines in the order in which kv_bench runs them.
#include "bench/kv_engines.h"

namespace capstan::bench {

std::vector<std::unique_ptr<Engine>> engines() {
  std::vector<std::unique_ptr<Engine>> all;
  all.push_back(capstan_engine());
#ifdef CAPSTAN_BENCH_SIMD_R_DRIVE
  all.push_back(simd_r_drive_engine());
#endif
  all.push_back(lmdb_engine());
  all.push_back(leveldb_engine());
  all.push_back(rocksdb_engine());
  return all;
}

}  // namespace capstan::bench
