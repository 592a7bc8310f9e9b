// Why this file exists: fused pairs, Compare and Write as one command (nvme-tcp section 14.6). The
// first half waits for the command that follows it on the queue; when that is its second half, the
// data of both is brought together and they run while nothing else of the subsystem does.
//
// What a pair lacks ends it, never the connection: a half alone gets 0.0A, and when one half fails
// the other gets 0.09. Abort reaches a first half that waits; a pair that is whole runs to its end.
// When the connection is lost, the halves that are here go on by themselves: the others may have
// been dropped by the connection already, on its core, so nobody looks at them any more.
#include <algorithm>

#include "storage/nvme/io_work.h"

namespace capstan::storage::nvme {

bool IoWork::fuse(Request& request) {
  Request* first = std::exchange(fused_first_, nullptr);
  const unsigned half = request.command.fused();
  if (first && half != kFusedSecond) front_->complete(*first, status::kFusedMissing);
  if (half == 0) return false;
  if (lost_) {  // nobody sends the other half
    front_->complete(request, status::kAborted);
  } else if (half == kFusedFirst && request.command.opcode() == opcode::kCompare) {
    request.state = Request::State::kRunning;
    fused_first_ = &request;
  } else if (half == kFusedSecond && first) {
    pair(*first, request);
  } else {
    const bool missing = half == kFusedSecond;
    front_->complete(request, missing ? status::kFusedMissing : status::kInvalidField);
  }
  return true;
}

void IoWork::pair(Request& first, Request& second) {
  const FusedStatus checked = check_fused(*controller_, first.command, second.command);
  if (!checked.compare.ok() || !checked.write.ok()) {
    front_->complete(first, checked.compare);
    return front_->complete(second, checked.write);
  }
  first.partner = &second;
  second.partner = &first;
  first.state = second.state = Request::State::kRunning;
  IoNeeds of_first, of_second;
  CAPSTAN_ASSERT(check_io(*controller_, first.command, of_first).ok());
  CAPSTAN_ASSERT(check_io(*controller_, second.command, of_second).ok());
  if (first.length == 0 && second.length == 0) {
    return scope_.spawn(
        solicit_pair(&first, &second, of_first.to_controller, of_second.to_controller));
  }
  first.length == 0 ? solicit(first, of_first.to_controller) : gather(first);
  second.length == 0 ? solicit(second, of_second.to_controller) : gather(second);
}

// One wait for both halves: who holds memory while he waits for more keeps others from theirs.
core::Task<void> IoWork::solicit_pair(Request* first, Request* second, std::uint32_t of_first,
                                      std::uint32_t of_second) {
  core::name_task("nvme fused commands");
  if (!take_memory(*first, of_first) && !co_await wait_for_memory(first, of_first)) {
    co_return front_->complete(*second, status::kAborted);
  }
  budget_.take(of_second);
  second->share = Budget::Share(budget_, of_second);
  front_->ask(*first, of_first);
  front_->ask(*second, of_second);
}

// The data of one half is complete.
void IoWork::gather(Request& half) {
  if (lost_) return front_->complete(half, status::kAborted);
  const auto other = std::ranges::find(gathered_, half.partner);
  if (other == gathered_.end()) return gathered_.push_back(&half);
  gathered_.erase(other);
  const bool compare = half.command.fused() == kFusedFirst;
  Request* first = compare ? &half : half.partner;
  scope_.spawn(run_pair(first, first->partner));
}

core::Task<void> IoWork::run_pair(Request* first, Request* second) {
  core::name_task("nvme fused commands");
  const FusedStatus answer = co_await run_alone(*first, *second);
  first->partner = second->partner = nullptr;
  front_->complete(*first, answer.compare);
  front_->complete(*second, answer.write);
}

core::Task<FusedStatus> IoWork::run_alone(Request& first, Request& second) {
  Subsystem& subsystem = controller_->subsystem();
  // What lost connections left behind runs under the gate, so it has ended, too.
  const auto alone = co_await subsystem.gate().lock();
  if (lost_) co_return FusedStatus{status::kAborted, status::kAborted};  // it never will begin
  if (first.bad_digest || second.bad_digest) {
    co_return FusedStatus{first.bad_digest ? status::kTransientTransport : status::kFusedFailed,
                          second.bad_digest ? status::kTransientTransport : status::kFusedFailed};
  }
  ++changing_;
  const FusedStatus answer = co_await run_fused(*controller_, first, second);
  --changing_;
  if (lost_) subsystem.leftover_ended(controller_->association().host_id);
  co_return answer;
}

void IoWork::lose_halves() {
  if (Request* first = std::exchange(fused_first_, nullptr)) {
    front_->complete(*first, status::kAborted);
  }
  for (Request* half : std::exchange(gathered_, {})) front_->complete(*half, status::kAborted);
}

}  // namespace capstan::storage::nvme
