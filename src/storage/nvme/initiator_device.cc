// Why this file exists: see initiator_device.h; this part is which path is taken, and what becomes
// of one command.
#include "storage/nvme/initiator_device.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <vector>

#include "storage/nvme/initiator_limits.h"

namespace capstan::storage::nvme {

namespace {

// The best first; nothing when the path cannot be used now.
std::optional<unsigned> rank_of(AnaState access) {
  switch (access) {
    case AnaState::kOptimized: return 0;
    case AnaState::kNonOptimized: return 1;
    default: return std::nullopt;
  }
}

// Whether the same command may succeed a little later.
bool may_pass(const Status& status) {
  if (status.do_not_retry) return false;
  if (status.type == 3) return true;
  if (status.type != 0) return false;
  return status.code == status::kTransientTransport.code || status.code == status::kAborted.code ||
         status.code == status::kNamespaceNotReady.code || status.code == 0x04;
}

// Makes `second`, which may have been used before, the second half of a pair.
void join(HostCall& first, HostCall& second, std::uint32_t nsid) {
  HostCall fresh;
  fresh.command = second.command;
  fresh.command.set(4, nsid);
  fresh.out = second.out;
  second = fresh;
  first.second = &second;
}

// What became of a pair, with the answer that tells why, which is put into `first`.
HostCall::Outcome outcome_of(HostCall& first, const HostCall& second, HostCall::Outcome outcome) {
  const Status& compared = first.completion.status;
  if (outcome != HostCall::Outcome::kAnswered) return outcome;
  if (!compared.ok() && compared.code != status::kFusedFailed.code) return outcome;
  first.completion = second.completion;
  return second.outcome;
}

struct Meaning {
  Code code;
  int sys_errno;
};
Meaning meaning_of(const Status& status) {
  if (status.type == 0) {
    switch (status.code) {
      case 0x01: return {Code::kUnimplemented, EOPNOTSUPP};
      case 0x02:
      case 0x0F: return {Code::kInvalidArgument, EINVAL};
      case 0x0B: return {Code::kNotFound, ENODEV};
      case 0x80: return {Code::kOutOfRange, EINVAL};
      case 0x81: return {Code::kResourceExhausted, ENOSPC};
      case 0x83: return {Code::kFailedPrecondition, EBUSY};
      default: return {Code::kInternal, EIO};
    }
  }
  if (status.type == 2 && status.code == 0x85) return {Code::kAborted, EILSEQ};
  if (status.type == 3) return {Code::kUnavailable, EIO};
  return {Code::kInternal, EIO};
}

const char* name_of(std::uint8_t code) {
  switch (code) {
    case opcode::kRead: return "read";
    case opcode::kWrite: return "write";
    case opcode::kFlush: return "flush";
    case opcode::kCompare: return "compare";
    case opcode::kWriteZeroes: return "write zeroes";
    case opcode::kDatasetManagement: return "unmap";
    case opcode::kReservationRegister: return "reservation register";
    case opcode::kReservationAcquire: return "reservation acquire";
    case opcode::kReservationRelease: return "reservation release";
    case opcode::kReservationReport: return "reservation report";
    default: return "command";
  }
}

// Sizes stay below 2^63 bytes, so that no offset ever wraps.
constexpr std::uint64_t kDeviceBytesMax = (1ULL << 63) - 1;

Result<void> check_namespace(const HostController& controller, std::uint32_t nsid) {
  const HostNamespace* space = controller.find(nsid);
  if (!space) {
    return fail(Code::kNotFound, controller.text() + " has no namespace " + std::to_string(nsid),
                ENODEV);
  }
  if (space->data.block_bytes == 0 || space->data.metadata_bytes != 0) {
    return fail(Code::kFailedPrecondition,
                "namespace " + std::to_string(nsid) + " of " + controller.text() +
                    " has blocks with metadata, of another command set, or no power of two from "
                    "512 to 65536 bytes",
                EOPNOTSUPP);
  }
  if (space->data.blocks > kDeviceBytesMax / space->data.block_bytes) {
    return fail(Code::kFailedPrecondition,
                "namespace " + std::to_string(nsid) + " of " + controller.text() +
                    " says that it has " + std::to_string(space->data.blocks) +
                    " blocks, more than a device can have (2^63 bytes); that target is broken",
                EOVERFLOW);
  }
  return {};
}

}  // namespace

RemoteDevice::RemoteDevice(std::string name, std::uint32_t nsid, Uuid uuid)
    : name_(std::move(name)), nsid_(nsid), uuid_(uuid) {}

Result<std::shared_ptr<RemoteDevice>> RemoteDevice::make(std::shared_ptr<HostController> controller,
                                                         std::uint32_t nsid, std::string name,
                                                         Uuid uuid_if_none) {
  TRY(check_namespace(*controller, nsid));
  const HostNamespace& space = *controller->find(nsid);
  auto device = std::shared_ptr<RemoteDevice>(
      new RemoteDevice(std::move(name), nsid, space.uuid.is_nil() ? uuid_if_none : space.uuid));
  device->own_uuid_ = !space.uuid.is_nil();
  device->block_size_ = space.data.block_bytes;
  device->block_shift_ = static_cast<std::uint32_t>(std::countr_zero(space.data.block_bytes));
  device->num_blocks_ = space.data.blocks;
  TRY(device->add_path(std::move(controller)));
  return device;
}

RemoteDevice::~RemoteDevice() {
  for (const auto& path : paths_) path->unlisten(*this);
}

Result<void> RemoteDevice::add_path(std::shared_ptr<HostController> controller) {
  TRY(check_namespace(*controller, nsid_));
  if (!usable(*controller)) {
    return fail(Code::kInvalidArgument,
                "namespace " + std::to_string(nsid_) + " of " + controller->text() +
                    " is not the one of device '" + name_ + "'",
                EINVAL);
  }
  controller->listen(*this);
  paths_.push_back(std::move(controller));
  adopt_limits();
  changed_.notify_all();
  return {};
}

void RemoteDevice::remove_path(const HostController& controller) {
  const auto it = std::ranges::find(paths_, &controller, &std::shared_ptr<HostController>::get);
  if (it == paths_.end()) return;
  (*it)->unlisten(*this);
  if (preferred_ == &controller) preferred_ = nullptr;
  if (last_ == &controller) last_ = nullptr;
  paths_.erase(it);
  changed_.notify_all();
}

// What all paths can do.
void RemoteDevice::adopt_limits() {
  transfer_bytes_ = limits::kHostIoBytes;
  zeroes_blocks_ = unmap_blocks_ = UINT32_MAX;
  unmap_ = zeroes_ = zeroes_deallocate_ = true;
  cache_ = false;
  for (const auto& path : paths_) {
    const ControllerData& data = path->data();
    transfer_bytes_ = std::min(transfer_bytes_, path->transfer_bytes());
    unmap_ = unmap_ && data.unmap();
    zeroes_ = zeroes_ && data.write_zeroes();
    cache_ = cache_ || data.volatile_cache();
    const HostNamespace* space = path->find(nsid_);
    zeroes_deallocate_ = zeroes_deallocate_ && space && space->data.write_zeroes_deallocates();
    const CommandSetLimits& set = path->command_set();
    const unsigned shift = 12U + set.zeroes_shift;
    const std::uint64_t zero_bytes =
        set.zeroes_shift == 0 || shift > 40 ? path->transfer_bytes() : 1ULL << shift;
    zeroes_blocks_ = std::min<std::uint64_t>(zeroes_blocks_, zero_bytes >> block_shift_);
    if (set.range_blocks != 0) {
      unmap_blocks_ = std::min<std::uint64_t>(unmap_blocks_, set.range_blocks);
    }
  }
  transfer_bytes_ = std::max(transfer_bytes_, block_size_) / block_size_ * block_size_;
  // A command counts at most 65536 blocks.
  transfer_bytes_ = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(transfer_bytes_, std::uint64_t{block_size_} << 16));
  zeroes_blocks_ = std::clamp<std::uint64_t>(zeroes_blocks_, 1, 1U << 16);
}

