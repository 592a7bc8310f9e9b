// Why this file exists: the operations of sim_disk.h. Every one of them goes through perform(),
// which counts it, lets virtual time pass, and notices when the power failed meanwhile.
#include "core/sim_disk.h"

#include <algorithm>

#include "core/os_map.h"
#include "core/sim_env.h"
#include "core/sim_files.h"

namespace capstan::core {

Result<void> SimPower::check(std::uint64_t epoch, const std::string& object) const {
  if (on_ && epoch == epoch_) return {};
  const char* why = on_ ? "the power was cut since it was opened; open it again" : "power is off";
  return fail(Code::kInternal, "'" + object + "': " + why, EIO);
}

// One operation between its start and its completion, in the list of the disk.
struct SimDisk::InFlight {
  InFlight(SimDisk& owner, Operation what, std::uint64_t at, std::uint64_t count, ByteView bytes)
      : disk(owner), operation(what), offset(at), length(count), data(bytes) {
    disk.in_flight_.push_back(this);
  }
  ~InFlight() { std::erase(disk.in_flight_, this); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  std::vector<SimChange> changes() {
    switch (operation) {
      case Operation::kRead:
      case Operation::kSync: return {};
      case Operation::kDeallocate: return disk.deallocation(offset, length);
      case Operation::kWrite:
        return {SimChange{SimChange::Kind::kWrite, offset, length, {data.begin(), data.end()}}};
      case Operation::kZero: return {SimChange{SimChange::Kind::kZero, offset, length, {}}};
      case Operation::kResize: return {SimChange{SimChange::Kind::kResize, 0, length, {}}};
    }
    return {};
  }

  SimDisk& disk;
  Operation operation;
  std::uint64_t offset, length;
  ByteView data;
  bool lost = false;  // the power failed meanwhile
};

// The content of a file in pages of its own, which follow every completed change.
class SimFileMap final : public FileMap {
 public:
  SimFileMap(std::shared_ptr<SimDisk> disk, SimMedia& media, MemoryMap memory)
      : FileMap(memory.data(), memory.size()),
        disk_(std::move(disk)),
        media_(media),
        memory_(std::move(memory)) {
    media_.add_mirror(MutableBytes(memory_.writable(), memory_.size()));
  }
  ~SimFileMap() override { media_.remove_mirror(memory_.data()); }

 private:
  std::shared_ptr<SimDisk> disk_;
  SimMedia& media_;
  MemoryMap memory_;
};

class SimDiskFile final : public File, public BlockNode {
 public:
  SimDiskFile(SimDisk& disk, OpenOptions options, std::shared_ptr<SimDisk> self)
      : keep_(std::move(self)), disk_(disk), options_(options), epoch_(disk.power_.epoch()) {
    ++disk_.opens_;
    ++disk_.live_opens_;
    update();
  }
  ~SimDiskFile() override {
    --disk_.opens_;
    if (epoch_ == disk_.power_.epoch()) --disk_.live_opens_;
  }

  const FileInfo& info() const override { return info_; }
  std::optional<BlockNumber> block_number() const override {
    if (disk_.kind_ != SimDisk::Kind::kDisk) return std::nullopt;
    return sim_block_number(disk_.path_);
  }
  Result<FileInfo> refresh() override {
    TRY(disk_.power_.check(epoch_, disk_.path_));
    update();
    return info_;
  }
  Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override;
  Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  Task<Result<void>> sync_data() override;
  Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) override;
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
  Task<Result<void>> truncate(std::uint64_t size) override;
  Result<std::shared_ptr<FileMap>> map(std::uint64_t capacity_bytes) override;

 private:
  using Operation = SimDisk::Operation;
  void update();
  Result<void> check(Operation operation, std::uint64_t offset, std::uint64_t length,
                     const std::uint8_t* memory) const;
  // The common course of an operation: start, time, power, injected faults.
  Task<Result<void>> perform(SimDisk::InFlight& flight);
  Task<Result<void>> change(Operation operation, std::uint64_t offset, std::uint64_t length,
                            ByteView data);

