// Why this file exists: see initiator.h.
#include "storage/nvme/initiator.h"

#include <algorithm>
#include <cerrno>

namespace capstan::storage::nvme {

Initiator::Initiator(core::Env& env, const core::Log& log)
    : env_(env), log_(log.child("nvme_host")) {}

Initiator::~Initiator() {
  CAPSTAN_ASSERT(controllers_.empty() && connecting_ == 0);
}

std::vector<HostController*> Initiator::controllers() const {
  return {controllers_.begin(), controllers_.end()};
}

core::Task<Result<std::shared_ptr<HostController>>> Initiator::connect(HostOptions options,
                                                                       core::CancelToken token) {
  for (const std::string* name : {&options.subsystem, &options.host}) {
    if (valid_nqn(*name)) continue;
    co_return fail(Code::kInvalidArgument,
                   "'" + *name + "' is no NVMe name; it must begin with 'nqn.' and have at most " +
                       std::to_string(kNqnBytesMax) + " bytes",
                   EINVAL);
  }
  if (closed_) co_return fail(Code::kUnavailable, "the node is shutting down", ESHUTDOWN);
  if (controllers_.size() >= limits::kHostControllers) {
    co_return fail(Code::kResourceExhausted,
                   "the node is connected to " + std::to_string(controllers_.size()) +
                       " NVMe controllers already; destroy some of its remote devices first",
                   EMFILE);
  }
  auto controller = std::make_shared<HostController>(env_, log_, std::move(options));
  controllers_.push_back(controller.get());
  ++connecting_;
  const auto done = co_await controller->establish(token);
  --connecting_;
  idle_.notify_all();
  if (!done) {
    controllers_.remove(controller.get());
    if (closed_ && !token.fired()) {
      co_return fail(Code::kUnavailable, "the node is shutting down", ESHUTDOWN);
    }
    co_return std::unexpected(done.error());
  }
  log_.info("controller_connected", {{"subsystem", controller->options().subsystem},
                                     {"address", controller->options().address.text()},
                                     {"controller", controller->id()},
                                     {"io_queues", controller->io_queues()}});
  scope_.spawn(keep(controller));
  // The caller's pointer closes the controller, the one within keeps it until that is done.
  co_return std::shared_ptr<HostController>(
      controller.get(), [controller](HostController*) mutable { controller->close(); });
}

core::Task<void> Initiator::keep(std::shared_ptr<HostController> controller) {
  co_await controller->supervise();
  controllers_.remove(controller.get());
}

void Initiator::stop_connecting() {
  closed_ = true;
  for (HostController* controller : controllers()) {
    if (controller->state() == HostController::State::kNew) controller->close();
  }
}

core::Task<void> Initiator::shutdown() {
  closed_ = true;
  for (HostController* controller : controllers()) controller->close();
  while (connecting_ != 0) co_await idle_.wait();
  for (HostController* controller : controllers()) controller->close();
  co_await scope_.join();
}

HostId host_id_of(const Uuid& uuid) {
  HostId id;
  std::ranges::copy(uuid.bytes, id.begin());
  return id;
}

namespace {

// Generation and records, or nothing when the log changed meanwhile.
core::Task<Result<std::optional<std::vector<DiscoveryRecord>>>> read_once(
    HostController& controller) {
  using Nothing = std::optional<std::vector<DiscoveryRecord>>;
  CO_TRY_SET(auto page,
             co_await controller.log_page(log_page::kDiscovery, 0, kDiscoveryRecordBytes, true));
  const auto generation = load_le<std::uint64_t>(page.data());
  const auto count = load_le<std::uint64_t>(page.data() + 8);
  if (count > limits::kHostDiscoveryRecords) {
    co_return fail(Code::kOutOfRange,
                   "the discovery log has " + std::to_string(count) + " records, more than " +
                       std::to_string(limits::kHostDiscoveryRecords),
                   EFBIG);
  }
  if (count != 0) {
    CO_TRY_SET(const auto records,
               co_await controller.log_page(
                   log_page::kDiscovery, kDiscoveryRecordBytes,
                   static_cast<std::uint32_t>(count * kDiscoveryRecordBytes), true));
    page.insert(page.end(), records.begin(), records.end());
  }
  CO_TRY_SET(const auto again,
             co_await controller.log_page(log_page::kDiscovery, 0, kDiscoveryRecordBytes));
  if (load_le<std::uint64_t>(again.data()) != generation) co_return Nothing();
  co_return Nothing(load_discovery_records(page));
}

}  // namespace

core::Task<Result<std::vector<DiscoveryRecord>>> discover(Initiator& initiator,
                                                          HostOptions options) {
  options.subsystem = kDiscoveryNqn;
  options.keep_alive_ms = 0;
  options.ctrl_loss = 0;
  CO_TRY_SET(auto controller, co_await initiator.connect(std::move(options)));
  co_return co_await read_discovery_log(std::move(controller));
}

core::Task<Result<std::vector<DiscoveryRecord>>> read_discovery_log(
    std::shared_ptr<HostController> controller) {
  for (unsigned tries = 0; tries < limits::kHostDiscoveryTries; ++tries) {
    CO_TRY_SET(auto records, co_await read_once(*controller));
    if (records) co_return *std::move(records);
  }
  co_return fail(Code::kAborted, "the discovery log keeps changing; try again", EAGAIN);
}

}  // namespace capstan::storage::nvme
