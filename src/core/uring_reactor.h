// Why this file exists: the real Reactor: one io_uring per core. Idle means asleep in
// io_uring_enter with the next timer as its only time-out; no tick. Under load it spins briefly
// while that pays (see wait() in the .cc). Messages from other cores arrive on a lock-free stack
// and wake it through an eventfd that the ring reads.
//
// With DEFER_TASKRUN only the thread that made the ring may use it, so a UringReactor is made on
// the thread that runs it. post() is the only call allowed from elsewhere.
#pragma once

#include <liburing.h>

#include <atomic>
#include <memory>

#include "core/reactor.h"

namespace capstan::core {

class UringReactor;

// One operation in the kernel. Lives in the frame of the coroutine that awaits it, which therefore
// is never destroyed before the completion has arrived:
//   UringOp op;
//   io_uring_prep_read(reactor.prepare(op), fd, data, size, offset);
//   const int result = co_await op;   // bytes, or -errno
class UringOp {
 public:
  bool await_ready() const noexcept { return done_; }
  void await_suspend(std::coroutine_handle<> handle) noexcept { waiter_ = Suspended(handle); }
  int await_resume() const noexcept { return result_; }
  bool in_flight() const { return prepared_ && !done_; }

 private:
  friend class UringReactor;
  Suspended waiter_;
  std::uint64_t entry_ = 0;  // the kernel's name for it
  int result_ = 0;
  bool done_ = false;
  bool prepared_ = false;
};

// What has become of the sends of one connection that keep memory; the connection may be gone
// before them.
struct KeptSends {
  std::size_t outstanding = 0;  // the kernel may still send from their memory
  bool copied = false;          // it had to copy after all: the network cannot do better
};

// Whether a socket has something to receive, as the kernel tells it: one request that stays in the
// ring from the first wait until the watch is destroyed, which is before the descriptor is closed.
// The kernel tells of what comes, not of what is there: who has not emptied the socket since does
// not wait. Belongs to the core that waits first.
class UringWatch {
 public:
  explicit UringWatch(int fd) : fd_(fd) {}
  ~UringWatch() { end(); }
  UringWatch(const UringWatch&) = delete;
  UringWatch& operator=(const UringWatch&) = delete;

  // Whether a receive may find something.
  bool readable() const { return !state_ || state_->readable; }
  // A receive found nothing, or (`maybe_end`) less than it had room for: behind that may be the end
  // of the stream, which is told together with the last bytes.
  void drained(bool maybe_end);
  bool await_ready() const noexcept { return readable(); }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}
  bool awaited() const { return state_ && state_->waiter; }
  // Whoever waits goes on, though there may be nothing.
  void wake();
  // Before the descriptor is closed, while nobody waits.
  void end();

 private:
  friend class UringReactor;
  // In the hands of the reactor, too: it goes when both the watch and the kernel are done with it.
  struct State {
    UringReactor* reactor = nullptr;  // null: it is gone
    int fd = -1;
    Suspended waiter;
    bool armed = false;  // the kernel has the request
    bool readable = true;
    bool ended = false;  // the peer sends no more
    bool abandoned = false;
    State* previous = nullptr;
    State* next = nullptr;
  };
  State& state();

  int fd_;
  State* state_ = nullptr;  // made by the first receive that finds nothing
};

// What mostly becomes unnecessary when it is put off a little: done once before the core waits, or
// after some turns when it does not get to wait. Linked through the object, so putting off and
// dropping allocate nothing. Owner thread only.
class Chore {
 public:
  Chore() = default;
  Chore(const Chore&) = delete;
  Chore& operator=(const Chore&) = delete;
  virtual ~Chore() { drop(); }
  void drop();

 private:
  friend class UringReactor;
  virtual void run() = 0;  // resumes nobody

  Chore* previous_ = nullptr;  // null: not put off
  Chore* next_ = nullptr;
  std::uint64_t turn_ = 0;
};