  std::shared_ptr<SimDisk> keep_;
  SimDisk& disk_;
  OpenOptions options_;
  std::uint64_t epoch_;
  FileInfo info_;
};

void SimDiskFile::update() {
  const bool disk = disk_.kind_ == SimDisk::Kind::kDisk;
  info_.size_bytes = disk_.media_.size();
  info_.is_block_device = disk;
  info_.direct = options_.direct;
  info_.alignment_bytes = options_.direct ? disk_.options_.block_bytes : 1;
  info_.logical_block_bytes = disk_.options_.block_bytes;
  info_.physical_block_bytes =
      std::max(disk_.options_.block_bytes, disk_.options_.physical_block_bytes);
  info_.volatile_cache = !disk || disk_.options_.volatile_cache;
  info_.discard = disk_.options_.discard;
}

Result<void> SimDiskFile::check(Operation operation, std::uint64_t offset, std::uint64_t length,
                                const std::uint8_t* memory) const {
  TRY(disk_.power_.check(epoch_, disk_.path_));
  if (operation != Operation::kRead && operation != Operation::kSync && !options_.write) {
    return fail_errno(EBADF, "'" + disk_.path_ + "' is open for reading only");
  }
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  if (options_.direct && (offset | length | address) % info_.alignment_bytes != 0) {
    return fail_errno(EINVAL, "direct I/O on '" + disk_.path_ + "' not aligned to " +
                                  std::to_string(info_.alignment_bytes) + " bytes");
  }
  const bool changes = operation != Operation::kRead && operation != Operation::kResize;
  if (changes && disk_.kind_ == SimDisk::Kind::kDisk && offset + length > disk_.media_.size()) {
    return fail_errno(ENOSPC, "write behind the end of '" + disk_.path_ + "'");
  }
  return {};
}

Task<Result<void>> SimDiskFile::perform(SimDisk::InFlight& flight) {
  const auto operation = flight.operation;
  disk_.world_.trace(static_cast<std::uint64_t>(operation) + 1, flight.offset, flight.length);
  disk_.power_.count_io();  // may cut the power with this operation in flight
  co_await disk_.world_.reactor().delay(disk_.latency(operation));
  if (flight.lost) {
    co_return fail(Code::kInternal, "'" + disk_.path_ + "': power is off", EIO);
  }
  const auto kind = operation == Operation::kRead         ? SimFault::Kind::kRead
                    : operation == Operation::kSync       ? SimFault::Kind::kSync
                    : operation == Operation::kDeallocate ? SimFault::Kind::kDeallocate
                                                          : SimFault::Kind::kWrite;
  if (const int err = disk_.strike(kind, flight.offset, flight.length)) {
    for (const auto& change : flight.changes())
      disk_.media_.apply_torn(disk_.world_.random(), change);
    co_return fail_errno(
        err, "'" + disk_.path_ + "': injected fault at byte " + std::to_string(flight.offset));
  }
  co_return Result<void>{};
}

Task<Result<void>> SimDiskFile::change(Operation operation, std::uint64_t offset,
                                       std::uint64_t length, ByteView data) {
  CO_TRY(check(operation, offset, length, data.data()));
  if (disk_.watcher_) disk_.watcher_->begins(offset, length);
  SimDisk::InFlight flight(disk_, operation, offset, length, data);
  CO_TRY(co_await perform(flight));
  for (auto& change : flight.changes()) disk_.media_.apply(std::move(change));
  if (disk_.watcher_ && !info_.volatile_cache) disk_.watcher_->settled();
  if (disk_.watcher_) disk_.watcher_->completed(offset, length);
  if (disk_.kind_ == SimDisk::Kind::kFile) update();
  co_return Result<void>{};
}

Task<Result<std::size_t>> SimDiskFile::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check(Operation::kRead, offset, into.size(), into.data()));
  SimDisk::InFlight flight(disk_, Operation::kRead, offset, into.size(), {});
  CO_TRY(co_await perform(flight));
  const auto size = disk_.media_.size();
  if (offset >= size) co_return std::size_t{0};
  const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), size - offset));
  disk_.media_.read(offset, into.first(part));
  co_return part;
}

Task<Result<void>> SimDiskFile::write(std::uint64_t offset, ByteView from) {
  return change(Operation::kWrite, offset, from.size(), from);
}

Task<Result<void>> SimDiskFile::sync_data() {
  CO_TRY(check(Operation::kSync, 0, 0, nullptr));
  const auto covered = disk_.media_.last_change();
  SimDisk::InFlight flight(disk_, Operation::kSync, 0, 0, {});
  CO_TRY(co_await perform(flight));
  if (!disk_.options_.lying_sync) disk_.media_.sync_to(covered);
  if (disk_.watcher_) disk_.watcher_->settled();
  co_return Result<void>{};
}

Task<Result<void>> SimDiskFile::deallocate(std::uint64_t offset, std::uint64_t length) {
  if (!disk_.options_.discard) {
    co_return fail(Code::kUnimplemented, "'" + disk_.path_ + "' cannot discard", EOPNOTSUPP);
  }
  co_return co_await change(Operation::kDeallocate, offset, length, {});
}

Task<Result<void>> SimDiskFile::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  return change(Operation::kZero, offset, length, {});
}

