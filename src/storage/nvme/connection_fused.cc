// Why this file exists: fused pairs, Compare and Write as one command (nvme-tcp section 14.6). The
// first half waits for the command that follows it on the queue; when that is its second half, the
// data of both is brought together and they run while nothing else of the subsystem does.
//
// What a pair lacks ends it, never the connection: a half alone gets 0.0A, and when one half fails
// the other gets 0.09. Abort reaches a first half that waits; a pair that is whole runs to its end.
#include "storage/nvme/connection.h"
#include "storage/nvme/io_commands.h"

namespace capstan::storage::nvme {

bool Connection::fuse(Request& request) {
  Request* first = std::exchange(fused_first_, nullptr);
  // Fused commands of admin queues are refused by the controller, as others that it does not know.
  const unsigned half = queue_ == 0 ? 0U : request.command.fused();
  if (first && half != kFusedSecond) complete(*first, status::kFusedMissing);
  if (half == 0) return false;
  if (half == kFusedFirst && request.command.opcode() != opcode::kCompare) {
    complete(request, status::kInvalidField);
  } else if (half == kFusedFirst) {
    request.state = Request::State::kFused;
    fused_first_ = &request;
  } else if (half != kFusedSecond) {
    complete(request, status::kInvalidField);
  } else if (!first) {
    complete(request, status::kFusedMissing);
  } else {
    pair(*first, request);
  }
  return true;
}

void Connection::pair(Request& first, Request& second) {
  const FusedStatus checked = check_fused(*controller_, first.command, second.command);
  if (!checked.compare.ok() || !checked.write.ok()) {
    complete(first, checked.compare);
    return complete(second, checked.write);
  }
  first.partner = &second;
  second.partner = &first;
  first.state = second.state = Request::State::kRunning;
  for (Request* half : {&first, &second}) {
    IoNeeds needs;
    CAPSTAN_ASSERT(check_io(*controller_, half->command, needs).ok());
    half->length == 0 ? solicit(*half, needs.to_controller) : gather(*half);
  }
}

// The data of one half is complete.
void Connection::gather(Request& request) {
  request.state = Request::State::kFused;
  if (!request.partner || request.partner->state != Request::State::kFused) return;
  const bool compare = request.command.fused() == kFusedFirst;
  Request* first = compare ? &request : request.partner;
  first->state = first->partner->state = Request::State::kRunning;
  scope_.spawn(run_pair(first, first->partner));
}

core::Task<void> Connection::run_pair(Request* first, Request* second) {
  core::name_task("nvme fused commands");
  FusedStatus answer{status::kFusedFailed, status::kFusedFailed};
  Subsystem& subsystem = controller_->subsystem();
  {
    // What lost connections left behind runs under the gate, so it has ended, too.
    const auto alone = co_await subsystem.gate().lock();
    if (lost_) {
      answer = {status::kAborted, status::kAborted};
    } else if (first->bad_digest || second->bad_digest) {
      if (first->bad_digest) answer.compare = status::kTransientTransport;
      if (second->bad_digest) answer.write = status::kTransientTransport;
    } else {
      ++changing_;
      answer = co_await run_fused(*controller_, *first, *second);
      --changing_;
      if (lost_) subsystem.leftover_ended(controller_->association().host_id);
    }
  }
  complete(*first, answer.compare);
  complete(*second, answer.write);
}

}  // namespace capstan::storage::nvme
