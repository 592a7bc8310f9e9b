// Why this file exists: a connection's life and what it receives: PDUs, the checks that end it, and
// data for commands. What commands do and how they are answered is in connection_run.cc.
#include "storage/nvme/connection.h"

#include <algorithm>

#include "base/checksum.h"
#include "core/os_socket.h"
#include "storage/nvme/away.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kSglAddressField = 32, kSglLengthField = 40, kPlenField = 4;
constexpr std::size_t kHlenField = 2;

std::unexpected<Fatal> bad(FatalStatus status, std::uint32_t information) {
  return std::unexpected(Fatal{status, information});
}

// Where the data of a command is said to be; `capsule`: bytes that came with it.
Checked<void> check_data_pointer(const Command& command, std::uint32_t capsule,
                                 const TransportSizes& sizes) {
  const std::uint32_t length = command.data_length();
  if (capsule > sizes.in_capsule_bytes) return bad(FatalStatus::kLimitExceeded, 0);
  const Direction direction = command.direction();
  if (direction == Direction::kNone || direction == Direction::kBoth) return {};
  if (length == 0 && capsule == 0) return {};
  if (command.data_type() == kSglTransport) {
    if (length > sizes.io_bytes) return bad(FatalStatus::kLimitExceeded, 0);
    return capsule == 0 ? Checked<void>() : bad(FatalStatus::kInvalidHeader, kPlenField);
  }
  if (command.data_type() != kSglInCapsule || direction != Direction::kToController) {
    return bad(FatalStatus::kUnsupported, kSglLengthField);
  }
  if (command.data_address() != 0) return bad(FatalStatus::kUnsupported, kSglAddressField);
  if (length > sizes.in_capsule_bytes) return bad(FatalStatus::kLimitExceeded, 0);
  return length == capsule ? Checked<void>() : bad(FatalStatus::kInvalidHeader, kPlenField);
}

using Requests = std::vector<std::unique_ptr<Request>>;

bool draining(const Request& request) {
  return !request.lent && request.state == Request::State::kDraining;
}

// Requests whose commands were aborted are numbered in that order, in what their answers need no
// more.
std::uint32_t next_abort(const Requests& requests) {
  std::uint32_t last = 0;
  for (const auto& each : requests) {
    if (draining(*each)) last = std::max(last, each->dword0);
  }
  return last + 1;
}

Request* oldest_aborted(const Requests& requests) {
  Request* oldest = nullptr;
  for (const auto& each : requests) {
    if (draining(*each) && (!oldest || each->dword0 < oldest->dword0)) oldest = each.get();
  }
  return oldest;
}

}  // namespace

Connection::Connection(Shared& shared, std::unique_ptr<core::Stream> stream, std::uint16_t port)
    : shared_(shared),
      sizes_(shared.sizes),
      stream_(std::move(stream)),
      port_(port),
      work_(shared.budget, *this),
      input_(*stream_),
      output_(*stream_),
      deadline_([this] { stop("the host did not go on in time"); }),
      stall_([this] { check_stall(); }),
      newcomer_(shared_.newcomers.insert(shared_.newcomers.end(), this)) {}

Connection::~Connection() {
  no_newcomer();
}

// It has an association, or none any more to hope for.
void Connection::no_newcomer() {
  if (newcomer_) shared_.newcomers.erase(*newcomer_);
  newcomer_.reset();
}

core::Task<void> Connection::run() {
  core::name_task("nvme connection");
  ++shared_.counters.connections_opened;
  deadline_.arm_at(shared_.reactor, shared_.reactor.now() + limits::kHandshakeNanos);
  scope_.spawn(output_.run());
  co_await receive();
  if (moving_) co_return;
  if (controller_ && queue_ == 0) controller_->close("the admin queue is gone");
  co_await wind_up();
}

core::Task<void> Connection::run_away() {
  core::name_task("nvme connection");
  co_await receive();
  co_await wind_up();
  core::leave_core(*stream_);
}

