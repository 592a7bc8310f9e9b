// Why this file exists: a host's association with one controller of a target: an admin queue and
// I/O queues, what the controller has told about itself and its namespaces, keep alive, events,
// ANA, and the way back when a connection is lost.
//
//   New ─establish─► Running ─queue lost─► Reconnecting ─(100 ms, 200 ms … reconnect_delay)─►
//   Running
//                       │ close()               │ after fast_io_fail: I/O does not wait any more
//                       ▼                       ▼ after ctrl_loss, or refused for good
//                    Closing ─► Closed        Failed (until close(), or a retry() that works)
//
// Losing one queue ends all of them: what was in flight is lost, and its callers repeat it
// (commands of devices are all repeatable). Namespaces are looked at again after each connect; one
// that has become another disk is not used any more. Lifetimes: made and kept by Initiator
// (initiator.h). Thread-safety: one core.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "core/sync.h"
#include "storage/nvme/ana.h"
#include "storage/nvme/initiator_limits.h"
#include "storage/nvme/initiator_queue.h"
#include "storage/nvme/nvme_host_codec.h"

namespace capstan::storage::nvme {

// What happens to an I/O command without an answer: the target is asked to abort it and the
// connection is given up when that does not help either, or it is given up at once.
enum class TimeoutAction : std::uint8_t { kReset, kAbort };

struct HostOptions {
  static constexpr core::Nanos kForever = UINT64_MAX;

  core::Address address;
  std::string subsystem;  // NQN; that of discovery is known
  std::string host;       // NQN of this host
  HostId host_id{};
  Digests digests;
  bool flow_control = true;  // false: successful reads need no completion
  std::uint16_t io_queues = 1;
  std::uint16_t queue_entries = limits::kHostQueueEntries;
  std::uint32_t keep_alive_ms = limits::kHostKeepAliveMillis;  // 0: none
  core::Nanos connect_timeout = limits::kHostConnectNanos;
  core::Nanos admin_timeout = limits::kHostAdminNanos;
  core::Nanos io_timeout = limits::kHostIoNanos;  // 0: waits as long as the connection lasts
  TimeoutAction timeout_action = TimeoutAction::kReset;
  core::Nanos reconnect_delay = limits::kHostReconnectNanos;  // the longest pause between tries
  core::Nanos ctrl_loss = limits::kHostLossNanos;         // 0: a lost connection is final; kForever
  core::Nanos fast_io_fail = limits::kHostFastFailNanos;  // 0: I/O waits for ctrl_loss
  unsigned retries = limits::kHostRetries;                // of one command
};

// One namespace as the controller described it last.
struct HostNamespace {
  std::uint32_t id = 0;
  NamespaceData data;
  Uuid uuid;  // the UUID, else the NGUID, else nil
};

class HostController final : private HostQueue::Owner {
 public:
  enum class State : std::uint8_t { kNew, kRunning, kReconnecting, kFailed, kClosing, kClosed };
  // Who wants to know; told on the controller's core, and may do anything but wait.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void path_changed() = 0;  // state(), fast_failing() or an access state
    virtual void namespaces_changed() = 0;
    virtual void discovery_changed() {}
  };

  HostController(core::Env& env, core::Log& log, HostOptions options);
  ~HostController() override;

  // The first connect: one try. Errors: kUnavailable (nobody there, no NVMe), kNotFound (no such
  // subsystem), kPermissionDenied (host not allowed), kDeadlineExceeded; the token's code when that
  // fires before.
  core::Task<Result<void>> establish(core::CancelToken token = {});
  // Keeps the association up from then on; ends after close(), with everything closed.
  core::Task<void> supervise();
  void close();
  // Gives the connections up and connects anew, as after a loss.
  void reset(std::string reason);
  // One more try of a controller that was given up, or the outcome of one that is under way.
  // kUnavailable (EIO): it did not work, and it stays given up; the token's code: it goes on
  // unwatched. In other states, or disabled, nothing to do. The caller keeps it until it returns.
  core::Task<Result<void>> retry(core::CancelToken token);
  // Off: reset() and no way back until it is on again.
  void set_enabled(bool enabled);
  bool enabled() const { return enabled_; }

  State state() const { return state_; }
  // Whether I/O may hope: it runs, or will soon.
  bool hopeful() const {
    return state_ == State::kRunning ||
           (state_ == State::kReconnecting && !fast_failing_ && enabled_);
  }
  const std::string& trouble() const { return trouble_; }  // why it does not run
  std::uint64_t reconnects() const { return reconnects_; }

