// Why this file exists: see initiator_queue.h; this half is commands: how they leave, when they are
// over, and what happens when an answer does not come.
#include <algorithm>

#include "base/checksum.h"
#include "storage/nvme/initiator_limits.h"
#include "storage/nvme/initiator_queue.h"

namespace capstan::storage::nvme {

namespace {
// An id is a slot and, above it, how often the slot was used: a second answer is found out.
constexpr unsigned kSlotBits = 11;
constexpr unsigned kSlotMask = (1U << kSlotBits) - 1;
static_assert(limits::kHostQueueEntriesMax <= kSlotMask);
}  // namespace

void HostQueue::make_slots() {
  settings_.entries = std::max<std::uint16_t>(settings_.entries, 2);
  const std::size_t slots = settings_.entries - 1U;  // a full queue has one entry free
  slots_.assign(slots, {});
  free_.clear();
  for (std::size_t slot = slots; slot != 0; --slot) {
    free_.push_back(static_cast<std::uint16_t>(slot - 1));
  }
}

HostCall* HostQueue::find(std::uint16_t id) const {
  const unsigned slot = id & kSlotMask;
  if (slot >= slots_.size()) return nullptr;
  HostCall* call = slots_[slot].call;
  return call && call->id == id ? call : nullptr;
}

bool HostQueue::submit(HostCall& call) {
  if (ended_ || slots_.size() < slots_of(call)) {
    lose(call);
    return true;
  }
  if (free_.size() < slots_of(call) || !waiting_.empty()) {
    waiting_.push_back(&call);
  } else {
    send(call);
  }
  return false;
}

void HostQueue::send(HostCall& call) {
  const std::uint16_t slot = free_.back();
  free_.pop_back();
  Slot& place = slots_[slot];
  place.call = &call;
  ++place.generation;
  ++active_;
  ++commands_;
  call.id = static_cast<std::uint16_t>(place.generation << kSlotBits | slot);
  call.in_capsule = call.command.is_fabrics() || call.out.size() <= settings_.in_capsule_bytes;

  Command& command = call.command;
  const std::uint8_t fused = call.second ? kFusedFirst : call.first ? kFusedSecond : 0;
  command.set<std::uint8_t>(1, 0x40 | fused);
  command.set(2, call.id);
  const std::size_t carried = call.in_capsule ? call.out.size() : 0;
  command.set(32, static_cast<std::uint32_t>(std::max(call.out.size(), call.in.size())));
  command.set(39, carried != 0 ? kSglInCapsule : kSglTransport);
  if (!call.unlimited && settings_.timeout != 0) {
    call.deadline = core::Reactor::current()->now() + settings_.timeout;
    if (!timer_.armed()) arm(call.deadline);
  }
  if (!inject(call)) return;
  const bool digest = carried != 0 && settings_.digests.data;
  const std::size_t header = carried != 0
                                 ? data_offset(kCapsuleCmdBytes, settings_.digests, alignment_)
                                 : kCapsuleCmdBytes + (settings_.digests.header ? kDigestBytes : 0);
  std::uint8_t* to = output_.append(header + carried + (digest ? kDigestBytes : 0));
  store_capsule_cmd(to, command.bytes, static_cast<std::uint32_t>(carried), settings_.digests,
                    alignment_);
  std::copy_n(call.out.data(), carried, to + header);
  if (digest) store_le(to + header + carried, crc32c(call.out));
  if (call.second) {
    call.second->first = &call;
    send(*call.second);
  }
}

// False: the command is not to be sent.
bool HostQueue::inject(HostCall& call) {
  if (!settings_.faults || call.second || call.first) return true;
  const auto fault = settings_.faults->take(call.command.opcode());
  if (!fault) return true;
  call.forced = fault->status;
  if (!fault->submit) scope_.spawn(answer_late(call.id, fault->delay));
  return fault->submit;
}

// The answer to a command that was not sent, unless the queue ends before.
core::Task<void> HostQueue::answer_late(std::uint16_t id, core::Nanos delay) {
  const bool whole = (co_await core::sleep_for(delay, scope_.token())).has_value();
  HostCall* call = find(id);
  if (!whole || !call) co_return;
  call->completion.command = id;
  call->completion.status = *call->forced;
  finish(*call, HostCall::Outcome::kAnswered);
}

void HostQueue::send_data(HostCall& call, const R2t& r2t) {
  for (std::uint32_t sent = 0; sent < r2t.length;) {
    const std::uint32_t step = std::min(max_data_bytes_, r2t.length - sent);
    const ByteView data = call.out.subspan(std::size_t{r2t.offset} + sent, step);
    const bool last = sent + step == r2t.length;
    const std::size_t header = data_offset(kDataHeaderBytes, settings_.digests, alignment_);
    store_data(output_.append(header), PduType::kH2cData,
               {r2t.command, r2t.tag, r2t.offset + sent, step},
               last ? pdu_flag::kLast : std::uint8_t{0}, settings_.digests, alignment_);
    if (step <= limits::kHostCopyBytes && output_.copied() < limits::kHostOutputCopyBytes) {
      std::ranges::copy(data, output_.append(step));
    } else {
      ++call.lent;
      output_.append(data, call);
    }
    if (settings_.digests.data) store_le(output_.append(kDigestBytes), crc32c(data));
    sent += step;
  }
}

void HostQueue::finish(HostCall& call, HostCall::Outcome outcome) {
  const unsigned slot = call.id & kSlotMask;
  slots_[slot].call = nullptr;
  free_.push_back(static_cast<std::uint16_t>(slot));
  --active_;
  call.outcome = outcome;
  call.over = true;
  if (call.lent == 0) resume(call);
  while (!ended_ && !waiting_.empty() && free_.size() >= slots_of(*waiting_.front())) {
    HostCall* next = waiting_.front();
    waiting_.pop_front();
    send(*next);
  }
}

void HostQueue::resume(HostCall& call) {
  call.settled = true;
  const HostCall& whole = call.first ? *call.first : call;
  if (!whole.settled || (whole.second && !whole.second->settled)) return;
  resumed_ = true;
  core::Reactor::current()->make_ready(whole.waiter);
}

// A call that was not sent.
void HostQueue::lose(HostCall& call) {
  for (HostCall* half : {&call, call.second}) {
    if (!half) continue;
    half->outcome = HostCall::Outcome::kLost;
    half->settled = true;
  }
}

void HostQueue::lose_all() {
  for (const Slot& slot : slots_) {
    if (slot.call) finish(*slot.call, HostCall::Outcome::kLost);
  }
  for (HostCall* call : std::exchange(waiting_, {})) {
    lose(*call);
    resume(*call);
  }
}

void HostQueue::arm(core::Nanos deadline) {
  timer_.arm_at(*core::Reactor::current(), deadline);
}

void HostQueue::check_timeouts() {
  const core::Nanos now = core::Reactor::current()->now();
  core::Nanos next = 0;
  for (const Slot& slot : slots_) {
    HostCall* call = slot.call;
    if (!call || call->deadline == 0) continue;
    if (call->deadline <= now) {
      if (!owner_.timed_out(*this, *call)) {
        return end("a command had no answer within " +
                   std::to_string(settings_.timeout / core::kMillisecond) + " ms");
      }
      if (ended_) return;
      call->deadline = now + settings_.timeout;
    }
    next = next == 0 ? call->deadline : std::min(next, call->deadline);
  }
  if (next != 0) arm(next);
}

}  // namespace capstan::storage::nvme
