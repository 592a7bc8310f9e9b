// Why this file exists: see state_feed.h.
#include "services/state_feed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "services/monitor_limits.h"
#include "services/pool_v1.h"
#include "services/replica_v1.h"

namespace capstan::services {

namespace {

constexpr core::Nanos kLookEvery = core::kSecond;
// To look at an object takes about two microseconds; looks take at most a tenth of a core,
// whatever happens on the node.
constexpr core::Nanos kPausePerObject = 20'000;

std::uint64_t random_epoch(core::Env& env) {
  std::array<unsigned char, sizeof(std::uint64_t)> bytes{};
  env.fill_random(bytes);
  return std::max<std::uint64_t>(1, std::bit_cast<std::uint64_t>(bytes) >> 1);
}

std::string_view phase_name(Engine::Phase phase) {
  switch (phase) {
    case Engine::Phase::kStarting: return "starting";
    case Engine::Phase::kReady: return model::kReadyState;
    case Engine::Phase::kDraining: return "draining";
  }
  return "";
}

}  // namespace

// --- StateFeed -----------------------------------------------------------------------------------

StateFeed::StateFeed(Engine& engine)
    : engine_(engine),
      epoch_(random_epoch(engine.env())),
      model_([this] { unwatched(); }),
      timer_([this] { look(); }) {
  engine_.events().listen(*this);
  engine_.devices().observe(*this);
}

StateFeed::~StateFeed() {
  CAPSTAN_ASSERT(model_.watchers() == 0);
  engine_.devices().unobserve(*this);
  engine_.events().forget(*this);
}

// What happens while nobody watches is not looked at.
void StateFeed::unwatched() {
  timer_.disarm();
  whole_ = false;
  model_.clear();
}

Result<std::unique_ptr<StateFeed::Subscription>> StateFeed::subscribe(std::set<What> kinds) {
  if (model_.watchers() >= limits::kStateSubscribers) {
    return fail(Code::kResourceExhausted,
                std::to_string(model_.watchers()) +
                    " clients monitor the node's state already, which is the limit; end one of "
                    "them or let them ask a gateway");
  }
  // Those who watch already are told what a look finds, the new one is told everything.
  if (model_.objects().empty() || core::Reactor::current()->now() >= not_before_) {
    whole_ = true;
    look();
  } else {
    look_soon();
  }
  auto made = model_.subscribe(std::move(kinds));
  if (!timer_.armed()) arm(core::Reactor::current()->now() + kLookEvery);
  return made;
}

std::string StateFeed::settle() {
  if (model_.watchers() == 0 || model_.objects().size() > limits::kStateSettleObjects) return {};
  whole_ = true;
  look();
  return model::revision_text(epoch_, model_.rev());
}

void StateFeed::published(std::string_view category, std::string_view, std::string_view,
                          const EventBus::Details&) {
  if (category == "pool" || category == "replica" || category == "node") look_soon();
}

// The engine may be in the middle of a change, so not now.
void StateFeed::look_soon() {
  if (model_.watchers() == 0 || whole_) return;
  whole_ = true;
  arm(std::max(core::Reactor::current()->now(), not_before_));
}

void StateFeed::arm(core::Nanos when) {
  timer_.disarm();
  timer_.arm_at(*core::Reactor::current(), when);
}

void StateFeed::look() {
  const core::Nanos now = core::Reactor::current()->now();
  const bool whole = std::exchange(whole_, false);
  model_.begin_look(whole);
  for (const auto& [name, loaded] : engine_.pools()) {
    model::StateModel::Object object;
    object.pool = std::make_shared<const mayastor::v1::Pool>(pool_message_v1(loaded));
    if (model_.put({What::kPool, name}, std::move(object)) || whole) compare_replicas(loaded);
  }
  model::StateModel::Object object;
  object.progress = std::make_shared<const monitor::v1::Bootstrapped>(progress());
  model_.put({What::kProgress, {}}, std::move(object));
  model_.end_look();
  not_before_ = now + model_.objects().size() * kPausePerObject;
  if (model_.watchers() != 0) arm(std::max(now + kLookEvery, not_before_));
}

monitor::v1::Bootstrapped StateFeed::progress() const {
  monitor::v1::Bootstrapped out;
  out.set_state(std::string(phase_name(engine_.phase())));
  out.set_imported_pools(static_cast<std::uint32_t>(engine_.pools().size()));
  out.set_total_pools(
      static_cast<std::uint32_t>(engine_.pools().size() + engine_.unavailable().size()));
  return out;
}

void StateFeed::compare_replicas(const LoadedPool& loaded) {
  for (const auto& replica : loaded.pool->replicas()) {
    model::StateModel::Object object;
    object.replica = std::make_shared<const mayastor::v1::Replica>(
        replica_message_v1(engine_.shares(), *replica));
    model_.put({What::kReplica, replica->uuid().text()}, std::move(object));
  }
}

}  // namespace capstan::services
