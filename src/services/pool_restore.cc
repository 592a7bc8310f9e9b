// Why this file exists: see pool_restore.h. All decisions are made in step(), which does not wait;
// the only coroutines are the openings themselves. So nothing runs while nothing is being opened.
#include "services/pool_restore.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "services/engine.h"
#include "services/pool_ops.h"
#include "services/restore_limits.h"

namespace capstan::services {
namespace {

constexpr std::string_view kNotLookedFor = "the node is starting and has not looked for it yet";

core::Nanos now() {
  return core::Reactor::current()->now();
}

// The device that is made by others, who must come first.
std::optional<std::string> lies_on(const node::v1::PoolRecord& record) {
  const auto uri = storage::parse_device_uri(record.disk());
  if (!uri || uri->scheme != storage::DeviceUri::Scheme::kExisting) return std::nullopt;
  return uri->name;
}

// Whether the disk, or the way to it, is not there at the moment. Of another node every failure may
// be one of the way.
bool may_come(const node::v1::PoolRecord& record, const Error& error) {
  const auto uri = storage::parse_device_uri(record.disk());
  if (uri && uri->scheme == storage::DeviceUri::Scheme::kNvmf) return true;
  switch (error.sys_errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case EBUSY:
    case EAGAIN:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH: return true;
    default: return false;
  }
}

}  // namespace

PoolRestore::PoolRestore(Engine& engine) : engine_(engine), timer_([this] { step(); }) {
  engine_.events().listen(*this);
  engine_.devices().observe(*this);
}

PoolRestore::~PoolRestore() {
  engine_.devices().unobserve(*this);
  engine_.events().forget(*this);
}

core::Task<void> PoolRestore::start() {
  for (const auto& [name, record] : engine_.state().pools()) {
    ones_.emplace(name, One{.record = record, .device = lies_on(record)});
    engine_.unavailable()[name] = kNotLookedFor;
  }
  step();
  co_await served_.wait();
}

void PoolRestore::give_up() {
  given_up_ = true;
  timer_.disarm();
}

Result<void> PoolRestore::check(std::string_view pool) const {
  const auto found = ones_.find(pool);
  if (found == ones_.end() || found->second.state != State::kOpening) return {};
  const One& one = found->second;
  return fail(Code::kUnavailable,
              "pool '" + found->first + "' is being opened, for " +
                  std::to_string((now() - one.since) / core::kSecond) + " s now: its disk '" +
                  one.record.disk() +
                  "' is slow or does not answer; the pool appears by itself when it does; look "
                  "after the disk, and when it is gone for good, take it away from the machine "
                  "and export the pool to forget it");
}

Result<void> PoolRestore::check_all() const {
  for (const auto& [name, one] : ones_) TRY(check(name));
  return {};
}

bool PoolRestore::expects(std::string_view pool) const {
  const auto found = ones_.find(pool);
  return found != ones_.end() && found->second.state != State::kSettled;
}

void PoolRestore::published(std::string_view category, std::string_view, std::string_view,
                            const EventBus::Details&) {
  if (category == "pool" || category == "replica") step_soon();
}

// Whoever says that something has changed may be in the middle of it.
void PoolRestore::step_soon() {
  if (ones_.empty() || given_up_) return;
  timer_.disarm();
  timer_.arm_at(*core::Reactor::current(), now());
}

void PoolRestore::step() {
  drop_settled();
  if (given_up_) return;
  mark_late();
  begin_what_can();
  serve();
  set_timer();
}

// What was opened, exported or destroyed by a call needs nothing more from here either.
void PoolRestore::drop_settled() {
  std::erase_if(ones_, [this](const auto& entry) {
    const auto& [name, one] = entry;
    if (one.state == State::kOpening) return false;
    return one.state == State::kSettled || engine_.find_pool(name) ||
           !engine_.state().pools().contains(name);
  });
}

void PoolRestore::mark_late() {
  for (auto& [name, one] : ones_) {
    if (one.state != State::kOpening || one.late) continue;
    if (now() < one.since + limits::kPoolRestoreNanos) continue;
    one.late = true;
    // Of one that is tried again, what kept it from being opened says more, and is known.
    const bool again = engine_.unavailable()[name] != kNotLookedFor;
    if (!again) tell(name, one, check(name).error().message);
  }
}

void PoolRestore::begin_what_can() {
  std::size_t running = in_time();
  for (auto& [name, one] : ones_) {
    if (running >= limits::kPoolRestoresAtOnce) return;
    if (!can_begin(one)) continue;
    begin(name, one);
    ++running;
  }
  const auto opening = [](const auto& entry) { return entry.second.state == State::kOpening; };
  if (std::ranges::any_of(ones_, opening)) return;
  // Nobody is left who could bring a device that was waited for: let the opening say so.
  for (auto& [name, one] : ones_) {
    if (one.state == State::kNew) begin(name, one);
  }
}

bool PoolRestore::can_begin(const One& one) const {
  if (one.state != State::kNew && one.state != State::kMissing) return false;
  if (!one.device) {
    return one.state == State::kNew || now() >= one.since + limits::kPoolRetryNanos;
  }
  const auto device = engine_.devices().find(*one.device);
  if (!device || device->claimed()) return false;
  // Another device than the one that has just failed is tried at once.
  const bool again = one.state == State::kMissing && one.tried.lock() == device;
  if (again && now() < one.since + limits::kPoolRetryNanos) return false;
  // A volume is known before its pool has been opened to the end.
  const auto* replica = dynamic_cast<const storage::Replica*>(device.get());
  return !replica || !engine_.locks().held(replica->pool_name());
}

void PoolRestore::begin(const std::string& name, One& one) {
  one.state = State::kOpening;
  one.since = now();
  one.late = false;
  if (one.device) one.tried = engine_.devices().find(*one.device);
  scope_.spawn(open(name));
}

core::Task<void> PoolRestore::open(std::string name) {
  const node::v1::PoolRecord record = ones_.at(name).record;
  PoolArguments arguments;
  arguments.name = name;
  arguments.uuid = Uuid::parse(record.uuid());
  arguments.disks = {record.disk()};
  arguments.restoring = true;
  const auto opened = co_await import_pool(engine_, std::move(arguments));
  bool done = opened.has_value();
  // Its destruction had begun and nothing of it is left: finish what was asked for.
  if (!done && record.destroying() && co_await nothing_left(engine_, record.disk())) {
    done = (co_await engine_.state().remove(name)).has_value();
    if (done) engine_.unavailable().erase(name);
  }
  One& one = ones_.at(name);
  one.state = State::kSettled;
  if (!done) failed(name, one, opened.error());
  step();
}

void PoolRestore::failed(const std::string& name, One& one, const Error& error) {
  if (engine_.find_pool(name) || !engine_.state().pools().contains(name)) return;
  const bool in_the_way = error.code == Code::kAborted;  // a call on this very pool
  if (in_the_way || may_come(one.record, error)) {
    one.state = State::kMissing;
    one.since = now();
  }
  if (!in_the_way) tell(name, one, error.text());
}

void PoolRestore::tell(const std::string& name, const One& one, std::string reason) {
  auto& known = engine_.unavailable()[name];
  if (known == reason) return;
  known = std::move(reason);
  engine_.log().error("pool_unavailable",
                      {{"pool", name}, {"disk", one.record.disk()}, {"error", known}});
  engine_.events().publish("pool", "state_change", name,
                           {{"state", "unavailable"}, {"reason", known}});
}

void PoolRestore::serve() {
  if (in_time() != 0 || served_.is_set()) return;
  for (auto& [name, one] : ones_) {
    if (one.state != State::kNew) continue;
    tell(name, one,
         "its device '" + *one.device +
             "' is not there yet; a pool that is still being opened may have it");
  }
  served_.set();
}

// A time that lies ahead, so that what cannot begin yet is not looked at without end. Nobody tells
// when a device is released; one that is not there tells of itself when it comes.
std::optional<core::Nanos> PoolRestore::next_look(const One& one) const {
  if (one.state == State::kOpening && !one.late) return one.since + limits::kPoolRestoreNanos;
  if (one.state != State::kNew && one.state != State::kMissing) return std::nullopt;
  if (one.device && !engine_.devices().find(*one.device)) return std::nullopt;
  const core::Nanos retry = one.since + limits::kPoolRetryNanos;
  if (one.state == State::kMissing && retry > now()) return retry;
  return now() + limits::kPoolRetryNanos;
}

void PoolRestore::set_timer() {
  std::optional<core::Nanos> next;
  for (const auto& [name, one] : ones_) {
    const auto when = next_look(one);
    if (when) next = std::min(next.value_or(*when), *when);
  }
  timer_.disarm();
  if (next) timer_.arm_at(*core::Reactor::current(), *next);
}

std::size_t PoolRestore::in_time() const {
  return static_cast<std::size_t>(std::ranges::count_if(ones_, [](const auto& entry) {
    return entry.second.state == State::kOpening && !entry.second.late;
  }));
}

}  // namespace capstan::services