core::Task<void> Connection::leave() {
  co_await work_.join();  // what runs ends before the controller is gone
  if (controller_) controller_->leave(queue_);
  ++shared_.counters.connections_closed;
}

core::Task<void> Connection::receive() {
  const auto received = co_await read_loop();
  if (moving_) co_return;
  if (!received && !ended_) co_await terminate(received.error());
  stop("the host closed the connection");
  deadline_.disarm();
  stall_.disarm();
}

// Nothing is received any more.
core::Task<void> Connection::wind_up() {
  for (const auto& request : requests_) {
    using enum Request::State;
    if (request->lent) continue;
    if (request->state == kHeld) controller_->drop_held(*request);
    if (request->state == kHeld || request->state == kReceiving || request->state == kDraining) {
      release(*request);
    }
  }
  if (away_) co_await away_->all_back();
  co_await scope_.join();
}

void Connection::end(std::string reason) {
  away_ ? away_->end(std::move(reason)) : stop(std::move(reason));
}

void Connection::stop(std::string reason) {
  if (std::exchange(ended_, true)) return;
  no_newcomer();
  lose();
  at_home([peer = stream_->peer().address, queue = queue_,
           controller = controller_ ? controller_->id() : 0, reason](Shared& shared) {
    shared.log.debug(
        "connection_ended",
        {{"peer", peer}, {"queue", queue}, {"controller", controller}, {"reason", reason}});
  });
  stream_->cancel();
  output_.abandon();
}

// The host cannot know any more what becomes of its commands.
void Connection::lose() {
  away_ ? away_->lost() : work_.lose();
}

void Connection::at_home(std::move_only_function<void(Shared&)> work) {
  away_ ? away_->at_home(std::move(work)) : work(shared_);
}

core::Task<void> Connection::terminate(Fatal fatal) {
  terminating_ = true;
  lose();
  at_home([peer = stream_->peer().address, queue = queue_, fatal](Shared& shared) {
    ++shared.counters.terminated;
    shared.log.warn("connection_terminated", {{"peer", peer},
                                              {"queue", queue},
                                              {"reason", fatal_name(fatal.status)},
                                              {"information", fatal.information}});
  });
  // As it came, without its digest; before its type is known to fit, its first eight bytes.
  const std::size_t known = header_bytes_ > kCommonBytes ? header_[kHlenField] : header_bytes_;
  const ByteView header = ByteView(header_).first(known);
  if (output_.gone()) co_return;
  std::uint8_t* to = output_.append(kTermReqBytes + std::min(header.size(), kTermReqCopyBytes));
  store_term_req(to, PduType::kC2hTermReq, fatal, header);
  core::Reactor& reactor = *core::Reactor::current();
  deadline_.arm_at(reactor, reactor.now() + limits::kTerminateNanos);
  (void)co_await input_.skip(UINT64_MAX);  // until the host closes or the time is over
}

// --- PDUs ----------------------------------------------------------------------------------------

core::Task<Checked<void>> Connection::read_loop() {
  while (!ended_) {
    // Answers leave while the host waits for the others, and before we wait for the host.
    if (output_.waiting() && (worked_ >= limits::kTurnBytes || !input_.has(kCommonBytes))) {
      worked_ = 0;
      co_await core::yield();
    }
    while (output_.unsent() >= limits::kOutputPauseBytes && !output_.gone()) {
      co_await output_.room().wait();  // a host that does not read gets no more to read
    }
    if (shared_.moves_io_queues && !away_ && co_await about_to_move()) co_return Checked<void>();
    // Nobody hears the answers: what still lies in the socket must not run behind the back of a
    // host that goes on over another connection.
    if (ended_ || output_.gone()) break;
    if (!input_.has(kCommonBytes) && !co_await input_.fill(kCommonBytes)) break;
    const CommonHeader common = load_common(input_.data());
    std::copy_n(input_.data(), kCommonBytes, header_.begin());
    header_bytes_ = kCommonBytes;
    const auto size = check_common(common, Receiver::kTarget, initialised_, digests_);
    if (!size) co_return std::unexpected(size.error());
    if (!input_.has(*size) && !co_await input_.fill(*size)) break;
    std::copy_n(input_.data(), *size, header_.begin());
    header_bytes_ = *size;
    input_.consume(*size);
    if (auto good = check_header_digest(common, ByteView(header_).first(*size), digests_); !good) {
      co_return good;
    }
    if (common.type != PduType::kCapsuleCmd) {
      if (auto received = co_await receive_pdu(common); !received) co_return received;
      continue;
    }
    const auto capsule = begin_command(common);
    if (!capsule) co_return std::unexpected(capsule.error());
    if (!borrow_payload(*capsule) && !co_await receive_payload(*capsule)) break;
    take_command(*capsule->request);
  }
  co_return Checked<void>();
}