  const HostOptions& options() const { return options_; }
  const ControllerData& data() const { return data_; }
  std::uint16_t id() const { return data_.id; }
  const CommandSetLimits& command_set() const { return command_set_; }
  std::uint32_t transfer_bytes() const { return transfer_bytes_; }  // of one command, at most
  // Null: the controller has none of that id (any more).
  const HostNamespace* find(std::uint32_t nsid) const;
  const std::map<std::uint32_t, HostNamespace>& namespaces() const { return namespaces_; }
  AnaState access(std::uint32_t nsid) const;
  std::size_t io_queues() const { return io_.size(); }
  std::size_t outstanding() const;  // I/O commands that wait or are under way

  // Null while it does not run. Stays valid until the caller waits.
  HostQueue* io_queue();
  // One admin command. Fails when the controller does not run or the answer is an error.
  core::Task<Result<Completion>> admin(Command command, ByteView out, MutableBytes in);
  core::Task<Result<std::vector<std::uint8_t>>> identify(std::uint8_t structure,
                                                         std::uint32_t nsid);
  core::Task<Result<std::vector<std::uint8_t>>> log_page(std::uint8_t page, std::uint64_t offset,
                                                         std::uint32_t bytes, bool retain = false);
  // Looks at all namespaces again.
  core::Task<Result<void>> rescan();
  // Errors to be injected into commands of the admin queue, or of the I/O queues.
  HostFaults& faults(bool admin) { return admin ? admin_faults_ : io_faults_; }
  // An answer of this access state came in: the ANA log is read again.
  void refresh_access();

  void listen(Listener& listener) { listeners_.push_back(&listener); }
  void unlisten(Listener& listener) { std::erase(listeners_, &listener); }
  std::string text() const;  // "nqn… at 10.0.0.1:8420"

 private:
  void queue_ended(HostQueue& queue) override;
  bool timed_out(HostQueue& queue, HostCall& call) override;

  core::Task<Result<void>> negotiate(core::CancelToken token);
  core::Task<Result<std::unique_ptr<HostQueue>>> open_queue(std::uint16_t id,
                                                            core::CancelToken token);
  core::Task<Result<void>> connect_queue(HostQueue& queue, std::uint16_t id,
                                         core::CancelToken token);
  core::Task<Result<void>> enable(core::CancelToken token);
  core::Task<Result<void>> learn();
  Result<void> check_identity(const ControllerData& data) const;
  core::Task<Result<void>> open_io_queues(core::CancelToken token);
  core::Task<Result<void>> prepare_features();
  core::Task<Result<void>> read_namespaces();
  core::Task<Result<HostNamespace>> read_namespace(std::uint32_t id);
  core::Task<Result<void>> read_access();
  core::Task<Result<Completion>> command(HostQueue& queue, Command command, ByteView out,
                                         MutableBytes in);
  core::Task<Result<std::uint64_t>> get_property(std::uint32_t offset, bool wide);
  core::Task<Result<void>> set_property(std::uint32_t offset, std::uint32_t value);
  core::Task<Result<std::uint32_t>> set_feature(std::uint8_t feature, std::uint32_t value,
                                                ByteView data = {});
  core::Task<void> keep_alive();
  core::Task<void> hear_events();
  core::Task<void> handle_event(std::uint32_t event);
  core::Task<void> read_access_later();
  core::Task<void> abort(std::uint16_t queue, std::uint16_t id);
  core::Task<void> recover();
  bool give_up_now(core::Nanos lost_at) const;
  core::Task<bool> pause(core::Nanos duration);
  core::Task<void> say_goodbye();
  core::Task<void> tear_down();
  void end_queues(const std::string& reason);
  void set_state(State state);
  void tell(void (Listener::*what)());

  core::Env& env_;
  core::Log& log_;
  HostOptions options_;
  State state_ = State::kNew;
  bool fast_failing_ = false, enabled_ = true, association_lost_ = false;
  bool try_owed_ = false;  // the loss was asked for: one try, whatever ctrl_loss is
  bool once_ = false;      // recover() is a retry(), which has one try
  std::string trouble_;
  std::uint64_t reconnects_ = 0;

  ControllerData data_;
  std::uint64_t capabilities_ = 0;  // CAP
  CommandSetLimits command_set_;
  std::uint32_t transfer_bytes_ = 0;
  std::map<std::uint32_t, HostNamespace> namespaces_;
  std::map<std::uint32_t, AnaState> groups_;
  HostFaults admin_faults_, io_faults_;
  bool reading_access_ = false, access_stale_ = false;

  std::unique_ptr<HostQueue> admin_;
  std::vector<std::unique_ptr<HostQueue>> io_;
  std::unique_ptr<core::Scope> association_;  // keep alive, events, aborts
  core::CancelSource closing_;
  core::Event changed_;  // a queue was lost, or somebody wants something
  core::Event settled_;  // state_ or enabled_ is another one
  std::vector<Listener*> listeners_;
};

std::string_view state_name(HostController::State state);

}  // namespace capstan::storage::nvme