Task<Result<void>> SimDiskFile::truncate(std::uint64_t size) {
  if (disk_.kind_ == SimDisk::Kind::kDisk) {
    co_return fail_errno(EINVAL, "truncate disk '" + disk_.path_ + "'");
  }
  co_return co_await change(Operation::kResize, 0, size, {});
}

Result<std::shared_ptr<FileMap>> SimDiskFile::map(std::uint64_t capacity_bytes) {
  if (!keep_) return fail_errno(ENODEV, "map disk '" + disk_.path_ + "'");
  TRY(disk_.power_.check(epoch_, disk_.path_));
  TRY_SET(auto memory, MemoryMap::of_zeros(capacity_bytes));
  return std::make_shared<SimFileMap>(keep_, disk_.media_, std::move(memory));
}

// --- the disk ----------------------------------------------------------------------------------

SimDisk::SimDisk(SimWorld& world, SimPower& power, std::string path, Kind kind,
                 SimDiskOptions options)
    : world_(world),
      power_(power),
      path_(std::move(path)),
      kind_(kind),
      options_(options),
      media_(kind == Kind::kFile ? 0 : options.size_bytes,
             std::max(options.block_bytes, options.physical_block_bytes) >= 4096 ? 4096 : 512,
             kind == Kind::kFile || options.volatile_cache) {
  CAPSTAN_ASSERT(options_.min_latency <= options_.max_latency);
  CAPSTAN_ASSERT(options_.block_bytes == 512 || options_.block_bytes == 4096);
  power_.add(*this);
}

SimDisk::~SimDisk() {
  CAPSTAN_ASSERT(opens_ == 0);
  power_.remove(*this);
}

std::unique_ptr<File> SimDisk::open(OpenOptions options, std::shared_ptr<SimDisk> self) {
  return std::make_unique<SimDiskFile>(*this, options, std::move(self));
}

Nanos SimDisk::latency(Operation operation) {
  const auto high = operation == Operation::kSync ? options_.max_latency * 5 : options_.max_latency;
  return world_.random().between(options_.min_latency, high);
}

int SimDisk::strike(SimFault::Kind kind, std::uint64_t offset, std::uint64_t length) {
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    const bool apart = kind != SimFault::Kind::kSync &&
                       (offset + length <= fault->offset ||
                        (offset > fault->offset && offset - fault->offset >= fault->length));
    if (fault->kind != kind || apart) continue;
    if (fault->skip != 0) {
      --fault->skip;
      continue;
    }
    const int err = fault->sys_errno;
    if (--fault->times == 0) faults_.erase(fault);
    return err;
  }
  return 0;
}

std::vector<SimChange> SimDisk::deallocation(std::uint64_t offset, std::uint64_t length) {
  const auto mode =
      kind_ == Kind::kFile ? SimDiskOptions::Deallocate::kZeroes : options_.deallocate;
  if (mode == SimDiskOptions::Deallocate::kOldData) return {};
  if (mode == SimDiskOptions::Deallocate::kZeroes) {
    if (offset >= media_.size()) return {};
    return {
        SimChange{SimChange::Kind::kZero, offset, std::min(length, media_.size() - offset), {}}};
  }
  std::vector<SimChange> changes;
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t end = std::min((at / 4096 + 1) * 4096, offset + length);
    if (world_.random().chance(50)) {
      changes.push_back(SimChange{SimChange::Kind::kZero, at, end - at, {}});
    }
    at = end;
  }
  return changes;
}

void SimDisk::grow(std::uint64_t size_bytes) {
  CAPSTAN_ASSERT(kind_ == Kind::kDisk && size_bytes >= media_.size());
  options_.size_bytes = size_bytes;
  media_.apply(SimChange{SimChange::Kind::kResize, 0, size_bytes, {}});
  media_.sync_to(media_.last_change());
}

std::vector<std::uint8_t> SimDisk::image() const {
  std::vector<std::uint8_t> bytes(media_.size());
  media_.read(0, bytes);
  return bytes;
}

void SimDisk::poke(std::uint64_t offset, ByteView from) {
  CAPSTAN_ASSERT(offset + from.size() <= media_.size());
  media_.put(offset, from);
}

void SimDisk::power_failed(SimPower::Cut cut) {
  live_opens_ = 0;
  std::vector<SimChange> changes;
  for (auto* flight : in_flight_) {
    if (flight->lost) continue;  // of an earlier life, not yet resumed
    flight->lost = true;
    for (auto& change : flight->changes()) changes.push_back(std::move(change));
  }
  if (cut == SimPower::Cut::kPower) {
    media_.power_failed(world_.random(), std::move(changes));
    if (watcher_) watcher_->power_failed();
    return;
  }
  for (auto& change : changes) {
    if (world_.random().chance(50)) media_.apply(std::move(change));
  }
  if (watcher_) watcher_->power_failed();
}

}  // namespace capstan::core