// True once Connect has made this an I/O queue and its answer has left: nothing is in flight on the
// stream then. A refused one leaves the connection as it was.
core::Task<bool> Connection::about_to_move() {
  while (connecting_) co_await connect_over_.wait();
  if (!controller_ || queue_ == 0) co_return false;
  // Hosts wait for Connect's answer; other commands' memory belongs to this core.
  if (!active_.empty()) stop("it sent other commands beside Connect");
  while (output_.unsent() != 0 && !output_.gone()) co_await output_.room().wait();
  stall_.disarm();
  moving_ = !ended_ && !output_.gone();
  co_return moving_;
}

void Connection::move(Away& away) {
  core::leave_core(*stream_);
  moving_ = false;
  away_ = &away;
  core_ = away.core();
  work_.change_front(away);
}

void Connection::come_back() {
  away_ = nullptr;
  work_.change_front(*this);
}

core::Task<Checked<void>> Connection::receive_pdu(CommonHeader common) {
  switch (common.type) {
    case PduType::kIcReq: co_return receive_ic();
    case PduType::kH2cData: co_return co_await receive_data(common);
    default: {  // H2CTermReq is all that is left
      const TermReq request = load_term_req(header_.data());
      stop("the host ended it: " + std::string(fatal_name(request.fatal.status)) + ", " +
           std::to_string(request.fatal.information));
      co_return Checked<void>();
    }
  }
}

Checked<void> Connection::receive_ic() {
  const auto request = load_ic_req(header_.data());
  if (!request) return std::unexpected(request.error());
  initialised_ = true;
  digests_ = request->digests;
  host_alignment_ = request->host_alignment;
  if (output_.gone()) return {};
  store_ic_resp(output_.append(kIcBytes), {0, 0, digests_, sizes_.io_bytes});
  deadline_.arm_at(shared_.reactor, shared_.reactor.now() + limits::kConnectNanos);
  return {};
}

core::Task<bool> Connection::read_payload(MutableBytes into, bool& bad_digest) {
  if (!co_await input_.read(into)) co_return false;
  if (!digests_.data) co_return true;
  if (!input_.has(kDigestBytes) && !co_await input_.fill(kDigestBytes)) co_return false;
  check_digest(into, input_.data(), bad_digest);
  input_.consume(kDigestBytes);
  co_return true;
}

void Connection::check_digest(ByteView data, const std::uint8_t* digest, bool& bad_digest) {
  if (crc32c(data) == load_le<std::uint32_t>(digest)) return;
  bad_digest = true;
  at_home([](Shared& shared) { ++shared.counters.bad_data_digests; });
}

Checked<Connection::Capsule> Connection::begin_command(CommonHeader common) {
  const auto bytes = check_data(common, header_bytes_, digests_);
  if (!bytes) return std::unexpected(bytes.error());
  const Command command = Command::load(header_.data() + kCommonBytes);
  // Admin and fabrics commands carry as much as ever (nvme-tcp section 1): Connect has 1024 bytes.
  TransportSizes sizes = sizes_;
  if (queue_ == 0 || command.is_fabrics()) sizes.in_capsule_bytes = limits::kInCapsuleBytes;
  if (auto checked = check_data_pointer(command, *bytes, sizes); !checked) {
    return std::unexpected(checked.error());
  }
  Request* request = take_request();
  if (!request) return bad(FatalStatus::kSequence, 0);  // more than the queue has entries
  request->command = command;
  request->state = Request::State::kRunning;
  request->may_borrow = sends_from_devices();
  if (controller_ && !away_) controller_->touch();
  return Capsule{request, *bytes};
}

