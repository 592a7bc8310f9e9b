// Why this file exists: the pool simulation. One seed is one life story of a node with a pool on a
// simulated disk: replicas are created, written, flushed, changed and destroyed by several
// coroutines, the power fails or the process is killed at a random (or a given) I/O, the node
// starts again, everything is checked against the oracle and against an independent reader of the
// format, and the story goes on for several generations. Disks lose, tear and reorder what was not
// synced, run full, fail single operations, and have sectors that cannot be read.
//
// What is checked after each start: acknowledged-and-flushed data is there and nothing older, torn
// or foreign is; acknowledged management calls have happened; no cluster or metadata page has two
// owners; what the pool counts as used is what is reachable; masks of a clean pool are right.
// Thread-safety: one thread; a PoolSim runs once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "core/sync.h"
#include "sim/lvs_reader.h"
#include "sim/oracle.h"
#include "sim/order_watch.h"
#include "storage/device/file_device.h"
#include "storage/pool/pool.h"

namespace capstan::sim {

// How often which operation is chosen, in parts of the sum.
struct Workload {
  std::string_view name;
  unsigned create, destroy, attribute, write, zeroes, unmap, flush, read, reload;
  unsigned workers, operations;  // per generation
  unsigned generations;
  unsigned faults;  // percent of generations with failing disk operations
  unsigned resize = 0, grow = 0;
  unsigned latent = 0;  // percent of generations with sectors that cannot be read
};
// null when unknown.
const Workload* find_workload(std::string_view name);
std::vector<std::string_view> workload_names();

struct PoolSimOptions {
  std::uint64_t seed = 1;
  const Workload* workload = nullptr;
  // The power fails (or the process is killed) at exactly this I/O of the first generation (the
  // n-th of the node), and one more generation checks what is left.
  std::optional<std::uint64_t> cut_at;
  bool kill = false;  // with cut_at: kill -9 instead of a power cut
  bool verbose = false;
  bool lying_disk = false;  // syncs do nothing: the checks must notice
  // The order of all writes is watched as well (order_watch.h); slow, and not for failing disks.
  bool strict = false;
};

struct PoolSimResult {
  std::string failure;  // empty: passed
  std::string story;    // configuration, for the report of a failure
  std::uint64_t first_generation_ios = 0, trace_hash = 0, order_readings = 0;
  unsigned cuts = 0, kills = 0, loads = 0, clean_loads = 0, writes = 0, flushes = 0, created = 0,
           destroyed = 0, resized = 0, grown = 0, refused_full = 0;
  unsigned unreadable = 0;    // reads of sectors that cannot be read
  unsigned failed_loads = 0;  // because of such sectors in the metadata
};

class PoolSim {
 public:
  explicit PoolSim(PoolSimOptions options);
  ~PoolSim();
  PoolSimResult run();

 private:
  enum class Stage { kCreating, kLive, kDestroying, kGone };
  struct Busy {
    std::uint64_t first, count;
  };
  struct Model {
    std::uint32_t number = 0;
    Uuid uuid;
    std::string name;
    // What may be used; while a change of size is in flight or not decided, the smaller one.
    std::uint64_t size_bytes = 0;
    std::vector<std::uint64_t> sizes;  // that it may have
    bool thin = false;
    Stage stage = Stage::kCreating;
    SectorOracle oracle;
    // Values that may be stored, the acknowledged one first; an empty one stands for "absent".
    std::map<std::string, std::vector<std::string>> attributes;
    std::vector<Busy> busy;
    bool managing = false;  // an attribute change, a resize or the destruction is in flight
    // Seen after a kill although its creation was never acknowledged: a power cut may take it away.
    bool tentative = false;
  };

