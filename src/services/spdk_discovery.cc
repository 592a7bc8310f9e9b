// Why this file exists: see spdk_discovery.h.
#include "services/spdk_discovery.h"

#include <algorithm>
#include <cerrno>

namespace capstan::services {

namespace nvme = storage::nvme;

SpdkDiscovery::SpdkDiscovery(Engine& engine, Controllers& controllers, std::string name,
                             HostOptions options)
    : engine_(engine),
      controllers_(controllers),
      name_(std::move(name)),
      options_(std::move(options)) {}

SpdkDiscovery::~SpdkDiscovery() {
  CAPSTAN_ASSERT(!service_);
}

bool SpdkDiscovery::Found::is(const nvme::DiscoveryRecord& record) const {
  return subsystem == record.subsystem && address.host == record.host &&
         address.port == record.service;
}

bool SpdkDiscovery::attached(const std::string& controller) const {
  return std::ranges::any_of(found_, [&](const Found& f) { return f.controller == controller; });
}

void SpdkDiscovery::note_change() {
  dirty_ = true;
  changed_.notify_all();
}

void SpdkDiscovery::warn(const char* event, const std::string& subsystem, const Error& error) {
  engine_.log().warn(event,
                     {{"discovery", name_}, {"subsystem", subsystem}, {"error", error.text()}});
}

void SpdkDiscovery::stop(bool detach) {
  stopping_ = true;
  detach_ = detach;
  // Nobody wants to wait for a service or a subsystem that does not answer.
  leaving_.fire();
  if (service_) service_->close();
  note_change();
}

core::Task<void> SpdkDiscovery::run() {
  core::name_task("nvme discovery");
  while (!stopping_) {
    dirty_ = false;
    const bool complete = co_await look();
    if (!stopping_ && !dirty_) co_await rest(complete);
  }
  for (const Found& found : detach_ ? std::vector(found_) : std::vector<Found>()) {
    (void)co_await detach(found);
  }
  found_.clear();
  if (service_) service_->unlisten(*this);
  service_.reset();
  tried_.set();
  ended_.set();
}

// Until something changes; what could not be done is tried again after a while.
core::Task<void> SpdkDiscovery::rest(bool complete) {
  core::Timer again([this] { changed_.notify_all(); });
  core::Reactor& reactor = *core::Reactor::current();
  if (!complete) again.arm_at(reactor, reactor.now() + options_.reconnect_delay);
  co_await changed_.wait();
}

// False: not all is as the log says.
core::Task<bool> SpdkDiscovery::look() {
  if (!service_) {
    HostOptions options = options_;
    options.subsystem = nvme::kDiscoveryNqn;
    options.ctrl_loss = HostOptions::kForever;
    options.fast_io_fail = 0;
    auto connected =
        co_await engine_.remotes().initiator().connect(std::move(options), leaving_.token());
    if (!connected) {
      if (!stopping_) warn("discovery_not_reached", options_.address.text(), connected.error());
      co_return false;
    }
    service_ = *std::move(connected);
    service_->listen(*this);
  }
  if (service_->state() != nvme::HostController::State::kRunning) co_return false;
  auto records = co_await nvme::read_discovery_log(service_);
  if (!records) {
    if (!stopping_) warn("discovery_not_read", options_.address.text(), records.error());
    co_return false;
  }
  const bool complete = co_await follow(*std::move(records));
  if (!stopping_) tried_.set();
  co_return complete;
}

core::Task<bool> SpdkDiscovery::follow(std::vector<nvme::DiscoveryRecord> records) {
  referrals_.clear();
  std::ranges::copy_if(records, std::back_inserter(referrals_),
                       [](const auto& record) { return record.referral; });
  std::erase_if(records, [](const auto& record) { return record.discovery; });
  const auto named = [&](const Found& found) {
    return std::ranges::any_of(records, [&](const auto& record) { return found.is(record); });
  };
  std::vector<Found> gone;
  std::ranges::copy_if(found_, std::back_inserter(gone), [&](const auto& f) { return !named(f); });
  bool complete = true;
  for (const Found& found : gone) complete &= co_await detach(found);
  for (const auto& record : records) {
    const auto there = [&](const Found& found) { return found.is(record); };
    if (stopping_) co_return false;
    if (std::ranges::none_of(found_, there)) complete &= co_await attach(record);
  }
  std::erase_if(names_, [&](const auto& entry) {
    const auto named_by = [&](const auto& each) { return each.subsystem == entry.first; };
    return std::ranges::none_of(records, named_by) && std::ranges::none_of(found_, named_by);
  });
  co_return complete;
}

nvme::HostOptions SpdkDiscovery::path_options(const Found& found) const {
  HostOptions options = options_;
  options.subsystem = found.subsystem;
  options.address = found.address;
  return options;
}

core::Task<bool> SpdkDiscovery::attach(nvme::DiscoveryRecord record) {
  const auto [name, added] = names_.try_emplace(record.subsystem);
  // Controllers that others attached, and those of other discoveries, keep their names.
  while (added && (name->second.empty() || controllers_.has_controller(name->second))) {
    name->second = name_ + std::to_string(next_++);
  }
  const Found found{record.subsystem, name->second,
                    core::Address::tcp(record.host, record.service)};
  found_.push_back(found);  // from the moment on at which others see it
  const auto done =
      co_await controllers_.attach_found(found.controller, path_options(found), leaving_.token());
  if (done) co_return true;
  forget(found);
  if (!stopping_) warn("discovered_not_attached", record.subsystem, done.error());
  co_return false;
}

// False: it could not be, and is tried again. Until it is gone it is ours: who saves the
// configuration meanwhile must not take it for one that was attached by hand.
core::Task<bool> SpdkDiscovery::detach(Found found) {
  const auto done = co_await controllers_.detach_found(found.controller, path_options(found));
  if (done) forget(found);
  if (!done) warn("discovered_not_detached", found.subsystem, done.error());
  co_return done.has_value();
}

void SpdkDiscovery::forget(const Found& found) {
  std::erase_if(found_, [&](const Found& other) {
    return other.subsystem == found.subsystem && other.address.text() == found.address.text();
  });
}

core::Task<Result<void>> SpdkDiscovery::wait(core::Nanos patience, core::CancelToken token) {
  bool late = false;
  core::Timer timer([&] {
    late = true;
    tried_.notify_all();
  });
  const core::CancelCallback cancelled(token, [this] { tried_.notify_all(); });
  core::Reactor& reactor = *core::Reactor::current();
  if (patience != 0) timer.arm_at(reactor, reactor.now() + patience);
  while (!tried_.is_set() && !late && !token.fired()) co_await tried_.wait();
  if (stopping_) co_return fail(Code::kCancelled, "discovery was stopped", ECANCELED);
  if (tried_.is_set()) co_return {};
  if (token.fired()) co_return token.check();
  co_return fail(Code::kDeadlineExceeded,
                 "discovery service " + options_.address.text() + " has not answered in time",
                 ETIMEDOUT);
}

}  // namespace capstan::services
