// Why this file exists: see initiator_controller.h; this part is the way from a socket to a
// controller that runs: the steps of nvme-tcp section 17.1 in their order.
#include <algorithm>
#include <cerrno>

#include "storage/nvme/identify.h"
#include "storage/nvme/initiator_controller.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kEnable = 0x00460001;  // CC: 64-byte and 16-byte entries, enabled
constexpr std::uint8_t kIoController = 1, kDiscoveryController = 2;
// Events we know how to handle: namespaces, ANA, discovery log.
constexpr std::uint32_t kEventsWanted = 0x100 | 0x800 | 0x80000000;
constexpr std::uint32_t kSubsystemRefused = 0x10100, kHostRefused = 0x10200;

Command fabrics_command(std::uint8_t type) {
  Command command;
  command.set(0, opcode::kFabrics);
  command.set(4, type);
  return command;
}

}  // namespace

core::Task<Result<void>> HostController::establish(core::CancelToken token) {
  core::CancelSource limit(closing_.token());
  core::Timer timer([&] {
    limit.fire(Code::kDeadlineExceeded);
    end_queues("connecting took too long");
  });
  const core::CancelCallback closed(closing_.token(), [this] { end_queues("closed"); });
  const core::CancelCallback left(token, [&] {
    limit.fire(token.reason());
    end_queues("nobody waits for the connection any more");
  });
  timer.arm_at(*core::Reactor::current(),
               core::Reactor::current()->now() + options_.connect_timeout);
  association_lost_ = false;
  association_ = std::make_unique<core::Scope>();
  auto done = co_await negotiate(limit.token());
  timer.disarm();
  if (done && association_lost_) {
    done = fail(Code::kUnavailable, admin_ && admin_->ended() ? admin_->reason() : "lost at once");
  }
  if (!done && limit.fired()) {
    done = closing_.fired() || token.fired()
               ? limit.token().check()
               : fail(Code::kDeadlineExceeded,
                      "not connected within " +
                          std::to_string(options_.connect_timeout / core::kMillisecond) + " ms",
                      ETIMEDOUT);
  }
  if (!done) {
    co_await tear_down();
    co_return std::unexpected(std::move(done).error().within("NVMe subsystem " + text()));
  }
  trouble_.clear();
  fast_failing_ = false;
  set_state(State::kRunning);
  tell(&Listener::namespaces_changed);
  co_return {};
}

core::Task<Result<void>> HostController::negotiate(core::CancelToken token) {
  CO_TRY_SET(admin_, co_await open_queue(0, token));
  CO_TRY(co_await enable(token));
  CO_TRY(co_await learn());
  if (data_.type != kDiscoveryController) {
    CO_TRY(co_await open_io_queues(token));
    CO_TRY(co_await prepare_features());
    CO_TRY(co_await read_access());
    CO_TRY(co_await read_namespaces());
  } else {
    CO_TRY(co_await prepare_features());
  }
  if (options_.keep_alive_ms != 0) association_->spawn(keep_alive());
  if ((data_.events & kEventsWanted) != 0) association_->spawn(hear_events());
  co_return {};
}

core::Task<Result<std::unique_ptr<HostQueue>>> HostController::open_queue(std::uint16_t id,
                                                                          core::CancelToken token) {
  HostQueue::Settings settings;
  settings.digests = options_.digests;
  settings.entries = id == 0 ? limits::kHostAdminEntries : options_.queue_entries;
  settings.in_capsule_bytes = limits::kHostAdminCapsuleBytes;
  if (id != 0) {
    const auto capsule = std::min<std::uint64_t>(std::uint64_t{data_.capsule_units} * 16,
                                                 kCommandBytes + limits::kHostCopyBytes);
    settings.in_capsule_bytes =
        capsule > kCommandBytes ? static_cast<std::uint32_t>(capsule - kCommandBytes) : 0;
    const auto entries = static_cast<std::uint32_t>(capabilities_ & 0xFFFF) + 1;  // MQES
    settings.entries =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(settings.entries, entries));
  }
  settings.faults = &faults(id == 0);
  settings.timeout = id == 0 ? options_.admin_timeout : options_.io_timeout;
  CO_TRY_SET(auto queue, co_await HostQueue::open(env_, options_.address, settings, *this, token));
  auto connected = co_await connect_queue(*queue, id, token);
  if (!connected) {
    co_await queue->stop();
    co_return std::unexpected(std::move(connected).error());
  }
  co_return queue;
}