bool RemoteDevice::usable(const HostController& path) const {
  const HostNamespace* space = path.find(nsid_);
  return space && space->data.block_bytes == block_size_ && space->data.metadata_bytes == 0 &&
         space->data.blocks <= kDeviceBytesMax / block_size_ &&
         (own_uuid_ ? space->uuid == uuid_ : space->uuid.is_nil());
}

bool RemoteDevice::accessible(const HostController& path) const {
  return usable(path) && rank_of(path.access(nsid_));
}

void RemoteDevice::path_changed() {
  changed_.notify_all();
}

void RemoteDevice::namespaces_changed() {
  std::uint64_t blocks = 0;
  for (const auto& path : paths_) {
    if (!usable(*path)) continue;
    const std::uint64_t here = path->find(nsid_)->data.blocks;
    blocks = blocks == 0 ? here : std::min(blocks, here);  // paths may hear of it one by one
  }
  adopt_limits();
  changed_.notify_all();
  if (blocks == 0 || blocks == num_blocks_) return;
  num_blocks_ = blocks;
  if (resized_) resized_(*this);
}

void RemoteDevice::give_up() {
  retire();
  changed_.notify_all();
}

// --- paths ---------------------------------------------------------------------------------------

HostController* RemoteDevice::pick() const {
  HostController* best = nullptr;
  unsigned best_rank = 0;
  for (const auto& path : paths_) {
    if (path->state() != HostController::State::kRunning || !usable(*path)) continue;
    const auto rank = rank_of(path->access(nsid_));
    if (!rank) continue;
    const bool preferred = path.get() == (policy_.failback ? preferred_ : last_);
    if (!best || *rank < best_rank || (*rank == best_rank && preferred)) {
      best = path.get();
      best_rank = *rank;
    }
  }
  return best;
}

