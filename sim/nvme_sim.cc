// Why this file exists: the life of the node that serves, and what happens to it and to the
// network.
#include "sim/nvme_sim.h"

#include <cstdio>
#include <sstream>

#include "core/buffer.h"
#include "core/log_sinks.h"

namespace capstan::sim {

namespace nvme = storage::nvme;

namespace {

constexpr const char* kDisk = "/dev/disk0";
constexpr const char* kLockFile = "/ptpl/locks.json";
constexpr char kNqn[] = "nqn.2019-05.io.openebs:sim";
constexpr std::uint16_t kPorts[] = {8420, 4421};
constexpr core::Nanos kLook = core::kMillisecond;  // how often somebody looks at the node
constexpr std::uint32_t kReplica = 1;

using core::NoLog;

Uuid uuid_of(const char* name) {
  return Uuid::from_name(name);
}

}  // namespace

NvmeSim::NvmeSim(NvmeSimOptions options)
    : options_(options),
      world_(options.seed),
      env_(std::make_unique<core::SimEnv>(world_)),
      sink_(std::make_unique<NoLog>()),
      log_(std::make_unique<core::Log>(
          *sink_, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
          nullptr)) {
  configure();
}

NvmeSim::~NvmeSim() {
  target_.reset();
  pool_.reset();
  device_.reset();
}

void NvmeSim::configure() {
  auto& random = world_.random();
  disk_options_.size_bytes = random.between(4, 8) << 20;
  disk_options_.block_bytes = random.chance(25) ? 4096 : 512;
  disk_options_.physical_block_bytes = random.chance(50) ? 4096 : 512;
  disk_options_.volatile_cache = !random.chance(10);
  disk_options_.discard = !random.chance(10);
  disk_options_.lying_sync = options_.lying_disk;
  const std::uint32_t clusters[] = {16U << 10, 32U << 10, 64U << 10};
  pool_options_.cluster_size_bytes = clusters[random.below(3)];
  pool_options_.cluster_unmap = random.chance(50);
  disk_ = &env_->add_disk(kDisk, disk_options_);
  generations_ = static_cast<unsigned>(random.between(2, 5));
  auto& network = world_.network().options();
  network.max_latency = random.chance(30) ? 20 * core::kMillisecond : 500'000;
  network.window_bytes = random.chance(30) ? 4096 : 64U << 10;
  const unsigned hosts = static_cast<unsigned>(random.between(2, 3));
  for (unsigned i = 0; i < hosts; ++i) {
    Host& host = hosts_.emplace_back();
    host.env = std::make_unique<core::SimEnv>(world_);
    host.initiator = std::make_unique<nvme::Initiator>(*host.env, *log_);
    host.number = i;
    host.paths = random.chance(40) ? 2 : 1;
    nvme::HostOptions& options = host.options;
    options.subsystem = kNqn;
    options.host = "nqn.2014-08.org.example:host" + std::to_string(i);
    options.host_id = nvme::host_id_of(uuid_of(options.host.c_str()));
    options.digests = {random.chance(25), random.chance(25)};
    options.flow_control = !random.chance(30);
    options.io_queues = static_cast<std::uint16_t>(random.between(1, 3));
    options.queue_entries = random.chance(30) ? 4 : 128;
    options.keep_alive_ms = 10'000;
    options.io_timeout = random.between(2, 30) * core::kSecond;
    options.timeout_action =
        random.chance(50) ? nvme::TimeoutAction::kAbort : nvme::TimeoutAction::kReset;
    options.reconnect_delay = random.between(1, 3) * core::kSecond;
    options.ctrl_loss = nvme::HostOptions::kForever;
    options.fast_io_fail = 0;
    options.retries = UINT32_MAX;
  }
  result_.story = "disk blocks " + std::to_string(disk_options_.block_bytes) + "/" +
                  std::to_string(disk_options_.physical_block_bytes) +
                  (disk_options_.volatile_cache ? "" : ", no cache") + ", " +
                  std::to_string(hosts) + " hosts, " + std::to_string(generations_) +
                  " generations, latency up to " + std::to_string(network.max_latency / 1000) +
                  " us";
}

void NvmeSim::fail(std::string text) {
  if (failure_.empty()) failure_ = std::move(text);
}

void NvmeSim::tell(const std::string& text) const {
  std::printf("%10.3f ms  %s\n",
              static_cast<double>(const_cast<core::SimWorld&>(world_).reactor().read_clock() -
                                  core::kSecond) /
                  1e6,
              text.c_str());
  std::fflush(stdout);
}

NvmeSimResult NvmeSim::run() {
  note(result_.story);
  world_.run(story());
  result_.failure = failure_;
  result_.trace_hash = world_.trace_hash();
  return std::move(result_);
}

core::Task<void> NvmeSim::story() {
  for (Host& each : hosts_) workers_.spawn(host(&each));
  breakers_.spawn(breaker());
  for (unsigned number = 0; number < generations_ && failure_.empty(); ++number) {
    co_await generation(number, number + 1 == generations_);
  }
  calm_ = ending_ = true;
  listening_.set();
  breakers_.cancel();
  co_await breakers_.join();
  if (!failure_.empty()) {  // nobody waits for what will not come
    for (Host& each : hosts_) {
      if (each.data) each.data->give_up();
      if (each.locks) each.locks->give_up();
    }
  }
  co_await workers_.join();
  for (Host& each : hosts_) {
    each.data.reset();
    each.locks.reset();
    co_await each.initiator->shutdown();
  }
  co_await stop(failure_.empty());
}

core::Task<void> NvmeSim::generation(unsigned number, bool last) {
  auto& random = world_.random();
  note("generation ", number, last ? ", the last one" : "");
  const End wanted = static_cast<End>(random.below(3));
  env_->cut_power_after(0);
  if (!last && wanted != End::kOrder) {
    const std::uint64_t ios = random.between(1, random.chance(30) ? 60 : 1500);
    wanted == End::kKill ? env_->kill_after(ios) : env_->cut_power_after(ios);
  }
  looked_ = false;
  const bool started = co_await start();
  if (started) co_await live(random.between(100, 4000) * core::kMillisecond);
  if (last) {
    if (started) co_await finish();
    co_return;
  }
  if (!failure_.empty()) co_return;
  const bool in_order = wanted == End::kOrder && env_->powered();
  if (!in_order && env_->powered()) wanted == End::kKill ? env_->kill() : env_->power_cut();
  // What a power cut took is known once all has been looked at: a kill before that changes nothing.
  if (end_ != End::kPower || looked_) end_ = wanted;
  note(in_order ? "restarts in order" : wanted == End::kKill ? "is killed" : "power is off");
  ++(in_order ? result_.restarts : wanted == End::kKill ? result_.kills : result_.cuts);
  // What was on its way when the power failed has arrived, or never will.
  if (!in_order) {
    world_.network().heal_all();
    (void)co_await core::sleep_for(2 * core::kSecond);
  }
  co_await stop(in_order);
  if (!env_->powered()) env_->power_on();
}

// --- start and stop ------------------------------------------------------------------------------

core::Task<bool> NvmeSim::open_pool() {
  storage::FileDeviceOptions options;
  options.path = kDisk;
  auto device = co_await storage::FileDevice::open(*env_, options);
  if (!device) co_return false;
  device_ = *device;
  if (pool_made_) {
    auto pool = co_await storage::Pool::load(*env_, device_, pool_options_);
    if (!pool && env_->powered()) fail("the pool cannot be loaded: " + pool.error().text());
    if (!pool) co_return false;
    pool_ = *std::move(pool);
    for (const char* name : {"data", "locks"}) {
      if (!pool_->find(uuid_of(name))) fail(std::string("replica '") + name + "' is gone");
    }
    co_return failure_.empty();
  }
  // Whatever an interrupted beginning left is begun again.
  auto again = pool_options_;
  again.force = true;
  auto pool = co_await storage::Pool::create(*env_, device_, "pool0", uuid_of("pool0"), again);
  if (!pool && env_->powered() && pool.error().code == Code::kAlreadyExists) {
    pool = co_await storage::Pool::load(*env_, device_, pool_options_);
  }
  if (!pool && env_->powered()) fail("the pool cannot be created: " + pool.error().text());
  if (!pool) co_return false;
  pool_ = *std::move(pool);
  for (const char* name : {"data", "locks"}) {
    if (pool_->find(uuid_of(name))) continue;
    storage::ReplicaOptions replica{name, uuid_of(name), pool_options_.cluster_size_bytes * 8ULL,
                                    world_.random().chance(60), std::nullopt};
    const auto made = co_await pool_->create_replica(replica);
    if (!made && env_->powered()) fail("no replica: " + made.error().text());
    if (!made) co_return false;
  }
  const auto flushed = co_await device_->flush();
  if (!flushed || !env_->powered()) co_return false;
  pool_made_ = true;
  size_bytes_ = pool_->find(uuid_of("data"))->size_bytes();
  oracle_ = std::make_unique<SectorOracle>(kReplica, size_bytes_ / kSector);
  co_return true;
}

core::Task<bool> NvmeSim::start() {
  if (!co_await open_pool()) co_return false;
  if (!co_await check_survivors()) co_return false;
  co_return co_await serve();
}

// What hosts have in flight is known as changes that may happen yet, or have.
void NvmeSim::begin_again(Request& request) {
  request.change = oracle_->begin(request.first, request.count, request.value, request.maybe);
}

core::Task<bool> NvmeSim::check_survivors() {
  const bool cut = end_ == End::kPower;
  if (!co_await check_content(cut)) co_return false;
  for (Request* request : requests_) {
    if (request->changes) begin_again(*request);
  }
  looked_ = true;
  co_return true;
}

core::Task<bool> NvmeSim::check_content(bool cut) {
  const auto replica = pool_->find(uuid_of("data"));
  core::Buffer content(64U << 10);
  for (std::uint64_t at = 0; at < size_bytes_; at += content.size()) {
    const auto part =
        content.bytes().first(std::min<std::uint64_t>(content.size(), size_bytes_ - at));
    const auto result = co_await replica->read(at, part);
    if (!env_->powered()) break;
    if (!result) fail("the replica cannot be read: " + result.error().text());
    std::string wrong;
    if (!cut) {
      oracle_->process_killed();  // hosts go on asking meanwhile, and nothing of that is done
      wrong = oracle_->check(at / kSector, part);
    }
    for (std::uint64_t i = 0; cut && wrong.empty() && i < part.size() / kSector; ++i) {
      wrong = oracle_->check_survivor(at / kSector + i, part.subspan(i * kSector, kSector));
    }
    if (!wrong.empty()) fail((calm_ ? "at the end: " : "after the start: ") + wrong);
    if (!failure_.empty()) co_return false;
  }
  co_return env_->powered();
}

core::Task<bool> NvmeSim::serve() {
  target_ = std::make_unique<nvme::Target>(*env_, *log_);
  auto subsystem = target_->add({.nqn = kNqn, .any_host = true});
  CAPSTAN_ASSERT(subsystem);
  for (const char* name : {"data", "locks"}) {
    const auto replica = pool_->find(uuid_of(name));
    nvme::NamespaceOptions space;
    if (name == std::string_view("locks") && !options_.forget_ptpl) {
      space.reservations = {&env_->files(), kLockFile, replica->uuid()};
    }
    const auto added = (*subsystem)->add_namespace(replica, std::move(space));
    CAPSTAN_ASSERT(added);
  }
  for (const std::uint16_t port : kPorts) {
    if (!target_->listen(core::Address::tcp(env_->address(), port))) {
      if (env_->powered()) fail("the node cannot listen");
      co_return false;
    }
  }
  note("listens");
  ++life_;
  listening_.set();
  co_return true;
}

core::Task<void> NvmeSim::stop(bool in_order) {
  if (target_) co_await target_->shutdown();
  target_.reset();
  if (in_order && pool_) {
    const std::uint64_t begun = oracle_->flush_begins();
    const auto unloaded = co_await pool_->unload();
    if (unloaded) oracle_->flush_ended(begun);
    if (!unloaded && env_->powered()) fail("unload: " + unloaded.error().text());
  } else if (env_->powered()) {
    env_->power_cut();
  }
  pool_.reset();
  device_.reset();
}

// Until the node goes down, or for so long.
core::Task<void> NvmeSim::live(core::Nanos duration) {
  const core::Nanos until = world_.reactor().read_clock() + duration;
  while (env_->powered() && failure_.empty() && world_.reactor().read_clock() < until) {
    (void)co_await core::sleep_for(kLook);
  }
}

// The last generation: everything works again, and the hosts end what they are at.
core::Task<void> NvmeSim::finish() {
  calm_ = ending_ = true;
  breakers_.cancel();
  world_.network().heal_all();
  note("calm");
  core::Nanos patience = 600 * core::kSecond;
  while (workers_.children() != 0 && failure_.empty() && patience != 0) {
    (void)co_await core::sleep_for(core::kMillisecond * 100);
    patience -= core::kMillisecond * 100;
  }
  if (workers_.children() != 0) fail("a host does not come to an end, although nothing breaks");
  if (failure_.empty()) co_await check_content(false);
}

// --- what breaks ---------------------------------------------------------------------------------

core::Task<void> NvmeSim::breaker() {
  auto& random = world_.random();
  const core::CancelToken token = breakers_.token();
  while (co_await core::sleep_for(
      random.between(1, random.chance(20) ? 3000 : 200) * core::kMillisecond, token)) {
    if (!calm_) break_something();
  }
}

void NvmeSim::break_something() {
  auto& random = world_.random();
  auto& network = world_.network();
  auto at = hosts_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random.below(hosts_.size())));
  const std::string& host = at->env->address();
  const bool split = network.partitioned(env_->address(), host);
  if (split && random.chance(70)) {
    if (random.chance(30)) network.reset(env_->address(), host);
    return network.heal(env_->address(), host);
  }
  switch (random.below(4)) {
    case 0: ++result_.breaks; return network.reset(env_->address(), host);
    case 1: ++result_.breaks; return network.reset_next_connection_after(random.between(1, 40'000));
    case 2:
      // The host with the reservation is not cut off: what it asked for could happen much later.
      if (at->number == 0) return;
      ++result_.partitions;
      return network.partition(env_->address(), host);
    default: return;
  }
}

}  // namespace capstan::sim
