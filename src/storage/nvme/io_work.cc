// Why this file exists: see io_work.h.
#include "storage/nvme/io_work.h"

#include <algorithm>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

IoWork::IoWork(Budget& whole, Front& front)
    : front_(&front), budget_(whole, limits::kConnectionBufferBytes) {}

void IoWork::take(Request& request) {
  if ((fused_first_ || request.command.fused() != 0) && fuse(request)) return;
  if (request.bad_digest) return front_->complete(request, status::kTransientTransport);
  if (request.command.is_fabrics()) return front_->complete(request, status::kInvalidOpcode);
  IoNeeds needs;
  const Status checked = check_io(*controller_, request.command, needs);
  if (!checked.ok()) return front_->complete(request, checked);
  if (needs.to_controller != 0 && request.length == 0) {
    return solicit(request, needs.to_controller);
  }
  request.state = Request::State::kRunning;
  scope_.spawn(run_command(&request, needs.to_host));
}

void IoWork::run(Request& request) {
  if (request.partner) return gather(request);
  request.state = Request::State::kRunning;
  scope_.spawn(run_command(&request, 0));
}

void IoWork::lose() {
  if (std::exchange(lost_, true)) return;
  budget_.room().notify_all();  // who waits is dropped
  lose_halves();
  if (!controller_) return;
  Subsystem& subsystem = controller_->subsystem();
  subsystem.leave_behind(controller_->association().host_id, changing_);
  subsystem.leftover_gone().notify_all();  // our own commands that wait will never begin
}

// --- memory --------------------------------------------------------------------------------------

bool IoWork::take_memory(Request& request, std::uint32_t bytes) {
  if (memory_turn_.busy() || !budget_.try_take(bytes)) return false;
  request.share = Budget::Share(budget_, bytes);
  return true;
}

void IoWork::solicit(Request& request, std::uint32_t bytes) {
  if (take_memory(request, bytes)) return front_->ask(request, bytes);
  begin_waiting(request);
  scope_.spawn(solicit_later(&request, bytes));
}

core::Task<void> IoWork::solicit_later(Request* request, std::uint32_t bytes) {
  core::name_task("nvme command");
  if (co_await wait_for_memory(request, bytes)) front_->ask(*request, bytes);
}

void IoWork::begin_waiting(Request& request) {
  request.state = Request::State::kWaiting;
  hungry_.push_back(&request);
}

// False: the request is over, one way or the other.
core::Task<bool> IoWork::wait_for_memory(Request* request, std::uint32_t bytes) {
  const auto turn = co_await memory_turn_.lock();
  while (!lost_ && !request->aborted && !budget_.try_take(bytes)) {
    co_await budget_.room().wait();
  }
  std::erase(hungry_, request);
  if (lost_ || request->aborted) {
    front_->complete(*request, status::kAborted);
    co_return false;
  }
  request->state = Request::State::kRunning;
  request->share = Budget::Share(budget_, bytes);
  co_return true;
}

bool IoWork::abort(std::uint16_t command) {
  if (fused_first_ && fused_first_->command.id() == command) {
    // A second half that comes yet finds it missing.
    front_->complete(*std::exchange(fused_first_, nullptr), status::kAborted);
    return true;
  }
  const auto found = std::ranges::find_if(
      hungry_, [command](const Request* each) { return each->command.id() == command; });
  if (found == hungry_.end() || (*found)->partner) return false;  // a whole pair runs to its end
  (*found)->aborted = true;
  budget_.room().notify_all();
  return true;
}

// --- running -------------------------------------------------------------------------------------

core::Task<void> IoWork::run_command(Request* request, std::uint32_t to_host) {
  core::name_task("nvme command");
  if (to_host != 0) {
    if (!take_memory(*request, to_host)) {
      begin_waiting(*request);
      if (!co_await wait_for_memory(request, to_host)) co_return;
    }
    request->length = to_host;
  }
  Subsystem& subsystem = controller_->subsystem();
  const HostId& host = controller_->association().host_id;
  const auto guard = co_await subsystem.gate().lock_shared();
  if (!is_reservation(request->command)) {
    while (!lost_ && subsystem.has_leftovers(host)) co_await subsystem.leftover_gone().wait();
  }
  if (lost_) co_return front_->complete(*request, status::kAborted);  // it never will begin
  const std::size_t changing = changes_data(request->command) ? 1 : 0;
  changing_ += changing;
  const Status answer = co_await run_io(*controller_, *request);
  changing_ -= changing;
  if (changing != 0 && lost_) subsystem.leftover_ended(host);
  front_->complete(*request, answer);
}

}  // namespace capstan::storage::nvme
