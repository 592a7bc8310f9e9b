// Why this file exists: what the hosts of the NVMe simulation do, and what they must see. Ranges
// that a request is at are left alone by all others, so what a sector may hold is known. Each
// request is made once; what has to be repeated is up to the initiator.
#include <algorithm>

#include "core/buffer.h"
#include "sim/nvme_sim.h"

namespace capstan::sim {

namespace nvme = storage::nvme;
namespace action = nvme::reservation_action;

namespace {

constexpr std::uint16_t kPorts[] = {8420, 4421};
constexpr core::Nanos kRetry = 50 * core::kMillisecond;
constexpr unsigned kWorkers = 3;
constexpr unsigned kOperations = 60;  // of one worker
constexpr std::uint64_t kKey = 0xA1;
constexpr std::uint8_t kWriteExclusive = 1, kPersist = 3;

}  // namespace

core::Task<bool> NvmeSim::connect(Host* host) {
  while (!ending_) {
    nvme::HostOptions options = host->options;
    options.address =
        core::Address::tcp(env_->address(), kPorts[host->data ? 1 : world_.random().below(2)]);
    auto path = co_await host->initiator->connect(options);
    if (path && !host->data) {
      auto data = nvme::RemoteDevice::make(*path, 1, "data", Uuid());
      auto locks = nvme::RemoteDevice::make(*path, 2, "locks", Uuid());
      if (!data || !locks) {
        fail("a host does not find its namespaces");
        co_return false;
      }
      host->data = *data;
      host->locks = *locks;
    } else if (path) {
      if (!host->data->add_path(*path) || !host->locks->add_path(*path)) {
        fail("another path shows something else");
      }
      co_return true;
    }
    if (host->data && host->paths == 1) co_return true;
    if (!path) (void)co_await core::sleep_for(kRetry);
  }
  co_return host->data != nullptr;
}

core::Task<void> NvmeSim::host(Host* host) {
  co_await listening_.wait();
  if (!co_await connect(host)) co_return;
  note("host ", host->number, " is connected");
  core::Scope scope;
  for (unsigned i = 0; i < kWorkers; ++i) scope.spawn(worker(host));
  if (host->number == 0) scope.spawn(holder(host));
  if (host->number == 1) scope.spawn(intruder(host));
  co_await scope.join();
  for (const auto& path : host->data->paths()) result_.reconnects += path->reconnects();
}

core::Task<void> NvmeSim::worker(Host* host) {
  for (unsigned i = 0; i < kOperations && !ending_ && failure_.empty(); ++i) {
    co_await operate(host);
    if (world_.random().chance(30)) {
      (void)co_await core::sleep_for(world_.random().between(1, 100) * core::kMillisecond);
    }
  }
}

bool NvmeSim::pick_range(Request& request, std::uint64_t most_blocks) {
  auto& random = world_.random();
  const std::uint64_t block = disk_options_.block_bytes / kSector;
  const std::uint64_t blocks = size_bytes_ / disk_options_.block_bytes;
  const std::uint64_t first =
      random.below(random.chance(50) ? std::min<std::uint64_t>(blocks, 64) : blocks);
  request.first = first * block;
  request.count = std::min(blocks - first, random.between(1, most_blocks)) * block;
  return std::ranges::none_of(requests_, [&](const Request* other) {
    return request.first < other->first + other->count &&
           other->first < request.first + request.count;
  });
}

core::Task<void> NvmeSim::operate(Host* host) {
  const std::uint64_t choice = world_.random().below(100);
  if (choice >= 90) co_return co_await flush(host);
  Request request;
  const bool swaps = choice >= 75 && choice < 90;
  const std::uint64_t many = world_.random().chance(15) ? 300 : 20;  // also more than one command
  if (!pick_range(request, swaps ? 4 : many)) co_return;
  requests_.push_back(&request);
  if (choice < 38) {
    co_await write(host, &request);
  } else if (choice < 43) {
    co_await clear(host, &request, false);
  } else if (choice < 47) {
    co_await clear(host, &request, true);
  } else if (!swaps) {
    co_await read(host, &request);
  } else {
    co_await swap(host, &request);
  }
  requests_.remove(&request);
}

core::Task<void> NvmeSim::write(Host* host, Request* request) {
  core::Buffer data(request->count * kSector);
  request->value = next_value_++;
  request->changes = true;
  for (std::uint64_t i = 0; i < request->count; ++i) {
    fill_sector(data.bytes().subspan(i * kSector, kSector), oracle_->replica(), request->first + i,
                request->value);
  }
  begin_again(*request);
  note("host ", host->number, " writes ", request->value, " to ", request->first, "+",
       request->count);
  const auto done = co_await host->data->write(request->first * kSector, data.view());
  oracle_->end(request->change, done.has_value());
  note("  ", request->value, done ? " is written" : " failed");
  ++result_.writes;
  if (!done) fail("a write failed: " + done.error().text());
}

core::Task<void> NvmeSim::clear(Host* host, Request* request, bool unmap) {
  if (unmap && !host->data->supports_unmap()) co_return;
  request->changes = true;
  request->maybe = unmap;
  begin_again(*request);
  note("host ", host->number, unmap ? " unmaps " : " clears ", request->first, "+", request->count);
  const std::uint64_t at = request->first * kSector, length = request->count * kSector;
  const auto done = unmap ? co_await host->data->unmap(at, length)
                          : co_await host->data->write_zeroes(at, length);
  oracle_->end(request->change, done.has_value());
  if (!done) fail("clearing failed: " + done.error().text());
}

core::Task<void> NvmeSim::read(Host* host, Request* request) {
  core::Buffer data(request->count * kSector);
  const auto done = co_await host->data->read(request->first * kSector, data.bytes());
  ++result_.reads;
  if (!done) co_return fail("a read failed: " + done.error().text());
  const std::string wrong = oracle_->check(request->first, data.view());
  if (!wrong.empty()) fail("host " + std::to_string(host->number) + ": " + wrong);
}

// Compare-and-write of what is there. Zeros are left alone: many writes make them, so a comparison
// would not tell that something came between.
core::Task<void> NvmeSim::swap(Host* host, Request* request) {
  core::Buffer old(request->count * kSector), data(request->count * kSector);
  const unsigned life = life_;
  auto done = co_await host->data->read(request->first * kSector, old.bytes());
  if (!done) co_return fail("a read failed: " + done.error().text());
  const std::string wrong = oracle_->check(request->first, old.view());
  if (!wrong.empty()) co_return fail("host " + std::to_string(host->number) + ": " + wrong);
  if (all_zero(old.view().first(kSector))) co_return;
  request->value = next_value_++;
  request->changes = true;
  for (std::uint64_t i = 0; i < request->count; ++i) {
    fill_sector(data.bytes().subspan(i * kSector, kSector), oracle_->replica(), request->first + i,
                request->value);
  }
  begin_again(*request);
  note("host ", host->number, " swaps ", request->value, " into ", request->first);
  done = co_await host->data->compare_and_write(request->first * kSector, old.view(), data.view());
  oracle_->end(request->change, done.has_value());
  ++(done ? result_.swaps : result_.unknown_swaps);
  note("  ", request->value, done ? " is swapped" : " is not known");
  // What was read may have been lost with the power since.
  const bool differs = !done && done.error().code == Code::kAborted && life != life_;
  if (!done && !differs && done.error().code != Code::kUnavailable) {
    fail("compare-and-write failed: " + done.error().text());
  }
}

core::Task<void> NvmeSim::flush(Host* host) {
  const std::uint64_t begun = oracle_->flush_begins();
  const auto done = co_await host->data->flush();
  ++result_.flushes;
  if (!done) co_return fail("a flush failed: " + done.error().text());
  oracle_->flush_ended(begun);
}

// --- the reservation -----------------------------------------------------------------------------

// Asks until there is an answer, which must be one of what it may be.
core::Task<bool> NvmeSim::look_at_lock(Host* host) {
  const auto report = co_await host->locks->reservations();
  if (!report) {
    fail("no reservation report: " + report.error().text());
    co_return false;
  }
  const bool there = report->find(host->options.host_id) != nullptr;
  const bool held = report->holds(host->options.host_id);
  const Lock seen = held ? Lock::kHeld : there ? Lock::kRegistered : Lock::kNone;
  if (!lock_.contains(seen)) {
    fail("the reservation is " + std::to_string(static_cast<int>(seen)) +
         " and should be one of those that were acknowledged last");
    co_return false;
  }
  if (lock_.size() != 1) ++lock_epoch_;
  lock_ = {seen};
  co_return true;
}

core::Task<bool> NvmeSim::change_lock(Host* host, Lock wanted) {
  const Lock now = *lock_.begin();
  nvme::ReservationCommand command;
  std::uint8_t code = nvme::opcode::kReservationRegister;
  if (wanted == Lock::kNone) {
    command = {.action = action::kUnregister, .key = kKey};
  } else if (now == Lock::kNone) {
    command = {.action = action::kRegister, .persist = kPersist, .new_key = kKey};
  } else if (wanted == Lock::kHeld) {
    code = nvme::opcode::kReservationAcquire;
    command = {.action = action::kAcquire, .type = kWriteExclusive, .key = kKey};
  } else {
    code = nvme::opcode::kReservationRelease;
    command = {.action = action::kRelease, .type = kWriteExclusive, .key = kKey};
  }
  lock_.insert(wanted);
  ++lock_epoch_;
  note("reservation ", static_cast<int>(now), " to ", static_cast<int>(wanted));
  const auto done = co_await host->locks->reserve(code, command);
  ++lock_epoch_;
  if (done) {
    ++result_.reservations;
    lock_ = {wanted};
    co_return true;
  }
  if (done.error().code != Code::kUnavailable) {
    fail("a reservation command failed: " + done.error().text());
    co_return false;
  }
  co_return co_await look_at_lock(host);
}

core::Task<void> NvmeSim::holder(Host* host) {
  for (unsigned i = 0; i < kOperations / 2 && !ending_ && failure_.empty(); ++i) {
    if (!co_await look_at_lock(host)) co_return;
    const Lock now = *lock_.begin();
    Lock wanted = Lock::kRegistered;
    if (now == Lock::kRegistered) wanted = world_.random().chance(70) ? Lock::kHeld : Lock::kNone;
    if (now == Lock::kHeld) wanted = world_.random().chance(70) ? Lock::kRegistered : Lock::kNone;
    if (!co_await change_lock(host, wanted)) co_return;
    (void)co_await core::sleep_for(world_.random().between(1, 300) * core::kMillisecond);
  }
}

core::Task<void> NvmeSim::intruder(Host* host) {
  core::Buffer data = core::Buffer::zeroed(disk_options_.block_bytes);
  for (unsigned i = 0; i < kOperations && !ending_ && failure_.empty(); ++i) {
    const std::uint64_t epoch = lock_epoch_;
    const std::set<Lock> before = lock_;
    const auto done = co_await host->locks->write(0, data.view());
    const bool conflict = !done && done.error().sys_errno == EBUSY;
    if (!done && !conflict) co_return fail("a write failed: " + done.error().text());
    result_.conflicts += conflict;
    if (epoch == lock_epoch_ && before.size() == 1 &&
        conflict != (*before.begin() == Lock::kHeld)) {
      co_return fail(conflict ? "a write was refused although nothing was reserved"
                              : "a write went through a reservation of another host");
    }
    (void)co_await core::sleep_for(world_.random().between(1, 100) * core::kMillisecond);
  }
}

}  // namespace capstan::sim
