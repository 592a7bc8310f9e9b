// Why this file exists: see kv_sim.h.
#include "sim/kv_sim.h"

#include <algorithm>
#include <cstdio>

namespace capstan::sim {

using storage::kv::Change;
using storage::kv::Durability;
using storage::kv::Store;

namespace {
constexpr unsigned kGenerations = 4, kKeysPerWorker = 6;
constexpr const char* kPath = "/data/store";
}  // namespace

KvSim::KvSim(KvSimOptions options) : options_(options), world_(options.seed) {
  auto& random = world_.random();
  env_ = std::make_unique<core::SimEnv>(world_);
  store_options_.map_bytes = 1U << 20;
  store_options_.keep_torn = random.chance(50);
  store_options_.interval = random.between(1, 50) * core::kMillisecond;
  switch (random.below(4)) {
    case 0: store_options_.durability = Durability::kNone; break;
    case 1: store_options_.durability = Durability::kInterval; break;
    default: store_options_.durability = Durability::kEach; break;
  }
  synced_each_ = store_options_.durability == Durability::kEach;
  if (options_.forget_syncs) {
    synced_each_ = true;
    store_options_.durability = Durability::kNone;
  }
  workers_ = static_cast<unsigned>(random.between(1, 4));
  for (unsigned i = 0; i < workers_ * kKeysPerWorker; ++i) {
    keys_.push_back({"key" + std::to_string(i), {std::nullopt}, 0, 0, i % workers_});
  }
}

KvSim::~KvSim() = default;

void KvSim::fail(std::string text) {
  if (failure_.empty()) failure_ = std::move(text);
}

void KvSim::note(const std::string& text) const {
  if (!options_.verbose) return;
  std::printf("I/O %6llu  %s\n", static_cast<unsigned long long>(env_->io_count()), text.c_str());
}

KvSimResult KvSim::run() {
  for (unsigned generation = 0; generation < kGenerations && failure_.empty(); ++generation) {
    world_.run(live(generation));
    if (generation == 0) result_.first_generation_ios = env_->io_count();
    if (options_.cut_at && generation == 1) break;
  }
  result_.failure = failure_;
  result_.trace_hash = world_.trace_hash();
  return result_;
}

core::Task<bool> KvSim::open() {
  (void)co_await env_->files().make_directories("/data");
  auto opened = co_await Store::open(*env_, kPath, store_options_);
  if (!opened) {
    if (env_->powered()) fail("open: " + opened.error().text());
    co_return false;
  }
  store_ = *std::move(opened);
  note("open: tail " + std::to_string(store_->file_size()) + ", torn " +
       std::to_string(store_->stats().torn_bytes) + ", durability " +
       std::to_string(static_cast<int>(store_options_.durability)));
  result_.torn += store_->stats().torn_bytes != 0;
  result_.repaired += static_cast<unsigned>(store_->stats().repaired_values);
  co_return true;
}

core::Task<void> KvSim::live(unsigned generation) {
  auto& random = world_.random();
  const bool last = generation + 1 == kGenerations || (options_.cut_at && generation == 1);
  bool kill = random.chance(30);
  if (generation == 0 && options_.cut_at) {
    kill = options_.kill;
    kill ? env_->kill_after(*options_.cut_at) : env_->cut_power_after(*options_.cut_at);
  } else if (!last) {
    const auto ios = random.between(1, 120);
    kill ? env_->kill_after(ios) : env_->cut_power_after(ios);
  }
  if (co_await open()) {
    core::Scope scope;
    for (unsigned i = 0; i < workers_; ++i) {
      scope.spawn(worker(i, static_cast<unsigned>(random.between(5, 40))));
    }
    co_await scope.join();
  }
  if (env_->powered() && !last) kill ? env_->kill() : env_->power_cut();
  if (store_) (void)co_await store_->close();
  store_.reset();
  if (last || !failure_.empty()) co_return;
  ++(kill ? result_.kills : result_.cuts);
  note(kill ? "killed" : "power cut");
  env_->power_on();
  if (co_await open()) {
    check_survivors(kill);
    co_await forget_damaged();
    if (co_await store_->sync()) all_durable();  // what a kill left is in the cache only
    (void)co_await store_->close();
    store_.reset();
  }
}

// --- operations --------------------------------------------------------------------------------

core::Task<void> KvSim::worker(unsigned number, unsigned operations) {
  for (unsigned i = 0; i < operations && !stopped(); ++i) co_await operate(number);
}

KvSim::Key* KvSim::pick(unsigned owner) {
  return &keys_[world_.random().below(kKeysPerWorker) * workers_ + owner];
}

core::Task<void> KvSim::operate(unsigned number) {
  Key* const key = pick(number);
  Key* const other = pick(number);
  switch (world_.random().below(20)) {
    case 0: co_await compact(); break;
    case 1: co_await sync(); break;
    case 2:
    case 3: co_await erase(key); break;
    case 4:
    case 5: co_await stream(key); break;
    case 6:
    case 7:
      if (key != other) co_await rename(key, other);
      break;
    case 8:
    case 9:
    case 10:
      if (key != other) co_await batch(key, other);
      break;
    default: co_await write(key); break;
  }
  if (!stopped()) check_reads(*key);
}

std::string KvSim::make_value() {
  auto& random = world_.random();
  std::string value = "value" + std::to_string(++next_value_) + ":";
  const std::size_t size = random.chance(20) ? random.between(500, 9000) : random.below(300);
  for (std::size_t i = 0; i < size; ++i) {
    value += static_cast<char>('a' + (next_value_ + i) % 26);
  }
  return value;
}

void KvSim::settle(std::initializer_list<Key*> keys, const Result<std::uint64_t>& result,
                   const char* what) {
  for (Key* key : keys) {
    note(std::string(what) + " " + key->name +
         (result ? " → " + std::to_string(*result) : " failed"));
  }
  if (!result) {
    if (env_->powered()) fail(std::string(what) + ": " + result.error().text());
    return;
  }
  for (Key* key : keys) {
    key->acknowledged = key->states.size() - 1;
    if (synced_each_) key->durable = key->acknowledged;
  }
}

core::Task<void> KvSim::write(Key* key) {
  const std::string value = make_value();
  key->states.emplace_back(value);
  ++result_.writes;
  settle({key}, co_await store_->write(as_bytes(key->name), as_bytes(value)), "write");
}

core::Task<void> KvSim::stream(Key* key) {
  const std::string value = make_value();
  auto stream = store_->stream(as_bytes(key->name));
  for (std::size_t at = 0; at < value.size(); at += 1000) {
    const auto appended = co_await stream.append(
        as_bytes(value).subspan(at, std::min<std::size_t>(1000, value.size() - at)));
    if (!appended) co_return;
  }
  key->states.emplace_back(value);
  settle({key}, co_await stream.commit(), "stream");
}

core::Task<void> KvSim::erase(Key* key) {
  key->states.emplace_back(std::nullopt);
  settle({key}, co_await store_->erase(as_bytes(key->name)), "delete");
}

core::Task<void> KvSim::batch(Key* first, Key* second) {
  const std::string value = make_value();
  const Change changes[] = {Change::put(as_bytes(first->name), as_bytes(value)),
                            Change::erase(as_bytes(second->name))};
  first->states.emplace_back(value);
  second->states.emplace_back(std::nullopt);
  settle({first, second}, co_await store_->apply(changes), "batch");
}

core::Task<void> KvSim::rename(Key* from, Key* to) {
  const auto value = from->states[from->acknowledged];
  if (!value) co_return;
  to->states.push_back(value);
  from->states.emplace_back(std::nullopt);
  renames_.push_back({from, to, from->states.size() - 1, to->states.size() - 1});
  settle({from, to}, co_await store_->rename(as_bytes(from->name), as_bytes(to->name)), "rename");
}

core::Task<void> KvSim::compact() {
  std::vector<std::size_t> before;
  for (const auto& key : keys_) before.push_back(key.acknowledged);
  const auto done = co_await store_->compact();
  if (!done) {
    if (env_->powered() && done.error().code != Code::kFailedPrecondition) {
      fail("compact: " + done.error().text());
    }
    co_return;
  }
  ++result_.compactions;
  note("compact → " + std::to_string(done->bytes_after));
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    keys_[i].durable = std::max(keys_[i].durable, before[i]);
  }
}