  // --- pool_sim.cc: the life of the node
  void configure();
  core::Task<void> live(unsigned generation);
  core::Task<bool> start();        // opens the disk, loads or creates the pool; false: stop
  core::Task<bool> create_pool();  // or loads what an interrupted create finished
  core::Task<bool> load_pool();
  core::Task<bool> load_unreadable();  // fails, or not, for sectors that cannot be read
  void inject_faults();
  void spoil_sectors();
  core::Task<void> work(unsigned generation);
  core::Task<void> worker(unsigned operations);
  core::Task<void> wind_down(bool last);
  core::Task<void> reload();
  void fail(std::string text);
  // Tells the story, to those who want to hear it.
  template <class... Parts>
  void note(const Parts&... parts) {
    if (!options_.verbose) return;
    std::ostringstream text;
    (text << ... << parts);
    tell(text.str());
  }
  void tell(const std::string& text);
  // Somebody's old data, from this byte of the disk to its end.
  void fill_disk(std::uint64_t from);
  bool stopped() const { return !failure_.empty() || !env_->powered(); }
  // An error that the simulation caused itself: power, injected fault, unload in between.
  bool excused(std::uint64_t life) const;

  // --- pool_sim_ops.cc: one operation each
  core::Task<void> operate();
  core::Task<void> create();
  core::Task<void> destroy(std::shared_ptr<Model> model);
  core::Task<void> set_attribute(std::shared_ptr<Model> model);
  enum class Change { kWrite, kZeroes, kUnmap };
  core::Task<void> change(std::shared_ptr<Model> model, Change kind);
  core::Task<void> resize(std::shared_ptr<Model> model);
  core::Task<void> grow();
  core::Task<void> read(std::shared_ptr<Model> model);
  core::Task<void> flush(std::shared_ptr<Model> model);
  std::shared_ptr<Model> pick_model();
  std::optional<Busy> pick_range(Model& model);
  void settle(Model& model, const Result<void>& result, std::uint64_t life, const char* what);

  // --- pool_sim_check.cc: what must be true
  LvsImage read_image() const;
  // The image that it judged.
  LvsImage check_image(bool after_cut);
  core::Task<void> check_survivors();
  core::Task<void> check_content(std::shared_ptr<Model> model, bool survivors);
  core::Task<void> check_around_bad_sectors(std::shared_ptr<Model> model, std::uint64_t at,
                                            std::uint64_t length);
  void check_existence();
  void decide_existence(Model& model, bool exists);
  static void decide_size(Model& model, std::uint64_t size_bytes);
  void check_attributes(Model& model, const storage::Replica& replica);
  void check_accounting(const LvsImage& image);

  PoolSimOptions options_;
  const Workload& workload_;
  core::SimWorld world_;
  std::unique_ptr<core::SimEnv> env_;
  core::SimDisk* disk_ = nullptr;
  std::unique_ptr<OrderWatch> order_;
  core::SimDiskOptions disk_options_;
  storage::PoolOptions pool_options_;

  std::shared_ptr<storage::FileDevice> device_;
  std::unique_ptr<storage::Pool> pool_;
  std::vector<std::unique_ptr<storage::Pool>> unloaded_;  // calls may still be inside of them
  std::vector<std::shared_ptr<Model>> models_;
  std::unique_ptr<core::Event> loaded_;  // set while the pool is loaded
  bool pool_acknowledged_ = false;       // create() answered: from now on it must load
  bool clean_expected_ = false;          // unload() answered and nothing happened since
  bool faulty_ = false;                  // disk operations were made to fail in this generation
  bool latent_ = false;                  // data sectors that cannot be read in this generation
  bool killed_ = false;                  // this generation ends by a kill, not by a power cut
  bool checked_ = false;                 // everything was read since the last power cut
  bool after_kill_ = false;              // the one before did
  std::uint64_t life_ = 0;               // counts loads; an operation of an older life is excused
  std::uint32_t next_value_ = 1, next_replica_ = 1;
  std::uint64_t capacity_bytes_ = 0;  // acknowledged: the pool never has less
  core::Buffer content_;              // what check_content() reads into
  std::string failure_;
  PoolSimResult result_;
};

}  // namespace capstan::sim
