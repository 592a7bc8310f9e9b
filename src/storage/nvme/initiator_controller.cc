// Why this file exists: see initiator_controller.h; this part is the life of an association after
// it was made: keep alive, events, loss, return and end.
#include "storage/nvme/initiator_controller.h"

#include <algorithm>

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kShutdown = 0x00464001;  // CC as enabled, with SHN = normal
constexpr std::uint64_t kShutdownDone = 8;       // CSTS.SHST = 10b
constexpr std::uint32_t kChangedNamespaceBytes = 4096;

// Log pages that an event names.
constexpr std::uint8_t page_of(std::uint32_t event) {
  return static_cast<std::uint8_t>(event >> 16);
}

}  // namespace

std::string_view state_name(HostController::State state) {
  using State = HostController::State;
  switch (state) {
    case State::kNew: return "new";
    case State::kRunning: return "running";
    case State::kReconnecting: return "reconnecting";
    case State::kFailed: return "failed";
    case State::kClosing: return "closing";
    case State::kClosed: return "closed";
  }
  return "unknown";
}

HostController::HostController(core::Env& env, core::Log& log, HostOptions options)
    : env_(env), log_(log), options_(std::move(options)), trouble_("not connected yet") {
  options_.io_queues = std::clamp<std::uint16_t>(options_.io_queues, 1, limits::kHostQueuesMax);
  options_.queue_entries =
      std::clamp<std::uint16_t>(options_.queue_entries, 2, limits::kHostQueueEntriesMax);
}

HostController::~HostController() {
  CAPSTAN_ASSERT(!admin_ && io_.empty() && !association_);
}

std::string HostController::text() const {
  return options_.subsystem + " at " + options_.address.text();
}

const HostNamespace* HostController::find(std::uint32_t nsid) const {
  const auto it = namespaces_.find(nsid);
  return it == namespaces_.end() ? nullptr : &it->second;
}

AnaState HostController::access(std::uint32_t nsid) const {
  const HostNamespace* space = find(nsid);
  if (!space || !data_.ana() || space->data.ana_group == 0) return AnaState::kOptimized;
  const auto group = groups_.find(space->data.ana_group);
  return group == groups_.end() ? AnaState::kOptimized : group->second;
}

HostQueue* HostController::io_queue() {
  if (state_ != State::kRunning || association_lost_) return nullptr;
  HostQueue* best = nullptr;
  for (const auto& queue : io_) {
    if (queue->ended()) return nullptr;  // the others will end too
    if (!best || queue->outstanding() < best->outstanding()) best = queue.get();
  }
  return best;
}

std::size_t HostController::outstanding() const {
  std::size_t commands = 0;
  for (const auto& queue : io_) commands += queue->outstanding();
  return commands;
}

void HostController::set_state(State state) {
  if (state_ == state) return;
  state_ = state;
  settled_.notify_all();
  tell(&Listener::path_changed);
}

void HostController::tell(void (Listener::*what)()) {
  const auto listeners = listeners_;  // one of them may come or go meanwhile
  for (Listener* listener : listeners) {
    if (std::ranges::find(listeners_, listener) != listeners_.end()) (listener->*what)();
  }
}

// --- losing connections --------------------------------------------------------------------------

void HostController::queue_ended(HostQueue& queue) {
  if (association_lost_) return;
  association_lost_ = true;
  trouble_ = queue.reason();
  if (state_ == State::kRunning) set_state(State::kReconnecting);
  changed_.notify_all();
}

void HostController::end_queues(const std::string& reason) {
  if (admin_) admin_->end(reason);
  for (const auto& queue : io_) queue->end(reason);
}

bool HostController::timed_out(HostQueue& queue, HostCall& call) {
  if (&queue == admin_.get() || call.abort_sent || !association_ || association_lost_) return false;
  if (options_.timeout_action != TimeoutAction::kAbort) return false;
  const auto at = std::ranges::find(io_, &queue, &std::unique_ptr<HostQueue>::get);
  if (at == io_.end()) return false;
  call.abort_sent = true;
  association_->spawn(abort(static_cast<std::uint16_t>(at - io_.begin() + 1), call.id));
  return true;
}