// Where the kernel copies, it does so faster out of a cache than out of a device's memory: a copy
// into a buffer costs less than it saves, unless a digest brings the data into the cache anyway. On
// a further core it takes work from the devices' core.
bool Connection::sends_from_devices() const {
  return away_ || digests_.data || stream_->kept_bytes() != SIZE_MAX;
}

bool Connection::borrow_payload(Capsule capsule) {
  const std::size_t trailer = capsule.bytes != 0 && digests_.data ? kDigestBytes : 0;
  if (!input_.has(capsule.bytes + trailer)) return false;
  Request& request = *capsule.request;
  request.borrowed = ByteView(input_.data(), capsule.bytes);
  request.length = capsule.bytes;
  if (trailer != 0) {
    check_digest(request.borrowed, input_.data() + capsule.bytes, request.bad_digest);
  }
  input_.consume(capsule.bytes + trailer);
  return true;
}

core::Task<bool> Connection::receive_payload(Capsule capsule) {
  Request& request = *capsule.request;
  request.allocate(capsule.bytes);
  if (co_await read_payload(request.payload(), request.bad_digest)) co_return true;
  release(request);
  co_return false;
}

void Connection::take_command(Request& request) {
  if (ended_) {
    release(request);
  } else if (!admit(request)) {
    refuse(request, status::kCommandIdConflict);
  } else if (request.bad_digest && queue_ == 0) {
    complete(request, status::kTransientTransport);
  } else if (!run_at_once(request)) {
    request.own_data();
    dispatch(request);
  }
}

Checked<Request*> Connection::check_h2c(const DataHeader& data, std::uint32_t bytes) const {
  if (data.length != bytes || bytes == 0) return bad(FatalStatus::kInvalidHeader, kPlenField);
  if (data.tag == 0 || data.tag > requests_.size()) return bad(FatalStatus::kSequence, 0);
  Request* request = requests_[data.tag - 1U].get();
  using enum Request::State;
  if (request->lent || (request->state != kReceiving && request->state != kDraining)) {
    return bad(FatalStatus::kInvalidHeader, 10);
  }
  if (request->command.id() != data.command) return bad(FatalStatus::kSequence, 0);
  if (data.length > sizes_.io_bytes) return bad(FatalStatus::kLimitExceeded, 0);
  if (data.offset != request->received || data.length > request->length - request->received) {
    return bad(FatalStatus::kOutOfRange, 0);
  }
  return request;
}

core::Task<Checked<void>> Connection::receive_data(CommonHeader common) {
  const auto bytes = check_data(common, header_bytes_, digests_);
  if (!bytes) co_return std::unexpected(bytes.error());
  const DataHeader data = load_data(header_.data());
  const auto checked = check_h2c(data, *bytes);
  if (!checked) co_return std::unexpected(checked.error());
  Request& request = **checked;
  if (request.state == Request::State::kDraining) {
    if (!co_await input_.skip(data.length + (digests_.data ? kDigestBytes : 0))) {
      co_return Checked<void>();
    }
  } else {
    filling_ = &request;
    const bool read = co_await read_payload(request.payload().subspan(data.offset, data.length),
                                            request.bad_digest);
    filling_ = nullptr;
    if (!read || ended_) co_return Checked<void>();
  }
  request.received += data.length;
  if (request.received < request.length) co_return Checked<void>();
  if (request.state == Request::State::kDraining) {
    release(request);
    co_return Checked<void>();
  }
  --receiving_;
  if (request.bad_digest && !request.partner) {
    refuse(request, status::kTransientTransport);
  } else if (!run_at_once(request)) {
    start(request);
  }
  co_return Checked<void>();
}

