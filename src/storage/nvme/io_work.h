// Why this file exists: the half of a queue pair that lives with the controllers and the devices:
// memory for the data of commands, and the I/O commands that run. The other half, its connection,
// is the front: it has the bytes of the host, on this core or on another one (away.h).
//
//     connection ──► take ──► checks ──► ask for data (R2T) ──► run ──► Device ──► complete
//
// Commands run side by side and complete in any order. When the connection is lost, what waits is
// dropped and what runs goes on to its end; what changes data is left behind (subsystem.h).
// Fused pairs (io_work_fused.cc) are found here, in the order in which commands were received.
// Lifetimes: join() before the end; controller and requests outlive that. Thread-safety: one core,
// the devices'.
#pragma once

#include <memory>
#include <vector>

#include "core/scope.h"
#include "storage/nvme/budget.h"
#include "storage/nvme/controller.h"
#include "storage/nvme/io_commands.h"
#include "storage/nvme/request.h"

namespace capstan::storage::nvme {

class IoWork {
 public:
  class Front {
   public:
    virtual ~Front() = default;
    // The request's share covers `bytes` of data: the host may send them.
    virtual void ask(Request& request, std::uint32_t bytes) = 0;
    virtual void complete(Request& request, Status status) = 0;
  };

  // `whole`: the memory of the target, which outlives this.
  IoWork(Budget& whole, Front& front);
  // From now on that one is asked and told.
  void change_front(Front& front) { front_ = &front; }
  // Once Connect has made the connection a queue pair.
  void connected(std::shared_ptr<Controller> controller) { controller_ = std::move(controller); }

  // A command of an I/O queue, with the data that came along; completes or asks. All of a queue
  // come by here but those whose id is taken.
  void take(Request& request);
  // The same once its data is there.
  void run(Request& request);
  // Whether a command that has just come may run without take(): none that came before it hears of
  // it there, and the host will hear of its end.
  bool free_to_run() const { return !lost_ && !fused_first_; }
  // Memory for the data of a command, now or not at all.
  bool take_memory(Request& request, std::uint32_t bytes);
  // Memory for data from the host of any command, then asks for it.
  void solicit(Request& request, std::uint32_t bytes);
  // False when no command of that id waits for memory or for the second half of its pair.
  bool abort(std::uint16_t command);

  // The host cannot know any more what becomes of its commands.
  void lose();
  // Nothing runs or waits any more.
  core::Task<void> join() { return scope_.join(); }
  Budget& budget() { return budget_; }

 private:
  core::Task<void> solicit_later(Request* request, std::uint32_t bytes);
  void begin_waiting(Request& request);
  core::Task<bool> wait_for_memory(Request* request, std::uint32_t bytes);
  core::Task<void> run_command(Request* request, std::uint32_t to_host);
  // True: the command was half of a fused pair, or was meant to be.
  bool fuse(Request& request);
  void pair(Request& first, Request& second);
  core::Task<void> solicit_pair(Request* first, Request* second, std::uint32_t of_first,
                                std::uint32_t of_second);
  void gather(Request& half);
  core::Task<void> run_pair(Request* first, Request* second);
  core::Task<FusedStatus> run_alone(Request& first, Request& second);
  void lose_halves();

  Front* front_;
  Budget budget_;
  core::Mutex memory_turn_;       // one command at a time waits for memory
  std::vector<Request*> hungry_;  // that wait for memory or for their turn to
  std::shared_ptr<Controller> controller_;
  Request* fused_first_ = nullptr;  // waits for the second half of its pair
  std::vector<Request*> gathered_;  // halves that wait for the data of the other half
  std::size_t changing_ = 0;        // commands that run and may change data
  bool lost_ = false;
  core::Scope scope_;
};

}  // namespace capstan::storage::nvme
