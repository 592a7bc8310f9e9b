// Why this file exists: what a connection does with a command that has arrived: Connect, handing it
// to the controller or to a device, asking for its data, and sending its answer.
#include <algorithm>

#include "base/checksum.h"
#include "storage/nvme/away.h"
#include "storage/nvme/connection.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

// DW0 of a refused Connect: the field that is wrong, in the command or in its data.
constexpr std::uint32_t kInData = 0x10000;
constexpr std::uint32_t kQueueField = 0x2A, kQueueSizeField = 0x2C;
constexpr std::uint32_t kHostIdField = kInData | 0, kControllerField = kInData | 16,
                        kSubsystemField = kInData | 256, kHostField = kInData | 512;

Status wrong(Request& request, std::uint32_t field) {
  request.dword0 = field;
  return status::kConnectParameter;
}

bool is_connect(const Command& command) {
  return command.is_fabrics() && command.fabrics_type() == fabrics::kConnect;
}

}  // namespace

// --- on the way in -------------------------------------------------------------------------------

void Connection::dispatch(Request& request) {
  const Command& command = request.command;
  if (!controller_) {
    if (!is_connect(command)) return complete(request, status::kCommandSequence);
    if (command.data_length() < kConnectDataBytes) return complete(request, status::kInvalidField);
    return request.length == 0 ? work_.solicit(request, kConnectDataBytes) : start(request);
  }
  if (queue_ != 0) return away_ ? away_->take(request) : work_.take(request);
  const bool wants_data = command.opcode() == opcode::kSetFeatures && request.length == 0;
  if (wants_data && command.data_length() != 0) {
    return work_.solicit(request, command.data_length());
  }
  start(request);
}

void Connection::start(Request& request) {
  if (controller_ && queue_ != 0) return away_ ? away_->start(request) : work_.run(request);
  request.state = Request::State::kRunning;
  if (!controller_) {
    connecting_ = true;
    return scope_.spawn(run_connect(&request));
  }
  if (Controller::takes_time(request.command)) return scope_.spawn(run_admin_command(&request));
  const auto keep = controller_;  // a command may end the association
  if (const auto answer = keep->run(request)) complete(request, *answer);
}

void Connection::refuse(Request& request, Status status) {
  away_ ? away_->answer(request, status) : complete(request, status);
}

void Connection::ask(Request& request, std::uint32_t bytes) {
  if (output_.gone() || terminating_) return release(request);
  request.allocate(bytes);
  request.received = 0;
  request.state = Request::State::kReceiving;
  ++receiving_;
  std::array<std::uint8_t, kDataHeaderBytes + kDigestBytes> pdu;
  const std::size_t size =
      store_r2t(pdu.data(), {request.command.id(), request.tag, 0, bytes}, digests_);
  std::copy_n(pdu.data(), size, output_.append(size));
  arm_stall();
}

core::Task<void> Connection::run_admin_command(Request* request) {
  core::name_task("nvme command");
  complete(*request, co_await controller_->run_slowly(*request));
}

// --- Connect -------------------------------------------------------------------------------------

core::Task<void> Connection::run_connect(Request* request) {
  core::name_task("nvme connect");
  const Status answer = co_await connect(*request);
  complete(*request, answer);
  connecting_ = false;
  connect_over_.notify_all();
}

core::Task<Status> Connection::connect(Request& request) {
  const ConnectCommand command = load_connect(request.command);
  const ConnectData data = load_connect_data(request.payload().data());
  if (!data.subsystem) co_return wrong(request, kSubsystemField);
  const auto subsystem = shared_.find(*data.subsystem);
  if (!subsystem) co_return wrong(request, kSubsystemField);
  const auto guard = co_await subsystem->gate().lock_shared();  // a paused one lets nobody in
  if (controller_) co_return status::kInvalidOpcode;
  if (ended_ || subsystem->closed()) co_return wrong(request, kSubsystemField);
  if (!data.host) co_return wrong(request, kHostField);
  if (!subsystem->allows(*data.host) || !subsystem->on_port(port_)) co_return status::kConnectHost;
  if (command.format != 0) co_return status::kConnectFormat;
  const std::uint32_t entries =
      command.queue == 0 ? sizes_.admin_queue_entries : sizes_.io_queue_entries;
  if (command.queue_size == 0 || command.queue_size >= entries) {
    co_return wrong(request, kQueueSizeField);
  }
  co_return command.queue == 0 ? connect_admin(request, command, data, subsystem)
                               : connect_io(request, command, data, *subsystem);
}

Status Connection::connect_admin(Request& request, const ConnectCommand& command,
                                 const ConnectData& data, std::shared_ptr<Subsystem> subsystem) {
  if (data.controller != kAnyController) return wrong(request, kControllerField);
  const auto id = subsystem->next_controller_id();
  if (!id) return status::kConnectBusy;
  auto controller = std::make_shared<Controller>(
      shared_.reactor, shared_.log, subsystem, shared_.discovery,
      Association{*id, data.host_id, *data.host, port_, command.keep_alive_ms,
                  command.flow_control_disabled(), sizes_});
  subsystem->add_controller(controller);
  CAPSTAN_ASSERT(controller->attach(0, *this));
  connected(std::move(controller), command);
  request.dword0 = *id;
  shared_.log.info("host_connected", {{"host", *data.host},
                                      {"peer", stream_->peer().address},
                                      {"subsystem", subsystem->nqn()},
                                      {"controller", *id}});
  return status::kSuccess;
}