// --- requests ------------------------------------------------------------------------------------

Request* Connection::take_request() {
  const std::size_t most = controller_ ? queue_size_ + 1U + (queue_ == 0 ? limits::kAsyncEvents : 0)
                                       : limits::kEarlyCommands;
  if (active_.size() >= most) return nullptr;
  if (spare_.empty() && requests_.size() >= 2 * most + limits::kEarlyCommands) {
    // A host need not send data for what it aborted: of many such, the oldest tags are used again.
    Request* oldest = oldest_aborted(requests_);
    if (!oldest) return nullptr;
    release(*oldest);
  }
  if (spare_.empty()) {
    requests_.push_back(std::make_unique<Request>());
    requests_.back()->tag = static_cast<std::uint16_t>(requests_.size());
    return requests_.back().get();
  }
  Request* request = spare_.back();
  spare_.pop_back();
  return request;
}

bool Connection::admit(Request& request) {
  if (std::ranges::count(active_ids_, request.command.id()) != 0) return false;
  request.position = active_.size();
  active_.push_back(&request);
  active_ids_.push_back(request.command.id());
  return true;
}

// The command has its answer; its id may be used again.
void Connection::retire(Request& request) {
  if (request.position == Request::kNotActive) return;
  active_.back()->position = request.position;
  active_[request.position] = active_.back();
  active_ids_[request.position] = active_ids_.back();
  active_.pop_back();
  active_ids_.pop_back();
  request.position = Request::kNotActive;
}

void Connection::release(Request& request) {
  retire(request);
  if (request.data_at != 0) request.data = core::Buffer();  // short ones are used again
  request.data_at = 0;
  request.share.reset();
  request.state = Request::State::kFree;
  request.borrowed = {};
  request.loans.clear();
  request.length = request.received = 0;
  request.dword0 = request.dword1 = 0;
  request.bad_digest = request.aborted = false;
  request.partner = nullptr;
  spare_.push_back(&request);
}

core::Task<bool> Connection::abort(std::uint16_t command) {
  if (work_.abort(command)) co_return true;  // whoever waits for memory answers
  if (away_) co_return co_await away_->abort(command);
  co_return abort_here(command, status::kAborted);
}

bool Connection::abort_here(std::uint16_t command, Status answer) {
  const auto found = std::ranges::find(active_ids_, command);
  if (found == active_ids_.end()) return false;
  Request& request = *active_[static_cast<std::size_t>(found - active_ids_.begin())];
  if (request.lent || request.partner) return false;  // a pair that is whole runs to its end
  switch (request.state) {
    case Request::State::kHeld:
      controller_->drop_held(request);
      complete(request, answer);
      return true;
    case Request::State::kReceiving:
      if (filling_ == &request) return false;
      // The host may be sending already: its data is taken and forgotten. Nobody waits for it.
      if (!output_.gone() && !terminating_) respond(request, answer);
      retire(request);
      request.data = core::Buffer();
      request.share.reset();
      request.dword0 = next_abort(requests_);
      request.state = Request::State::kDraining;
      --receiving_;
      return true;
    default: return false;
  }
}

// --- hosts that stop -----------------------------------------------------------------------------

void Connection::arm_stall() {
  if (stall_.armed() || ended_) return;
  stall_sent_ = output_.sent();
  stall_received_ = input_.received();
  core::Reactor& reactor = *core::Reactor::current();
  stall_.arm_at(reactor, reactor.now() + limits::kStallNanos);
}

void Connection::check_stall() {
  const bool unread = output_.unsent() != 0, unsent = receiving_ != 0;
  if (unread && output_.sent() == stall_sent_) return stop("the host does not read its answers");
  if (unsent && input_.received() == stall_received_) {
    return stop("the host does not send the data that it was asked for");
  }
  if (unread || unsent) arm_stall();
}

}  // namespace capstan::storage::nvme