core::Task<void> KvSim::sync() {
  std::vector<std::size_t> before;
  for (const auto& key : keys_) before.push_back(key.acknowledged);
  const auto done = co_await store_->sync();
  if (!done) {
    if (env_->powered()) fail("sync: " + done.error().text());
    co_return;
  }
  note("sync");
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    keys_[i].durable = std::max(keys_[i].durable, before[i]);
  }
}

// --- checks ------------------------------------------------------------------------------------

// While nothing of this key is in flight it reads as acknowledged.
void KvSim::check_reads(Key& key) {
  const auto& expected = key.states[key.acknowledged];
  const auto value = store_->find(as_bytes(key.name));
  if (value.has_value() != expected.has_value() ||
      (value && as_text(value->bytes()) != *expected)) {
    fail("key " + key.name + " does not read as acknowledged");
  }
}

void KvSim::check_key(Key& key, bool killed) {
  const std::size_t from = killed ? key.acknowledged : key.durable;
  const auto value = store_->find(as_bytes(key.name));
  std::optional<std::string> got;
  if (value) got = std::string(as_text(value->bytes()));
  for (std::size_t i = from; i < key.states.size(); ++i) {
    if (key.states[i] == got) {
      key.states = {got};
      key.durable = key.acknowledged = 0;
      return;
    }
  }
  // A first write that was torn in the middle of a group is kept as a damaged value.
  bool may_be_damaged = false;
  for (std::size_t i = from; i + 1 < key.states.size(); ++i) {
    may_be_damaged = may_be_damaged || !key.states[i];
  }
  if (value && !value->checksum_right() && may_be_damaged) {
    key.damaged = true;
    return;
  }
  fail("key " + key.name + " has " + (got ? "'" + got->substr(0, 20) + "…'" : "no value") +
       (value && !value->checksum_right() ? " (damaged)" : "") + " after " +
       (killed ? "a kill" : "a power cut") + "; acknowledged was " +
       (key.states[key.acknowledged] ? "'" + key.states[key.acknowledged]->substr(0, 20) + "…'"
                                     : "no value") +
       ", " + std::to_string(key.states.size() - from) + " states are possible");
}