Status Connection::connect_io(Request& request, const ConnectCommand& command,
                              const ConnectData& data, const Subsystem& subsystem) {
  const auto controller = subsystem.find_controller(data.controller);
  if (!controller) return wrong(request, kControllerField);
  const Association& association = controller->association();
  if (association.host != *data.host) return wrong(request, kHostField);
  if (association.host_id != data.host_id) return wrong(request, kHostIdField);
  const bool other_path = subsystem.options().ana && association.port != port_;
  if (!controller->accepts_io_queues() || other_path) return wrong(request, kQueueField);
  if (!controller->attach(command.queue, *this)) return status::kInvalidQueueId;
  connected(controller, command);
  request.dword0 = data.controller;
  return status::kSuccess;
}

void Connection::connected(std::shared_ptr<Controller> controller, const ConnectCommand& command) {
  no_newcomer();
  controller_ = std::move(controller);
  work_.connected(controller_);
  queue_ = command.queue;
  queue_size_ = command.queue_size;
  flow_control_disabled_ = command.flow_control_disabled();
  success_is_implied_ = sizes_.c2h_success && controller_->association().flow_control_disabled;
  head_ = 0;
  ++(queue_ == 0 ? shared_.counters.admin_queues : shared_.counters.io_queues);
  deadline_.disarm();
  controller_->touch();
}

// --- answers -------------------------------------------------------------------------------------

void Connection::complete(Request& request, Status status) {
  if (!ended_ && !terminating_ && !output_.gone()) respond(request, status);
  release(request);
}

std::uint16_t Connection::next_head(bool connect) {
  if (queue_size_ == 0) return 0;
  if (flow_control_disabled_) return connect ? 0xFFFF : 0;
  head_ = static_cast<std::uint16_t>((head_ + 1U) % (queue_size_ + 1U));
  return head_;
}

Completion Connection::completion_of(const Request& request, Status status) {
  if (!away_) {  // otherwise home has done so
    shared_.counters.answered(status);
    if (controller_) status.retry_delay = controller_->retry_delay(status);
  }
  arm_stall();
  const Command& command = request.command;
  return {request.dword0, request.dword1, next_head(is_connect(command)), command.id(), status};
}

void Connection::respond(Request& request, Status status) {
  const Completion completion = completion_of(request, status);
  if (status.ok() && request.command.direction() == Direction::kToHost && request.length != 0) {
    return send_with_data(request, completion);
  }
  std::array<std::uint8_t, kCapsuleRespBytes + kDigestBytes> pdu;
  const std::size_t size = store_capsule_resp(pdu.data(), store_completion(completion), digests_);
  std::copy_n(pdu.data(), size, output_.append(size));
}

// A success that says nothing else is implied by the data when the host does not count entries.
Connection::DataFrame Connection::frame_of(const Request& request, std::uint32_t bytes) const {
  const bool implied = success_is_implied_ && request.dword0 == 0 && request.dword1 == 0;
  return {data_offset(kDataHeaderBytes, digests_, host_alignment_), bytes,
          digests_.data ? kDigestBytes : 0,
          implied ? 0 : kCapsuleRespBytes + (digests_.header ? kDigestBytes : 0)};
}

void Connection::begin_frame(std::uint8_t* to, const DataFrame& frame,
                             const Completion& completion) {
  const auto flags =
      static_cast<std::uint8_t>(pdu_flag::kLast | (frame.response == 0 ? pdu_flag::kSuccess : 0));
  store_data(to, PduType::kC2hData,
             {completion.command, 0, 0, static_cast<std::uint32_t>(frame.data)}, flags, digests_,
             host_alignment_);
}

void Connection::end_frame(std::uint8_t* to, const DataFrame& frame, const Completion& completion,
                           std::uint32_t digest) {
  if (frame.trailer != 0) store_le(to, digest);
  if (frame.response == 0) return;
  store_capsule_resp(to + frame.trailer, store_completion(completion), digests_);
}

void Connection::close_frame(std::uint8_t* to, const DataFrame& frame,
                             const Completion& completion) {
  begin_frame(to, frame, completion);
  const ByteView data(to + frame.header, frame.data);
  end_frame(to + frame.header + frame.data, frame, completion,
            frame.trailer != 0 ? crc32c(data) : 0);
}

void Connection::send_with_data(Request& request, const Completion& completion) {
  const DataFrame frame = frame_of(request, request.length);
  if (!request.loans.empty()) return send_lent(request, frame, completion);
  const MutableBytes payload = request.payload();
  const bool in_place = request.data_at != 0;  // one piece of memory
  std::uint8_t* to = in_place ? payload.data() - frame.header : output_.append(frame.total());
  if (!in_place) std::ranges::copy(payload, to + frame.header);
  close_frame(to, frame, completion);
  if (!in_place) return;
  const std::size_t begin = request.data_at - frame.header;
  output_.append(std::move(request.data), begin, begin + frame.total(), std::move(request.share));
  request.data = core::Buffer();
}

void Connection::send_lent(Request& request, const DataFrame& frame, const Completion& completion) {
  begin_frame(output_.append(frame.header), frame, completion);
  std::uint32_t digest = 0;
  for (Loan& loan : request.loans) {
    if (frame.trailer != 0) digest = crc32c(loan.bytes, digest);
    const bool last = &loan == &request.loans.back();
    output_.append(std::move(loan), last ? std::move(request.share) : Budget::Share());
  }
  const std::size_t rest = frame.trailer + frame.response;
  if (rest != 0) end_frame(output_.append(rest), frame, completion, digest);
}

}  // namespace capstan::storage::nvme