// The path of one command.
HostController* RemoteDevice::next_path() {
  HostController* first = pick();
  last_ = first ? first : last_;
  if (!first || policy_.choice == PathPolicy::Choice::kOne || paths_.size() == 1) return first;
  const auto rank = rank_of(first->access(nsid_));
  std::vector<HostController*> best;
  for (const auto& path : paths_) {
    const bool works = path->state() == HostController::State::kRunning && usable(*path);
    if (works && rank_of(path->access(nsid_)) == rank) best.push_back(path.get());
  }
  if (policy_.choice == PathPolicy::Choice::kLeastBusy) {
    return *std::ranges::min_element(best, {}, &HostController::outstanding);
  }
  if (turn_left_ == 0) {
    ++turn_;
    turn_left_ = std::max<std::uint32_t>(policy_.commands, 1);
  }
  --turn_left_;
  return best[turn_ % best.size()];
}

const HostController* RemoteDevice::current() const {
  return pick();
}

std::unexpected<Error> RemoteDevice::no_path() const {
  std::string why;
  for (const auto& path : paths_) {
    why += why.empty() ? "" : "; ";
    why += path->text() + ": ";
    if (path->state() != HostController::State::kRunning) {
      why += path->trouble();
    } else if (!usable(*path)) {
      why += "namespace " + std::to_string(nsid_) + " is gone or has become another one";
    } else {
      why += ana_state_name(path->access(nsid_));
    }
  }
  return fail(Code::kUnavailable,
              "device '" + name_ + "' cannot be reached: " + (why.empty() ? "no paths" : why), EIO);
}

core::Task<Result<void>> RemoteDevice::wait_for_path(core::Nanos since) {
  const bool hope = std::ranges::any_of(paths_, [&](const auto& path) {
    return path->hopeful() && (path->state() != HostController::State::kRunning || usable(*path));
  });
  if (!hope) co_return no_path();
  // A path that is connected but refuses may change its mind as long as one that is lost.
  core::Reactor& reactor = *core::Reactor::current();
  core::Nanos patience = 0;
  for (const auto& path : paths_) {
    const HostOptions& options = path->options();
    const core::Nanos mine = options.fast_io_fail != 0 ? options.fast_io_fail : options.ctrl_loss;
    patience = std::max(patience, std::min<core::Nanos>(mine, UINT64_MAX / 4));
  }
  if (reactor.now() - since > patience) co_return no_path();
  core::Timer wake([this] { changed_.notify_all(); });
  wake.arm_at(reactor, since + patience + 1);
  co_await changed_.wait();
  co_return check_range(0, 0);  // may have been retired meanwhile
}

// --- one command ---------------------------------------------------------------------------------

std::string RemoteDevice::what(const Command& command) const {
  return "device '" + name_ + "': " + name_of(command.opcode()) + " at block " +
         std::to_string(command.first_block());
}

std::unexpected<Error> RemoteDevice::failed(const Command& command, const Status& status) const {
  const Meaning meaning = meaning_of(status);
  return fail(meaning.code, what(command) + ": the target answers " + status_text(status),
              meaning.sys_errno);
}

core::Task<Result<Completion>> RemoteDevice::run(Command command, ByteView out, MutableBytes in,
                                                 bool repeat, HostCall* second) {
  command.set(4, nsid_);
  core::Nanos since = 0;
  for (unsigned tries = 0;; ++tries) {
    HostController* path = next_path();
    HostQueue* queue = path ? path->io_queue() : nullptr;
    while (!queue) {
      if (since == 0) since = core::Reactor::current()->now();
      CO_TRY(co_await wait_for_path(since));
      path = next_path();
      queue = path ? path->io_queue() : nullptr;
    }
    HostCall call;
    call.command = command;
    call.out = out;
    call.in = in;
    if (second) join(call, *second, nsid_);
    auto outcome = co_await queue->call(call);
    if (second) outcome = outcome_of(call, *second, outcome);
    const unsigned retries = paths_.empty() ? 0 : paths_.front()->options().retries;
    if (outcome == HostCall::Outcome::kAnswered) {
      const Status& status = call.completion.status;
      if (status.ok()) co_return call.completion;
      if (!may_pass(status) || tries >= retries) co_return failed(command, status);
      const auto still = std::ranges::find(paths_, path, &std::shared_ptr<HostController>::get);
      core::Nanos delay = 0;
      if (still != paths_.end()) {
        if (status.type == 3) path->refresh_access();
        const std::size_t index = status.retry_delay;
        if (index != 0) delay = path->data().retry_delays[index - 1] * 100 * core::kMillisecond;
      }
      if (status.type == 3 && delay == 0) delay = 100 * core::kMillisecond;
      if (delay != 0) static_cast<void>(co_await core::sleep_for(delay));
    } else if (outcome == HostCall::Outcome::kLost && !repeat) {
      co_return fail(Code::kUnavailable,
                     what(command) + ": the connection was lost; nobody knows whether it was done",
                     EIO);
    } else if (tries >= retries) {
      co_return fail(Code::kUnavailable,
                     what(command) + (outcome == HostCall::Outcome::kDamaged
                                          ? ": data was damaged on the way, again and again"
                                          : ": the connection was lost again and again"),
                     EIO);
    }
    CO_TRY(check_range(0, 0));
  }
}

}  // namespace capstan::storage::nvme