core::Task<void> HostController::abort(std::uint16_t queue, std::uint16_t id) {
  log_.warn("aborting_command", {{"subsystem", options_.subsystem}, {"command", id}});
  Command request;
  request.set(0, opcode::kAbort);
  request.set<std::uint32_t>(40, std::uint32_t{id} << 16 | queue);
  // Whether it helped is seen on the command itself.
  static_cast<void>(co_await command(*admin_, request, {}, {}));
}

void HostController::reset(std::string reason) {
  if (state_ != State::kRunning) return;
  try_owed_ = true;
  end_queues(reason);
}

void HostController::set_enabled(bool enabled) {
  if (enabled_ == enabled) return;
  enabled_ = enabled;
  if (!enabled) reset("disabled");
  changed_.notify_all();
  settled_.notify_all();
  tell(&Listener::path_changed);
}

core::Task<Result<void>> HostController::retry(core::CancelToken token) {
  // Another one's try is as good.
  const bool trying = state_ == State::kReconnecting && once_;
  if (!enabled_ || (state_ != State::kFailed && !trying)) co_return {};
  if (!trying) {
    once_ = try_owed_ = association_lost_ = true;
    set_state(State::kReconnecting);
    changed_.notify_all();
  }
  const core::CancelCallback left(token, [this] { settled_.notify_all(); });
  while (state_ == State::kReconnecting && enabled_ && !token.fired()) co_await settled_.wait();
  if (state_ == State::kRunning) co_return {};
  CO_TRY(token.check());
  co_return fail(Code::kUnavailable, "NVMe subsystem " + text() + ": " + trouble_, EIO);
}

void HostController::close() {
  if (closing_.fired()) return;
  if (state_ == State::kRunning) set_state(State::kClosing);
  closing_.fire();
  changed_.notify_all();
}

core::Task<void> HostController::tear_down() {
  end_queues("closed");
  if (association_) association_->cancel();
  if (admin_) co_await admin_->stop();
  for (const auto& queue : io_) co_await queue->stop();
  if (association_) co_await association_->join();
  association_.reset();
  admin_.reset();
  io_.clear();
}

core::Task<void> HostController::supervise() {
  core::name_task("nvme controller");
  while (!closing_.fired()) {
    if (!association_lost_ || state_ == State::kFailed) {  // that one waits for retry()
      co_await changed_.wait();
      continue;
    }
    if (!once_) {
      log_.warn("controller_lost", {{"subsystem", options_.subsystem},
                                    {"address", options_.address.text()},
                                    {"reason", trouble_}});
    }
    co_await recover();
  }
  set_state(State::kClosing);
  if (admin_ && !association_lost_) co_await say_goodbye();
  co_await tear_down();
  trouble_ = "closed";
  set_state(State::kClosed);
}

bool HostController::give_up_now(core::Nanos lost_at) const {
  if (try_owed_) return false;
  if (once_) return true;
  return options_.ctrl_loss != HostOptions::kForever &&
         core::Reactor::current()->now() - lost_at >= options_.ctrl_loss;
}

// Connects again until it works or is given up.
core::Task<void> HostController::recover() {
  core::Reactor& reactor = *core::Reactor::current();
  core::Nanos lost_at = reactor.now();
  core::Timer fast_fail([this] {
    fast_failing_ = true;
    tell(&Listener::path_changed);
  });
  if (options_.fast_io_fail != 0) fast_fail.arm_at(reactor, lost_at + options_.fast_io_fail);
  co_await tear_down();
  core::Nanos delay = std::min(limits::kHostReconnectNanosMin, options_.reconnect_delay);
  bool first = true;
  while (!closing_.fired()) {
    if (!enabled_) {  // the time counts from when it may come back
      co_await changed_.wait();
      lost_at = reactor.now();
      first = try_owed_ = true;
      continue;
    }
    if (give_up_now(lost_at)) {
      once_ = false;
      set_state(State::kFailed);
      log_.error("controller_given_up", {{"subsystem", options_.subsystem},
                                         {"address", options_.address.text()},
                                         {"reason", trouble_}});
      co_return;
    }
    // The first try comes at once: often only one connection was lost.
    const bool forever = options_.ctrl_loss == HostOptions::kForever;
    const core::Nanos left = forever ? delay : lost_at + options_.ctrl_loss - reactor.now();
    if (!first && !co_await pause(std::min(delay, left))) continue;
    if (!first) delay = std::min(delay * 2, std::max(options_.reconnect_delay, delay));
    if (!enabled_) continue;
    first = try_owed_ = false;
    const auto connected = co_await establish();
    if (connected) {
      ++reconnects_;
      log_.info("controller_back",
                {{"subsystem", options_.subsystem}, {"address", options_.address.text()}});
      once_ = false;
      if (!enabled_) reset("disabled");  // somebody said so meanwhile
      co_return;
    }
    trouble_ = connected.error().text();
  }
}