// Durable before it was renamed and last seen there: it must not get lost between the names.
void KvSim::check_renames() {
  for (const auto& rename : std::exchange(renames_, {})) {
    const Key& from = *rename.from;
    if (from.states.size() != rename.from_state + 1 || from.durable + 1 < rename.from_state) {
      continue;
    }
    if (store_->exists(as_bytes(from.name))) continue;
    const Key& to = *rename.to;
    const auto value = store_->find(as_bytes(to.name));
    bool right = false;
    for (std::size_t i = rename.to_state; i < to.states.size(); ++i) {
      right = right || (value ? to.states[i] == std::string(as_text(value->bytes()))
                              : !to.states[i].has_value());
    }
    if (!right) fail("the value of " + from.name + " was lost on its way to " + to.name);
    ++result_.renames;
  }
}

// Nothing is promised about a damaged value, so the story goes on without it.
core::Task<void> KvSim::forget_damaged() {
  for (auto& key : keys_) {
    if (!key.damaged) continue;
    if (!co_await store_->erase(as_bytes(key.name))) fail("a damaged value cannot be deleted");
    key.states = {std::nullopt};
    key.durable = key.acknowledged = 0;
    key.damaged = false;
  }
}

void KvSim::check_survivors(bool killed) {
  check_renames();
  for (auto& key : keys_) check_key(key, killed);
  std::uint64_t count = 0;
  for (const auto& key : keys_) count += key.damaged || key.states[0].has_value();
  const bool right = killed ? store_->len() == count : store_->len() >= count;
  if (failure_.empty() && !right) {
    fail("the store counts " + std::to_string(store_->len()) + " keys, there are " +
         std::to_string(count));
  }
  auto cursor = store_->iterate();
  std::uint64_t walked = 0;
  while (cursor.next()) ++walked;
  if (walked != store_->len()) fail("iteration and length disagree");
}

void KvSim::all_durable() {
  for (auto& key : keys_) key.durable = key.acknowledged;
}

}  // namespace capstan::sim
