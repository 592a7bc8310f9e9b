// Why this file exists: the life of the simulated node: start, work, lose power, start again.
#include "sim/pool_sim.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <limits>

namespace capstan::sim {

namespace {

constexpr const char* kDisk = "/dev/disk0";
constexpr Workload kWorkloads[] = {
    // name    create destroy attr write zero unmap flush read reload workers ops gens faults
    {"mixed", 6, 4, 6, 40, 5, 7, 12, 15, 1, 6, 120, 5, 0},
    {"manage", 20, 14, 20, 10, 1, 1, 2, 2, 2, 4, 80, 6, 0},
    {"io", 3, 1, 1, 60, 8, 10, 20, 20, 0, 10, 250, 4, 0},
    {"faults", 6, 4, 6, 40, 5, 7, 12, 15, 1, 6, 120, 5, 60},
    {"groups", 8, 4, 4, 45, 6, 14, 8, 8, 1, 6, 110, 4, 0},  // volumes of several extent pages
    {"small", 25, 15, 15, 40, 5, 5, 15, 5, 3, 2, 14, 2, 0},
    {"sizes", 9, 5, 4, 40, 5, 8, 12, 12, 1, 6, 120, 5, 0, 14, 3},
    {"sizefaults", 9, 5, 4, 40, 5, 8, 12, 12, 1, 6, 120, 5, 60, 14, 3},
    {"full", 14, 3, 3, 60, 6, 10, 8, 8, 1, 6, 130, 4, 0, 10, 1},
    {"smallsizes", 22, 8, 4, 40, 4, 6, 12, 4, 2, 2, 14, 2, 0, 25, 8},
    {"latent", 6, 4, 6, 40, 5, 7, 12, 25, 1, 6, 120, 5, 15, 6, 2, 70},
};

std::string size_text(std::uint64_t bytes) {
  return bytes % (1 << 20) == 0 ? std::to_string(bytes >> 20) + " MiB"
                                : std::to_string(bytes >> 10) + " KiB";
}

}  // namespace

const Workload* find_workload(std::string_view name) {
  for (const auto& workload : kWorkloads) {
    if (workload.name == name) return &workload;
  }
  return nullptr;
}

std::vector<std::string_view> workload_names() {
  std::vector<std::string_view> names;
  for (const auto& workload : kWorkloads) names.push_back(workload.name);
  return names;
}

PoolSim::PoolSim(PoolSimOptions options)
    : options_(options),
      workload_(options.workload ? *options.workload : kWorkloads[0]),
      world_(options.seed),
      env_(std::make_unique<core::SimEnv>(world_)) {
  configure();
}

PoolSim::~PoolSim() {
  order_.reset();
  models_.clear();
  pool_.reset();
  unloaded_.clear();
  device_.reset();
}

void PoolSim::configure() {
  using Deallocate = core::SimDiskOptions::Deallocate;
  auto& random = world_.random();
  const bool small = workload_.name.starts_with("small") || workload_.name == "full";
  disk_options_.size_bytes = (small ? 2 : random.between(3, 12)) << 20;
  disk_options_.block_bytes = random.chance(25) ? 4096 : 512;
  disk_options_.physical_block_bytes = random.chance(50) ? 4096 : 512;
  disk_options_.volatile_cache = !random.chance(10);
  disk_options_.discard = !random.chance(10);
  disk_options_.deallocate = static_cast<Deallocate>(random.below(3));
  const std::uint32_t clusters[] = {16U << 10, 32U << 10, 64U << 10, 128U << 10};
  pool_options_.cluster_size_bytes = clusters[random.below(small ? 3 : 4)];
  pool_options_.md_resv_percent = static_cast<std::uint32_t>(random.between(50, 150));
  pool_options_.cluster_unmap = random.chance(50);
  if (workload_.name == "groups") {
    pool_options_.cluster_size_bytes = 4096;
    pool_options_.md_resv_percent = static_cast<std::uint32_t>(random.between(4, 10));
  }
  disk_options_.lying_sync = options_.lying_disk;
  disk_ = &env_->add_disk(kDisk, disk_options_);

  // A used disk: data of somebody else everywhere, so that nothing may be taken for zeros.
  fill_disk(0);
  if (options_.strict) {
    const bool in_place =
        std::max(disk_options_.block_bytes, disk_options_.physical_block_bytes) >= 4096;
    order_ = std::make_unique<OrderWatch>(*disk_, in_place,
                                          [this](std::string text) { fail(std::move(text)); });
  }
  const char* modes[] = {"zeroes", "old data", "mixed"};
  result_.story = "disk " + size_text(disk_options_.size_bytes) + ", blocks " +
                  std::to_string(disk_options_.block_bytes) + "/" +
                  std::to_string(disk_options_.physical_block_bytes) +
                  (disk_options_.volatile_cache ? "" : ", no cache") +
                  (disk_options_.discard ? "" : ", no discard") +
                  ", deallocated: " + modes[static_cast<int>(disk_options_.deallocate)] +
                  ", cluster " + size_text(pool_options_.cluster_size_bytes) +
                  (pool_options_.cluster_unmap ? ", cluster unmap" : "");
}

void PoolSim::fail(std::string text) {
  if (failure_.empty()) failure_ = std::move(text);
}

void PoolSim::fill_disk(std::uint64_t from) {
  std::array<std::uint8_t, 64U << 10> piece;
  for (std::uint64_t at = from; at < disk_->size(); at += piece.size()) {
    const auto part =
        MutableBytes(piece).first(std::min<std::uint64_t>(piece.size(), disk_->size() - at));
    for (std::uint64_t i = 0; i < part.size() / kSector; ++i)
      fill_sector(part.subspan(i * kSector, kSector), 0xFFFF, (at - from) / kSector + i, 1);
    disk_->poke(at, part);
  }
}

void PoolSim::tell(const std::string& text) {
  std::printf("%10.3f ms  io %4llu  %s\n",
              static_cast<double>(world_.reactor().read_clock() - core::kSecond) / 1e6,
              static_cast<unsigned long long>(env_->io_count()), text.c_str());
  std::fflush(stdout);
}

bool PoolSim::excused(std::uint64_t life) const {
  return !env_->powered() || faulty_ || life != life_ || !loaded_->is_set();
}

PoolSimResult PoolSim::run() {
  note(result_.story);
  const unsigned generations = options_.cut_at ? 2 : workload_.generations;
  for (unsigned generation = 0; generation < generations && failure_.empty(); ++generation) {
    if (!env_->powered()) env_->power_on();
    // Until everything is read after a cut, what it took is not known; a kill meanwhile adds
    // nothing.
    after_kill_ = killed_ && checked_;
    if (!after_kill_) checked_ = false;
    faulty_ = latent_ = false;
    killed_ = options_.cut_at ? options_.kill : world_.random().chance(30);
    const auto cut_after = [this](std::uint64_t ios) {
      killed_ ? env_->kill_after(ios) : env_->cut_power_after(ios);
    };
    if (options_.cut_at) {
      cut_after(generation == 0 ? *options_.cut_at : 0);
    } else if (generation + 1 == generations && !world_.random().chance(50)) {
      cut_after(0);
    } else {
      const std::uint64_t most = world_.random().chance(25) ? 25 : workload_.operations * 6;
      cut_after(world_.random().between(1, most));
    }
    note("generation ", generation);
    world_.run(live(generation));
    disk_->clear_faults();
    if (!env_->powered()) {
      ++(killed_ ? result_.kills : result_.cuts);
      note(killed_ ? "killed" : "power is off");
      if (killed_) {
        for (const auto& model : models_) model->oracle.process_killed();
      }
    }
    if (generation == 0) result_.first_generation_ios = env_->io_count();
  }
  result_.failure = failure_;
  result_.trace_hash = world_.trace_hash();
  if (order_) result_.order_readings = order_->readings();
  return std::move(result_);
}

core::Task<void> PoolSim::live(unsigned generation) {
  loaded_ = std::make_unique<core::Event>();
  const bool last = options_.cut_at ? generation == 1 : generation + 1 == workload_.generations;
  if (co_await start()) {
    if (!options_.cut_at || generation == 0) co_await work(generation);
    if (!stopped()) co_await wind_down(last);
  }
  if (failure_.empty() && env_->powered()) killed_ ? env_->kill() : env_->power_cut();
  pool_.reset();
  unloaded_.clear();
  device_.reset();
}

core::Task<bool> PoolSim::start() {
  check_image(true);
  if (stopped()) co_return false;
  storage::FileDeviceOptions options;
  options.path = kDisk;
  auto device = co_await storage::FileDevice::open(*env_, options);
  if (!device) {
    if (!stopped()) fail("the disk cannot be opened: " + device.error().text());
    co_return false;
  }
  device_ = *device;
  const bool ready = pool_acknowledged_ ? co_await load_pool() : co_await create_pool();
  if (!ready) co_return false;
  clean_expected_ = false;
  ++life_;
  loaded_->set();
  co_await check_survivors();
  co_return !stopped();
}

core::Task<bool> PoolSim::create_pool() {
  auto options = pool_options_;
  const auto probe = co_await storage::Pool::probe(device_);
  if (stopped()) co_return false;
  // What an interrupted create left: nothing, a damaged pool, or a whole one.
  if (!probe && probe.error().code != Code::kNotFound && probe.error().code != Code::kDataLoss) {
    fail("probe of an unfinished pool: " + probe.error().text());
    co_return false;
  }
  if (probe) {
    // After a kill it may stand in the cache only, and nobody was told that it is there.
    if (!co_await device_->flush()) co_return false;
    pool_acknowledged_ = true;
    co_return co_await load_pool();
  }
  options.force = probe.error().code == Code::kDataLoss;
  auto pool = co_await storage::Pool::create(*env_, device_, "pool0", env_->random_uuid(), options);
  if (!pool) {
    if (!stopped()) fail("the pool cannot be created: " + pool.error().text());
    co_return false;
  }
  pool_ = std::move(*pool);
  pool_acknowledged_ = true;
  note("pool created");
  co_return true;
}

// A load that meets a sector it cannot read says so and leaves everything as it is; one that does
// not need the sector works. False: the power failed, or that was not so.
core::Task<bool> PoolSim::load_unreadable() {
  auto& random = world_.random();
  core::SimFault fault;
  fault.offset = random.chance(20) ? 0 : random.below(disk_->size() / 4) / kSector * kSector;
  fault.length = kSector * random.between(1, 64);
  fault.times = std::numeric_limits<std::uint64_t>::max();
  disk_->inject(fault);
  auto pool = co_await storage::Pool::load(*env_, device_, pool_options_);
  disk_->clear_faults();
  if (stopped()) co_return false;
  if (!pool && pool.error().sys_errno != EIO) {
    fail("a load that could not read a sector: " + pool.error().text());
    co_return false;
  }
  if (!pool) {
    ++result_.failed_loads;
    if (device_->claimed()) fail("a load failed and kept the device");
    co_return !stopped();
  }
  for (const auto& volume : (*pool)->faulted()) fail("unreadable sector: " + volume.reason);
  const auto closed = co_await (*pool)->unload();
  if (!closed && !stopped()) fail("unload without a change: " + closed.error().text());
  co_return !stopped();
}

core::Task<bool> PoolSim::load_pool() {
  if (workload_.latent != 0 && world_.random().chance(25) && !co_await load_unreadable())
    co_return false;
  auto pool = co_await storage::Pool::load(*env_, device_, pool_options_);
  if (!pool) {
    if (!stopped()) fail("the pool cannot be loaded: " + pool.error().text());
    co_return false;
  }
  pool_ = std::move(*pool);
  ++result_.loads;
  result_.clean_loads += clean_expected_;
  co_return true;
}

core::Task<void> PoolSim::work(unsigned generation) {
  if (generation + 1 < workload_.generations && world_.random().chance(workload_.faults))
    inject_faults();
  else if (workload_.latent != 0 && world_.random().chance(workload_.latent))
    spoil_sectors();
  core::Scope scope;
  for (unsigned i = 0; i < workload_.workers; ++i) {
    scope.spawn(worker(workload_.operations / workload_.workers));
  }
  co_await scope.join();
}

void PoolSim::inject_faults() {
  constexpr int kErrors[] = {EIO, EIO, ENOSPC, ENODEV};
  faulty_ = true;
  for (auto count = world_.random().between(1, 3); count != 0; --count) {
    core::SimFault fault;
    fault.kind = static_cast<core::SimFault::Kind>(world_.random().below(4));
    fault.skip = world_.random().below(100);
    fault.times = world_.random().between(1, 3);
    if (workload_.latent != 0) fault.sys_errno = kErrors[world_.random().below(4)];
    disk_->inject(fault);
  }
}

// Places among the data that cannot be read until the node ends, although they can be written.
void PoolSim::spoil_sectors() {
  latent_ = true;
  const auto info = pool_->info();
  const std::uint64_t end = disk_->size(), cluster = info.cluster_size_bytes;
  const std::uint64_t begin = end / cluster * cluster - info.capacity_bytes;
  for (auto count = world_.random().between(1, 6); count != 0; --count) {
    core::SimFault fault;
    fault.offset = begin + world_.random().below(end - begin) / kSector * kSector;
    fault.length = kSector * world_.random().between(1, 32);
    fault.times = std::numeric_limits<std::uint64_t>::max();
    disk_->inject(fault);
  }
}

core::Task<void> PoolSim::worker(unsigned operations) {
  for (unsigned i = 0; i < operations && !stopped(); ++i) {
    while (!loaded_->is_set()) co_await loaded_->wait();
    if (stopped()) break;
    co_await operate();
    if (world_.random().chance(20)) {
      (void)co_await core::sleep_for(world_.random().between(1'000, 500'000));
    }
  }
}

// Unloads and loads while the other workers go on; their calls fail or wait meanwhile.
core::Task<void> PoolSim::reload() {
  if (!loaded_->is_set()) co_return;
  loaded_->reset();
  note("unload");
  std::map<std::shared_ptr<Model>, std::uint64_t> begun;
  for (const auto& model : models_) begun[model] = model->oracle.flush_begins();
  const auto unloaded = co_await pool_->unload();
  if (!unloaded && !stopped() && !faulty_) fail("unload: " + unloaded.error().text());
  if (unloaded) {
    // A pool whose writes failed promises nothing about what was not flushed.
    if (!pool_->info().faulted) {
      for (auto& [model, time] : begun) {
        model->oracle.flush_ended(time);
        model->tentative = false;
      }
    }
    // Nothing but the pool writes to the disk, so what it left must be clean and sound.
    if (env_->powered() && !faulty_) {
      clean_expected_ = true;
      check_image(false);
      clean_expected_ = false;
    }
    unloaded_.push_back(std::move(pool_));
    auto pool = co_await storage::Pool::load(*env_, device_, pool_options_);
    if (!pool && !stopped() && !faulty_) fail("load after unload: " + pool.error().text());
    if (pool) {
      pool_ = std::move(*pool);
      ++life_;
      ++result_.loads;
      ++result_.clean_loads;
    }
  }
  if (!pool_ || !unloaded) {
    if (failure_.empty() && env_->powered()) {  // after a fault: start over
      killed_ = false;
      env_->power_cut();
    }
  }
  loaded_->set();
}

core::Task<void> PoolSim::wind_down(bool last) {
  if (latent_ && !stopped() && pool_->info().faulted) fail("an unreadable sector faulted the pool");
  if (!faulty_) {
    const auto models = models_;
    if (const auto model = pick_model()) co_await flush(model);  // frees what waits for a barrier
    if (stopped()) co_return;
    check_accounting(check_image(false));
    for (const auto& model : models) {
      if (model->stage == Stage::kLive && !stopped()) co_await check_content(model, false);
    }
  }
  if (stopped()) co_return;
  if (last && world_.random().chance(20)) {
    const auto destroyed = co_await pool_->destroy();
    if (!destroyed && !stopped() && !faulty_) fail("destroy pool: " + destroyed.error().text());
    if (destroyed) {
      const auto probe = co_await storage::Pool::probe(device_);
      if (!stopped() && (probe || probe.error().code != Code::kNotFound)) {
        fail("a destroyed pool is still there");
      }
    }
    co_return;
  }
  if (!world_.random().chance(50)) co_return;
  std::map<std::shared_ptr<Model>, std::uint64_t> begun;
  for (const auto& model : models_) begun[model] = model->oracle.flush_begins();
  const auto unloaded = co_await pool_->unload();
  if (!unloaded && !stopped() && !faulty_) fail("unload: " + unloaded.error().text());
  if (!unloaded) co_return;
  if (!pool_->info().faulted) {
    for (auto& [model, time] : begun) {
      model->oracle.flush_ended(time);
      model->tentative = false;
    }
  }
  clean_expected_ = !faulty_;  // a faulted pool is left as it is, for the next load to recover
  check_image(false);
}

}  // namespace capstan::sim