core::Task<Result<void>> HostController::connect_queue(HostQueue& queue, std::uint16_t id,
                                                       core::CancelToken token) {
  Command command = fabrics_command(fabrics::kConnect);
  const std::uint16_t entries = id == 0 ? limits::kHostAdminEntries : queue.entries();
  store_connect(command, {0, id, static_cast<std::uint16_t>(entries - 1),
                          options_.flow_control ? std::uint8_t{0} : std::uint8_t{4},
                          id == 0 ? options_.keep_alive_ms : 0});
  std::vector<std::uint8_t> data(kConnectDataBytes);
  store_connect_data(data.data(), {options_.host_id, id == 0 ? kAnyController : data_.id,
                                   options_.subsystem, options_.host});
  HostCall call;
  call.command = command;
  call.out = data;
  const core::CancelCallback cancelled(token, [&] { queue.end("connecting took too long"); });
  if (co_await queue.call(call) != HostCall::Outcome::kAnswered) {
    co_return fail(Code::kUnavailable, queue.reason(), ECONNRESET);
  }
  const Status& status = call.completion.status;
  const std::uint32_t result = call.completion.dword0;
  if (status.ok()) {
    if ((result & 0x60000) != 0) {  // ATR, ASCR
      co_return fail(Code::kUnauthenticated,
                     "the target wants in-band authentication, which is not supported; let this "
                     "host in without",
                     EACCES);
    }
    if (id == 0) data_.id = static_cast<std::uint16_t>(result);
    co_return {};
  }
  if (status.type == 1 && status.code == status::kConnectHost.code) {
    co_return fail(Code::kPermissionDenied,
                   "host " + options_.host + " is not allowed there; allow it at the target",
                   EACCES);
  }
  if (status.type == 1 && status.code == status::kConnectParameter.code) {
    if (result == kSubsystemRefused) {
      co_return fail(Code::kNotFound, "there is no such subsystem at this address", ENODEV);
    }
    if (result == kHostRefused) {
      co_return fail(Code::kPermissionDenied, "host " + options_.host + " is refused", EACCES);
    }
  }
  co_return fail(Code::kUnavailable,
                 "connecting queue " + std::to_string(id) + " failed with " + status_text(status),
                 EIO);
}

core::Task<Result<void>> HostController::enable(core::CancelToken token) {
  CO_TRY_SET(capabilities_, co_await get_property(property::kCap, true));
  const auto page_shift = static_cast<std::uint32_t>(capabilities_ >> 48 & 0xF);  // CAP.MPSMIN
  CO_TRY(co_await set_property(property::kCc, kEnable | page_shift << 7));
  while (true) {  // bounded by the timer of establish()
    CO_TRY_SET(const std::uint64_t status, co_await get_property(property::kCsts, false));
    if ((status & 2) != 0) {
      co_return fail(Code::kUnavailable, "the controller reports a fatal error (CSTS.CFS)", EIO);
    }
    if ((status & 1) != 0) co_return {};
    CO_TRY(co_await core::sleep_for(limits::kHostReadyNanos, token));
  }
}

Result<void> HostController::check_identity(const ControllerData& data) const {
  const auto wrong = [](std::string what) {
    return fail(Code::kFailedPrecondition, "the controller's identity is unusable: " + what,
                EPROTO);
  };
  if (data.id != data_.id) {
    return wrong("controller id " + std::to_string(data.id) + ", but " + std::to_string(data_.id) +
                 " was given at Connect");
  }
  const bool discovery = options_.subsystem == kDiscoveryNqn;
  if (discovery) {
    if (data.type == kIoController) return wrong("no discovery controller");
    return {};
  }
  if (data.type == kDiscoveryController) return wrong("a discovery controller");
  if (data.capsule_units * 16ULL < kCommandBytes) return wrong("IOCCSZ below a command");
  if (data.capsule_data_offset != 0) return wrong("ICDOFF is not 0");
  if ((data.sgl & 3) == 0) return wrong("no SGLs");
  return {};
}