// False: woken before. While disabled it lasts until somebody changes that.
core::Task<bool> HostController::pause(core::Nanos duration) {
  core::Timer timer([this] { changed_.notify_all(); });
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos until = reactor.now() + duration;
  if (enabled_) timer.arm_at(reactor, until);
  co_await changed_.wait();
  co_return reactor.now() >= until;
}

core::Task<void> HostController::say_goodbye() {
  core::Timer timer([this] { end_queues("the shutdown had no answer"); });
  core::Reactor& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + limits::kHostGoodbyeNanos);
  if (!co_await set_property(property::kCc, kShutdown)) co_return;
  while (!association_lost_) {
    const auto status = co_await get_property(property::kCsts, false);
    if (!status || (*status & kShutdownDone) != 0) co_return;
    static_cast<void>(co_await core::sleep_for(limits::kHostReadyNanos));
  }
}

// --- what runs beside I/O ------------------------------------------------------------------------

core::Task<void> HostController::keep_alive() {
  core::name_task("nvme keep alive");
  const core::Nanos interval = options_.keep_alive_ms * core::kMillisecond / 2;
  const core::CancelToken token = association_->token();
  while (co_await core::sleep_for(interval, token)) {
    Command request;
    request.set(0, opcode::kKeepAlive);
    const auto answer = co_await command(*admin_, request, {}, {});
    if (!answer) {
      if (!association_lost_) admin_->end("keep alive: " + answer.error().text());
      co_return;
    }
  }
}

core::Task<void> HostController::hear_events() {
  core::name_task("nvme events");
  while (!association_lost_) {
    HostCall call;
    call.command.set(0, opcode::kAsyncEvent);
    call.unlimited = true;
    if (co_await admin_->call(call) != HostCall::Outcome::kAnswered) co_return;
    if (!call.completion.status.ok()) co_return;  // it takes no such requests
    co_await handle_event(call.completion.dword0);
  }
}

core::Task<void> HostController::handle_event(std::uint32_t event) {
  Result<void> done;
  switch (page_of(event)) {
    case log_page::kChangedNamespaces: {
      const auto page = co_await log_page(log_page::kChangedNamespaces, 0, kChangedNamespaceBytes);
      if (page) done = co_await rescan();
      break;
    }
    case log_page::kAna: {
      done = co_await read_access();
      if (done) tell(&Listener::path_changed);
      break;
    }
    case log_page::kDiscovery: tell(&Listener::discovery_changed); break;
    default: break;
  }
  if (done || association_lost_) co_return;
  log_.warn("event_not_followed",
            {{"subsystem", options_.subsystem}, {"event", event}, {"error", done.error().text()}});
}

void HostController::refresh_access() {
  if (!data_.ana() || !association_ || association_lost_) return;
  access_stale_ = true;
  if (reading_access_) return;
  reading_access_ = true;
  association_->spawn(read_access_later());
}

core::Task<void> HostController::read_access_later() {
  while (std::exchange(access_stale_, false) && !association_lost_) {
    if (!co_await read_access()) break;
  }
  reading_access_ = false;
  tell(&Listener::path_changed);
}

}  // namespace capstan::storage::nvme
