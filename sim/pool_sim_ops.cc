// Why this file exists: the operations that the workers of the pool simulation choose from. Each
// tells the oracle before it starts and after it ended, and judges its own error.
#include <algorithm>
#include <cerrno>

#include "core/buffer.h"
#include "sim/pool_sim.h"

namespace capstan::sim {

namespace {
constexpr std::size_t kReplicasMax = 10;
constexpr const char* kKeys[] = {"shared", "allowed-hosts", "entity_id", "x.note"};
}  // namespace

core::Task<void> PoolSim::operate() {
  const auto& w = workload_;
  auto pick = world_.random().below(w.create + w.destroy + w.attribute + w.write + w.zeroes +
                                    w.unmap + w.flush + w.read + w.reload + w.resize + w.grow);
  const auto is = [&pick](unsigned weight) {
    if (pick < weight) return pick = ~0ULL, true;
    pick -= weight;
    return false;
  };
  auto model = pick_model();
  if (is(w.create) || !model) {
    co_await create();
  } else if (is(w.destroy)) {
    co_await destroy(model);
  } else if (is(w.attribute)) {
    co_await set_attribute(model);
  } else if (is(w.write)) {
    co_await change(model, Change::kWrite);
  } else if (is(w.zeroes)) {
    co_await change(model, Change::kZeroes);
  } else if (is(w.unmap)) {
    co_await change(model, Change::kUnmap);
  } else if (is(w.flush)) {
    co_await flush(model);
  } else if (is(w.read)) {
    co_await read(model);
  } else if (is(w.resize)) {
    co_await resize(model);
  } else if (is(w.grow)) {
    co_await grow();
  } else {
    co_await reload();
  }
}

std::shared_ptr<PoolSim::Model> PoolSim::pick_model() {
  std::vector<std::shared_ptr<Model>> live;
  for (const auto& model : models_) {
    if (model->stage == Stage::kLive) live.push_back(model);
  }
  return live.empty() ? nullptr : live[world_.random().below(live.size())];
}

// A range of blocks in which no other operation is at work; small ones are more frequent, and the
// beginning of a replica is hit more often, so that operations meet in the same clusters.
std::optional<PoolSim::Busy> PoolSim::pick_range(Model& model) {
  auto& random = world_.random();
  const std::uint64_t block = disk_options_.block_bytes / kSector;
  const std::uint64_t blocks = model.size_bytes / disk_options_.block_bytes;
  const std::uint64_t cluster = pool_options_.cluster_size_bytes / disk_options_.block_bytes;
  std::uint64_t count = 0, first = 0;
  switch (random.below(4)) {
    case 0:  // whole clusters
      count = std::min(blocks, cluster * random.between(1, 3));
      first = random.below(blocks / cluster) * cluster;
      count = std::min(count, blocks - first);
      break;
    case 1:  // across a border
      first = random.below(blocks);
      count = std::min(blocks - first, random.between(1, cluster * 2));
      break;
    default:
      first = random.below(random.chance(50) ? std::min(blocks, cluster * 4) : blocks);
      count = std::min(blocks - first, random.between(1, 16));
      break;
  }
  const Busy range{first * block, count * block};
  for (const auto& busy : model.busy) {
    if (range.first < busy.first + busy.count && busy.first < range.first + range.count) {
      return std::nullopt;
    }
  }
  model.busy.push_back(range);
  return range;
}

// Judges the error of an I/O.
void PoolSim::settle(Model& model, const Result<void>& result, std::uint64_t life,
                     const char* what) {
  if (result || excused(life) || model.stage != Stage::kLive) return;
  if (latent_ && result.error().sys_errno == EIO && what == std::string_view("read")) {
    ++result_.unreadable;
    if (pool_->info().health.state != storage::PoolHealth::State::kDegraded)
      fail("a read failed and the pool is not degraded");
    return;
  }
  if (result.error().code == Code::kResourceExhausted && model.thin) {  // the pool is full
    ++result_.refused_full;
    return;
  }
  fail(std::string(what) + " of replica " + std::to_string(model.number) + ": " +
       result.error().text());
}

core::Task<void> PoolSim::create() {
  auto& random = world_.random();
  const auto alive = std::count_if(models_.begin(), models_.end(),
                                   [](const auto& model) { return model->stage != Stage::kGone; });
  if (static_cast<std::size_t>(alive) >= kReplicasMax) co_return;
  auto model = std::make_shared<Model>();
  const std::uint64_t cluster = pool_options_.cluster_size_bytes;
  const std::uint64_t share = workload_.name == "groups" ? 2 : 5;
  const std::uint64_t most = std::max<std::uint64_t>(1, disk_options_.size_bytes / cluster / share);
  model->number = next_replica_++;
  model->uuid = env_->random_uuid();
  model->name = "replica" + std::to_string(model->number);
  model->thin = random.chance(60);
  const auto asked = random.between(1, most) * cluster - random.below(cluster / 4096) * 4096;
  model->size_bytes = (asked + cluster - 1) / cluster * cluster;
  model->sizes = {model->size_bytes};
  model->oracle = SectorOracle(model->number, model->size_bytes / kSector);
  storage::ReplicaOptions options{model->name, model->uuid, asked, model->thin, std::nullopt};
  if (random.chance(30)) {
    options.entity_id = "entity-" + std::to_string(model->number);
    model->attributes["entity_id"] = {*options.entity_id};
  }
  models_.push_back(model);
  const auto life = life_;
  note("create ", model->name, model->thin ? " thin " : " thick ", asked);
  const auto replica = co_await pool_->create_replica(options);
  if (!env_->powered()) co_return;  // it stays kCreating: may or may not exist
  if (replica) {
    model->stage = Stage::kLive;
    ++result_.created;
    if ((*replica)->size_bytes() != model->size_bytes || (*replica)->thin() != model->thin) {
      fail(model->name + " was created with another size or kind than asked for");
    }
    co_return;
  }
  if (excused(life)) co_return;
  model->stage = Stage::kGone;
  if (replica.error().code != Code::kResourceExhausted) {
    fail("create " + model->name + ": " + replica.error().text());
  }
}

core::Task<void> PoolSim::destroy(std::shared_ptr<Model> model) {
  if (model->managing) co_return;
  model->managing = true;
  model->stage = Stage::kDestroying;
  const auto life = life_;
  note("destroy ", model->name);
  const auto result = co_await pool_->destroy_replica(model->uuid);
  model->managing = false;
  if (result && env_->powered()) {
    model->stage = Stage::kGone;
    ++result_.destroyed;
  } else if (!result && !excused(life)) {
    fail("destroy " + model->name + ": " + result.error().text());
  }
}

core::Task<void> PoolSim::set_attribute(std::shared_ptr<Model> model) {
  if (model->managing) co_return;
  auto& random = world_.random();
  model->managing = true;
  const std::string key = kKeys[random.below(std::size(kKeys))];
  std::string value = "v" + std::to_string(next_value_++);
  value.resize(value.size() + (random.chance(15) ? random.below(3000) : random.below(40)), 'x');
  auto& values = model->attributes[key];
  if (values.empty()) values.emplace_back();
  values.push_back(value);
  const auto life = life_;
  note("attribute ", key, " of ", model->name, ", ", value.size(), " bytes");
  const auto result = co_await pool_->set_attribute(model->uuid, key, value + '\0');
  model->managing = false;
  if (!env_->powered()) co_return;
  if (result) {
    model->attributes[key] = {value};
    model->tentative = false;  // durable, and so is the replica then
  } else if (!excused(life)) {
    model->attributes[key].pop_back();
    if (result.error().code != Code::kResourceExhausted) {
      fail("set " + key + " of " + model->name + ": " + result.error().text());
    }
  }
}

void PoolSim::decide_size(Model& model, std::uint64_t size_bytes) {
  model.sizes = {size_bytes};
  model.size_bytes = size_bytes;
  model.oracle.resize(size_bytes / kSector);
}

core::Task<void> PoolSim::resize(std::shared_ptr<Model> model) {
  if (model->managing || model->sizes.size() > 1) co_return;
  auto& random = world_.random();
  const std::uint64_t cluster = pool_options_.cluster_size_bytes;
  const std::uint64_t before = model->size_bytes;
  const std::uint64_t most = std::max<std::uint64_t>(2, disk_options_.size_bytes / cluster / 3);
  const std::uint64_t near = before / cluster + random.between(1, 5);
  const std::uint64_t clusters =
      random.chance(50) ? random.between(1, most) : near - std::min<std::uint64_t>(near - 1, 3);
  const std::uint64_t wanted = clusters * cluster;
  model->managing = true;
  model->sizes = {before, wanted};
  model->size_bytes = std::min(before, wanted);
  const auto life = life_;
  note("resize ", model->name, " from ", before, " to ", wanted);
  const auto result = co_await pool_->resize_replica(model->uuid, wanted);
  model->managing = false;
  if (!env_->powered()) co_return;  // it has one size or the other
  if (result) {
    decide_size(*model, wanted);
    model->tentative = false;
    ++result_.resized;
  } else if (!excused(life)) {
    decide_size(*model, before);
    if (result.error().code != Code::kResourceExhausted)
      fail("resize " + model->name + ": " + result.error().text());
    else
      ++result_.refused_full;
  }
}

// The disk becomes larger, what is new on it is somebody's old data, and the pool takes it.
core::Task<void> PoolSim::grow() {
  const std::uint64_t size = disk_->size();
  if (size >= 2 * disk_options_.size_bytes) co_return;
  const std::uint64_t grown = size + world_.random().between(1, 64) * 16384;
  disk_->grow(grown);
  fill_disk(size);
  const auto life = life_;
  note("grow the disk to ", grown);
  auto result = co_await device_->rescan();
  if (result) result = co_await pool_->grow();
  if (!env_->powered()) co_return;
  if (result) {
    if (*result) ++result_.grown;
    capacity_bytes_ = std::max(capacity_bytes_, pool_->info().capacity_bytes);
  } else if (!excused(life) && result.error().code != Code::kResourceExhausted) {
    fail("grow: " + result.error().text());
  }
}

core::Task<void> PoolSim::change(std::shared_ptr<Model> model, Change kind) {
  const auto replica = pool_->find(model->uuid);
  if (!replica) {
    if (!excused(life_)) fail(model->name + " is not in the list of the pool");
    co_return;
  }
  const auto range = pick_range(*model);
  if (!range) co_return;
  const std::uint64_t offset = range->first * kSector, length = range->count * kSector;
  const Value value = kind == Change::kWrite ? next_value_++ : 0;
  core::Buffer buffer(kind == Change::kWrite ? length : 0);
  for (std::uint64_t i = 0; i < buffer.size() / kSector; ++i) {
    fill_sector(buffer.bytes().subspan(i * kSector, kSector), model->number, range->first + i,
                value);
  }
  const char* what = kind == Change::kWrite ? "write" : kind == Change::kZeroes ? "zero" : "unmap";
  note(what, " ", value, " to ", model->name, " sectors ", range->first, "+", range->count);
  const auto life = life_;
  const auto change =
      model->oracle.begin(range->first, range->count, value, kind == Change::kUnmap);
  Result<void> result;
  switch (kind) {
    case Change::kWrite: result = co_await replica->write(offset, buffer.view()); break;
    case Change::kZeroes: result = co_await replica->write_zeroes(offset, length); break;
    case Change::kUnmap: result = co_await replica->unmap(offset, length); break;
  }
  ++result_.writes;
  // A failed one stays in the history as possible; without power nobody was told anything.
  if (env_->powered()) model->oracle.end(change, result.has_value());
  std::erase_if(model->busy, [&](const Busy& busy) { return busy.first == range->first; });
  if (kind == Change::kUnmap && !disk_options_.discard && !result &&
      result.error().code == Code::kUnimplemented) {
    co_return;  // as the replica says with supports_unmap()
  }
  settle(*model, result, life, what);
}

core::Task<void> PoolSim::read(std::shared_ptr<Model> model) {
  const auto replica = pool_->find(model->uuid);
  if (!replica) co_return;
  const auto range = pick_range(*model);
  if (!range) co_return;
  core::Buffer buffer(range->count * kSector);
  const auto life = life_;
  const auto result = co_await replica->read(range->first * kSector, buffer.bytes());
  std::erase_if(model->busy, [&](const Busy& busy) { return busy.first == range->first; });
  if (result && env_->powered()) {
    const auto wrong = model->oracle.check(range->first, buffer.view());
    if (!wrong.empty() && !excused(life) && model->stage == Stage::kLive) fail("read: " + wrong);
  }
  settle(*model, result, life, "read");
}

core::Task<void> PoolSim::flush(std::shared_ptr<Model> model) {
  const auto replica = pool_->find(model->uuid);
  if (!replica) co_return;
  const auto life = life_;
  const auto begun = model->oracle.flush_begins();
  const auto result = co_await replica->flush();
  ++result_.flushes;
  note("flushed ", model->name);
  if (result && env_->powered()) {
    model->oracle.flush_ended(begun);
    model->tentative = false;
    if (!faulty_ && !model->managing) decide_size(*model, replica->size_bytes());
  }
  settle(*model, result, life, "flush");
}

}  // namespace capstan::sim