core::Task<Result<void>> HostController::learn() {
  CO_TRY_SET(const auto page, co_await identify(1, 0));
  ControllerData data = load_controller_data(page.data());
  CO_TRY(check_identity(data));
  if (options_.subsystem == kDiscoveryNqn) data.type = kDiscoveryController;
  data_ = std::move(data);
  transfer_bytes_ = limits::kHostIoBytes;
  const auto unit = static_cast<unsigned>(capabilities_ >> 48 & 0xF);  // CAP.MPSMIN
  const unsigned shift = 12 + unit + data_.transfer_shift;
  if (data_.transfer_shift != 0 && shift < 32) {
    transfer_bytes_ = std::min<std::uint32_t>(transfer_bytes_, 1U << shift);
  }
  command_set_ = {};
  if (data_.type == kDiscoveryController) co_return {};
  auto limits = co_await identify(6, 0);  // from NVMe 2.0 on
  if (limits) command_set_ = load_command_set_limits(limits->data());
  if (!limits && association_lost_) co_return std::unexpected(std::move(limits).error());
  co_return {};
}

core::Task<Result<void>> HostController::open_io_queues(core::CancelToken token) {
  const std::uint32_t wanted = options_.io_queues - 1U;
  CO_TRY_SET(const std::uint32_t granted,
             co_await set_feature(feature::kQueues, wanted << 16 | wanted));
  const std::uint32_t queues = std::min({wanted, granted & 0xFFFF, granted >> 16}) + 1;
  for (std::uint32_t id = 1; id <= queues; ++id) {
    CO_TRY_SET(auto queue, co_await open_queue(static_cast<std::uint16_t>(id), token));
    io_.push_back(std::move(queue));
  }
  co_return {};
}

core::Task<Result<void>> HostController::prepare_features() {
  const std::uint32_t events = data_.events & kEventsWanted;
  if (events != 0) CO_TRY(co_await set_feature(feature::kAsyncEvents, events));
  if (data_.type == kDiscoveryController) co_return {};
  const bool delays = std::ranges::any_of(data_.retry_delays, [](auto d) { return d != 0; });
  if (!delays) co_return {};
  std::vector<std::uint8_t> behavior(512);
  behavior[0] = 1;  // ACRE: tell us how long to wait before a retry
  auto done = co_await set_feature(feature::kHostBehavior, 0, behavior);
  if (!done && association_lost_) co_return std::unexpected(std::move(done).error());
  co_return {};
}

// --- namespaces and their access -----------------------------------------------------------------

core::Task<Result<void>> HostController::read_namespaces() {
  std::map<std::uint32_t, HostNamespace> found;
  std::uint32_t last = 0;
  while (found.size() < limits::kHostNamespaces) {
    CO_TRY_SET(const auto page, co_await identify(2, last));
    const auto ids = load_namespace_list(page.data());
    for (const std::uint32_t id : ids) {
      if (id <= last || found.size() == limits::kHostNamespaces) break;
      last = id;
      CO_TRY_SET(HostNamespace space, co_await read_namespace(id));
      if (space.data.blocks != 0) found.emplace(id, std::move(space));
    }
    if (ids.size() < kIdentifyBytes / 4) break;
  }
  namespaces_ = std::move(found);
  co_return {};
}

core::Task<Result<HostNamespace>> HostController::read_namespace(std::uint32_t id) {
  HostNamespace space;
  space.id = id;
  CO_TRY_SET(const auto page, co_await identify(0, id));
  space.data = load_namespace_data(page.data());
  auto descriptors = co_await identify(3, id);
  if (descriptors) {
    const NamespaceIds ids = load_namespace_ids(descriptors->data());
    space.uuid = !ids.uuid.is_nil() ? ids.uuid : ids.nguid;
    if (ids.command_set != 0) space.data.block_bytes = 0;  // none that we speak
  } else if (association_lost_) {
    co_return std::unexpected(std::move(descriptors).error());
  }
  if (space.uuid.is_nil()) space.uuid = space.data.nguid;
  co_return space;
}

core::Task<Result<void>> HostController::rescan() {
  CO_TRY(co_await read_namespaces());
  tell(&Listener::namespaces_changed);
  co_return {};
}

core::Task<Result<void>> HostController::read_access() {
  if (!data_.ana()) co_return {};
  const std::uint64_t bytes =
      16 + std::uint64_t{data_.ana_groups} * 32 + std::uint64_t{data_.namespaces} * 4;
  if (bytes > limits::kHostAnaLogBytes) co_return {};
  CO_TRY_SET(const auto page,
             co_await log_page(log_page::kAna, 0, static_cast<std::uint32_t>((bytes + 3) / 4 * 4)));
  const auto groups = load_ana_log(page);
  if (!groups) co_return std::unexpected(groups.error());
  groups_.clear();
  for (const AnaGroup& group : *groups) groups_[group.id] = group.state;
  co_return {};
}

// --- commands ------------------------------------------------------------------------------------

