// Why this file exists: the store simulation. One seed is one life story of a store on a simulated
// disk: several coroutines write, delete, rename, stream, batch and compact; the power fails or the
// process is killed at a random (or a given) I/O; the store is opened again and compared with what
// was acknowledged; the story goes on for several generations.
//
// What is checked after each opening: with durability "each" no acknowledged change is lost to a
// power cut; with the others none before the last sync; a kill loses nothing acknowledged; a value
// is one that was written under its key, whole, unless a torn first write is told by its checksum;
// a durable value that was being renamed is under one of the two names. Each worker has keys of its
// own, so what a key may hold is a short list. Thread-safety: one thread; a KvSim runs once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/scope.h"
#include "core/sim_env.h"
#include "storage/kv/store.h"
#include "storage/kv/value_stream.h"

namespace capstan::sim {

struct KvSimOptions {
  std::uint64_t seed = 1;
  // The power fails (or the process is killed) at exactly this I/O of the first generation.
  std::optional<std::uint64_t> cut_at;
  bool kill = false;  // with cut_at
  bool verbose = false;
  bool forget_syncs = false;  // the store does not sync and the checks believe it does
};

struct KvSimResult {
  std::string failure;  // empty: passed
  std::uint64_t first_generation_ios = 0, trace_hash = 0;
  unsigned cuts = 0, kills = 0, writes = 0, compactions = 0, torn = 0, repaired = 0, renames = 0;
};

class KvSim {
 public:
  explicit KvSim(KvSimOptions options);
  ~KvSim();
  KvSimResult run();

 private:
  // Every state a key has had, oldest first; empty = not there. Up to `durable` they are surely on
  // the medium, up to `acknowledged` a caller was told; behind it one may be in flight.
  struct Key {
    std::string name;
    std::vector<std::optional<std::string>> states{std::nullopt};
    std::size_t durable = 0, acknowledged = 0;
    unsigned owner = 0;
    bool damaged = false;
  };

  // A rename and which states it gave its keys.
  struct Rename {
    Key *from, *to;
    std::size_t from_state, to_state;
  };

  core::Task<void> live(unsigned generation);
  core::Task<bool> open();
  core::Task<void> worker(unsigned number, unsigned operations);
  core::Task<void> operate(unsigned number);
  core::Task<void> write(Key* key);
  core::Task<void> stream(Key* key);
  core::Task<void> erase(Key* key);
  core::Task<void> batch(Key* first, Key* second);
  core::Task<void> rename(Key* from, Key* to);
  core::Task<void> compact();
  core::Task<void> sync();
  void settle(std::initializer_list<Key*> keys, const Result<std::uint64_t>& result,
              const char* what);
  core::Task<void> forget_damaged();
  void check_survivors(bool killed);
  void check_renames();
  void check_key(Key& key, bool killed);
  void check_reads(Key& key);
  void all_durable();
  std::string make_value();
  Key* pick(unsigned owner);
  void fail(std::string text);
  void note(const std::string& text) const;
  bool stopped() const { return !failure_.empty() || !env_->powered(); }

  KvSimOptions options_;
  core::SimWorld world_;
  std::unique_ptr<core::SimEnv> env_;
  storage::kv::StoreOptions store_options_;
  std::unique_ptr<storage::kv::Store> store_;
  std::vector<Key> keys_;
  std::vector<Rename> renames_;  // of this generation
  unsigned workers_ = 1, next_value_ = 0;
  bool synced_each_ = false;
  std::string failure_;
  KvSimResult result_;
};

}  // namespace capstan::sim