class UringReactor final : public Reactor {
 public:
  // `poll_us`: how long to spin before sleeping; 0 never spins, negative never sleeps.
  // Fails with a text that says how to enable io_uring when the kernel refuses it.
  static Result<std::unique_ptr<UringReactor>> create(int poll_us);
  ~UringReactor() override;

  void post(std::move_only_function<void()> work) override;
  Nanos read_clock() const override;
  // Tests: every later completion has the result that `faults` makes of it, for errors that a
  // kernel gives when it likes (EINTR). An empty one ends that.
  void inject_results(std::function<int(int)> faults) { faults_ = std::move(faults); }

  // An empty submission entry that completes `op`. Owner thread only.
  io_uring_sqe* prepare(UringOp& op);
  // The same for a send that goes on when `op` is complete: `memory` is let go when the kernel says
  // that it needs it no longer.
  io_uring_sqe* prepare_kept(UringOp& op, std::shared_ptr<const void> memory,
                             std::shared_ptr<KeptSends> sends);
  // After filling an entry for a disk: gives the kernel what has gathered once it is a few. At the
  // end of the turn it would get all of it anyway, but a disk that has answered everything at once
  // would stand still until then.
  void hand_over();
  // Once for every time that it is due: putting it off again changes nothing.
  void put_off(Chore& chore);
  // Asks the kernel to end `op` early; it still completes through its await.
  void request_cancel(UringOp& op);

 protected:
  void wait(bool block, Nanos deadline) override;
  CpuUse read_cpu() const override;

 private:
  friend class UringWatch;
  struct Posted {
    std::move_only_function<void()> work;
    Posted* next;
  };
  // A send that keeps memory, from its entry to the kernel's last word on it.
  struct Kept {
    UringOp* op = nullptr;  // until that is complete
    std::shared_ptr<const void> memory;
    std::shared_ptr<KeptSends> sends;
    Kept* previous = nullptr;
    Kept* next = nullptr;
  };
  // The ends of the list.
  struct NoChore final : Chore {
    void run() override {}
  };

  explicit UringReactor(int poll_us) : poll_us_(poll_us) {
    chores_.previous_ = chores_.next_ = &chores_;
  }
  Result<void> set_up();
  io_uring_sqe* next_sqe();
  io_uring_sqe* prepare(UringOp& op, std::uint64_t entry);
  void complete(UringOp& op, int result);
  void told(Kept& kept, int result, unsigned flags);
  void forget(Kept& kept);
  void end_kept();
  void arm_wakeup();
  void arm(UringWatch::State& watch);
  void abandon(UringWatch::State& watch);
  void told(UringWatch::State& watch, int events, bool more);
  void forget(UringWatch::State& watch);
  unsigned reap();
  bool run_posted();
  // Those put off up to that turn, oldest first.
  void run_chores(std::uint64_t last_turn);
  bool worth_spinning();
  bool spin(Nanos until);
  void sleep(Nanos deadline);

  int poll_us_;
  io_uring ring_{};
  bool ring_ready_ = false;
  int event_fd_ = -1;
  std::uint64_t event_value_ = 0;
  UringOp wakeup_;
  bool wakeup_armed_ = false;
  std::atomic<Posted*> posted_{nullptr};
  std::atomic<bool> asleep_{false};
  // Spin policy: a moving average (0…256) of "the spin found work", and waits left without spin.
  unsigned spin_success_ = 256;
  unsigned spin_pause_ = 0;
  unsigned spin_sample_ = 0;
  unsigned spins_since_check_ = 0;
  long involuntary_switches_ = 0;
  NoChore chores_;
  UringWatch::State* watches_ = nullptr;  // all that are not forgotten
  bool multishot_ = true;                 // until the kernel says that it has none
  Kept* kept_ = nullptr;
  std::function<int(int)> faults_;
};

}  // namespace capstan::core