core::Task<Result<Completion>> HostController::command(HostQueue& queue, Command command,
                                                       ByteView out, MutableBytes in) {
  HostCall call;
  call.command = command;
  call.out = out;
  call.in = in;
  switch (co_await queue.call(call)) {
    case HostCall::Outcome::kAnswered: break;
    case HostCall::Outcome::kDamaged:
      co_return fail(Code::kUnavailable, "data was damaged on the way (digest)", EIO);
    default: co_return fail(Code::kUnavailable, "the connection was lost", ECONNRESET);
  }
  const Status& status = call.completion.status;
  if (status.ok()) co_return call.completion;
  const bool unknown = status.type == 0 && status.code == status::kInvalidOpcode.code;
  co_return fail(unknown ? Code::kUnimplemented : Code::kInternal,
                 "the controller answers " + status_text(status), unknown ? EOPNOTSUPP : EIO);
}

core::Task<Result<std::uint64_t>> HostController::get_property(std::uint32_t offset, bool wide) {
  Command get = fabrics_command(fabrics::kPropertyGet);
  get.set<std::uint8_t>(40, wide ? 1 : 0);
  get.set(44, offset);
  CO_TRY_SET(const Completion answer, co_await command(*admin_, get, {}, {}));
  co_return answer.dword0 | (wide ? std::uint64_t{answer.dword1} << 32 : 0);
}

core::Task<Result<void>> HostController::set_property(std::uint32_t offset, std::uint32_t value) {
  Command set = fabrics_command(fabrics::kPropertySet);
  set.set(44, offset);
  set.set(48, value);
  CO_TRY(co_await command(*admin_, set, {}, {}));
  co_return {};
}

core::Task<Result<std::uint32_t>> HostController::set_feature(std::uint8_t feature,
                                                              std::uint32_t value, ByteView data) {
  Command set;
  set.set(0, opcode::kSetFeatures);
  set.set<std::uint32_t>(40, feature);
  set.set(44, value);
  CO_TRY_SET(const Completion answer, co_await command(*admin_, set, data, {}));
  co_return answer.dword0;
}

core::Task<Result<std::vector<std::uint8_t>>> HostController::identify(std::uint8_t structure,
                                                                       std::uint32_t nsid) {
  if (!admin_) co_return fail(Code::kUnavailable, trouble_, ENOTCONN);
  Command request;
  request.set(0, opcode::kIdentify);
  request.set(4, nsid);
  request.set<std::uint32_t>(40, structure);
  std::vector<std::uint8_t> page(kIdentifyBytes);
  auto done = co_await command(*admin_, request, {}, page);
  if (!done) {
    co_return std::unexpected(
        std::move(done).error().within("Identify " + std::to_string(structure)));
  }
  co_return page;
}

core::Task<Result<std::vector<std::uint8_t>>> HostController::log_page(std::uint8_t page,
                                                                       std::uint64_t offset,
                                                                       std::uint32_t bytes,
                                                                       bool retain) {
  if (!admin_) co_return fail(Code::kUnavailable, trouble_, ENOTCONN);
  std::vector<std::uint8_t> whole(bytes);
  for (std::uint32_t at = 0; at < bytes;) {
    const std::uint32_t step = std::min(bytes - at, std::min(transfer_bytes_, 128U << 10));
    const std::uint32_t dwords = step / 4 - 1;
    Command get;
    get.set(0, opcode::kGetLogPage);
    // Only the last piece may clear what the page reports.
    const bool keep = retain || at + step < bytes;
    get.set(40, page | (keep ? 1U << 15 : 0U) | (dwords & 0xFFFF) << 16);
    get.set(44, dwords >> 16);
    get.set<std::uint64_t>(48, offset + at);
    auto done = co_await command(*admin_, get, {}, MutableBytes(whole).subspan(at, step));
    if (!done) {
      co_return std::unexpected(std::move(done).error().within("log page " + std::to_string(page)));
    }
    at += step;
    if (!admin_) co_return fail(Code::kUnavailable, trouble_, ENOTCONN);
  }
  co_return whole;
}

core::Task<Result<Completion>> HostController::admin(Command request, ByteView out,
                                                     MutableBytes in) {
  if (state_ != State::kRunning || !admin_) {
    co_return fail(Code::kUnavailable, "NVMe subsystem " + text() + ": " + trouble_, ENOTCONN);
  }
  co_return co_await command(*admin_, request, out, in);
}

}  // namespace capstan::storage::nvme
