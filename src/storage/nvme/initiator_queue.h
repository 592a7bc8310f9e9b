// Why this file exists: one queue pair as a host has it: a TCP connection, the commands in flight
// on it, and their data in both directions. Commands of one turn leave together; answers may come
// in any order. Long data is read into, and written from, the caller's memory.
//
// A call ends in one of three ways: answered with a completion; damaged (its data did not match its
// digest); lost, when the connection ended before: then nobody knows whether the target has run it.
// Whatever the target sends that it must not, ends the connection with a reason that names it, and
// an H2CTermReq if the target still reads. Bytes: PROTOCOL.md; rules: nvme-tcp sections 3 to 5.
//
// Lifetimes: a call and its memory live until call() returns, which never waits for the queue once
// that has ended. stop() comes before the destructor. Thread-safety: one core.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/scope.h"
#include "storage/nvme/initiator_faults.h"
#include "storage/nvme/initiator_output.h"
#include "storage/nvme/input.h"
#include "storage/nvme/nvme_codec.h"
#include "storage/nvme/nvme_tcp_codec.h"

namespace capstan::storage::nvme {

struct HostCall {
  enum class Outcome : std::uint8_t { kPending, kAnswered, kDamaged, kLost };
  // Given by the caller. The queue sets the command's id and where its data is.
  Command command;
  ByteView out;            // to the controller
  MutableBytes in;         // to the host; a success has filled all of it
  bool unlimited = false;  // waits for its answer as long as the connection lasts
  // The second half of a fused pair, which leaves right behind this one. Only this one is given to
  // call(), which returns when both are over.
  HostCall* second = nullptr;
  // The answer.
  Outcome outcome = Outcome::kPending;
  Completion completion;
  // For the timeout policy.
  std::uint16_t id = 0;
  bool abort_sent = false;

 private:
  friend class HostQueue;
  std::uint32_t received = 0, solicited = 0;  // bytes
  std::uint32_t r2ts = 0, lent = 0;           // lent: chunks in the output
  bool in_capsule = false, damaged = false, over = false, settled = false;
  HostCall* first = nullptr;     // of whose pair this is the second half
  std::optional<Status> forced;  // in place of the target's
  core::Nanos deadline = 0;
  core::Suspended waiter;
};

class HostQueue {
 public:
  struct Settings {
    Digests digests;
    std::uint16_t entries = 0;           // of the submission queue; one less may be in flight
    std::uint32_t in_capsule_bytes = 0;  // data up to this travels within a command
    core::Nanos timeout = 0;             // of one command
    HostFaults* faults = nullptr;        // to be injected; outlives the queue
  };
  // What its owner hears of it. Both may end the queue, not destroy it.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void queue_ended(HostQueue& queue) = 0;
    // False: the queue ends. True: the command gets the same time once more.
    virtual bool timed_out(HostQueue& queue, HostCall& call) = 0;
  };

  // Connects and agrees on digests. `token` ends it early.
  static core::Task<Result<std::unique_ptr<HostQueue>>> open(core::Env& env, core::Address address,
                                                             Settings settings, Owner& owner,
                                                             core::CancelToken token);
  ~HostQueue();
  HostQueue(const HostQueue&) = delete;
  HostQueue& operator=(const HostQueue&) = delete;

  struct Waiting {
    HostQueue& queue;
    HostCall& pending;
    bool await_ready() { return queue.submit(pending); }
    void await_suspend(std::coroutine_handle<> handle) { pending.waiter = handle; }
    HostCall::Outcome await_resume() const { return pending.outcome; }
  };
  // co_await it. `call` is used once.
  Waiting call(HostCall& call) { return {*this, call}; }

  // Ends the connection. The first reason stays.
  void end(std::string reason);
  bool ended() const { return ended_; }
  const std::string& reason() const { return reason_; }
  // end(), and waits until nothing of the queue runs.
  core::Task<void> stop();

  std::uint16_t entries() const { return settings_.entries; }
  std::size_t outstanding() const { return active_ + waiting_.size(); }
  std::uint64_t commands() const { return commands_; }  // sent so far

 private:
  HostQueue(std::unique_ptr<core::Stream> stream, Settings settings, Owner& owner);
  core::Task<Result<void>> shake_hands();
  core::Task<void> run();
  // Ends with what the target did wrong, or nothing when the connection ended by itself.
  core::Task<Checked<void>> receive();
  core::Task<Checked<void>> receive_pdu(CommonHeader common, std::size_t header_bytes);
  core::Task<Checked<void>> receive_data(CommonHeader common, std::size_t header_bytes);
  core::Task<bool> receive_payload(HostCall& call, MutableBytes into);
  Checked<void> receive_completion(const Completion& completion);
  Checked<void> answer_r2t(const R2t& r2t);
  core::Task<void> say_goodbye(Fatal fatal);

  void make_slots();
  bool submit(HostCall& call);  // true: it is over already
  void send(HostCall& call);
  std::size_t slots_of(const HostCall& call) const { return call.second ? 2 : 1; }
  bool inject(HostCall& call);
  core::Task<void> answer_late(std::uint16_t id, core::Nanos delay);
  void send_data(HostCall& call, const R2t& r2t);
  void finish(HostCall& call, HostCall::Outcome outcome);
  void resume(HostCall& call);
  HostCall* find(std::uint16_t id) const;
  void arm(core::Nanos deadline);
  void check_timeouts();
  static void lose(HostCall& call);
  void lose_all();

  std::unique_ptr<core::Stream> stream_;
  Settings settings_;
  Owner& owner_;
  Input input_;
  HostOutput output_;
  std::uint8_t alignment_ = 0;                          // CPDA
  std::uint32_t max_data_bytes_ = 0;                    // MAXH2CDATA
  std::array<std::uint8_t, kHeaderBytesMax> header_{};  // of the PDU being received
  bool ended_ = false, failed_ = false, running_ = false;
  bool resumed_ = false;  // a caller, since the receiver last stood back
  std::string reason_;

  struct Slot {
    HostCall* call = nullptr;
    std::uint16_t generation = 0;
  };
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;
  std::deque<HostCall*> waiting_;
  std::size_t active_ = 0;
  std::uint64_t commands_ = 0;
  core::Timer timer_;
  core::Scope scope_;
};

}  // namespace capstan::storage::nvme
