// Why this file exists: one TCP connection of a host, which is one queue pair once Connect has made
// it so. It receives PDUs, brings the data of commands together, runs them and sends what they
// answer. PROTOCOL.md has the states and what ends a connection.
//
//     reader ──► Request ──► controller (admin) │ IoWork (I/O) ──► Output ──► writer
//
// Commands of an I/O queue run side by side and complete in any order; there is no order between
// them. When the connection goes, what waits is dropped and what runs is awaited: a controller is
// gone only after its last write has ended.
//
// A connection begins on the core of the target. An I/O queue may go on running on another core
// (away.h): run() returns early then, with moving(), and run_away() is the rest.
// Lifetimes: run() and leave() own the life; everything in Shared outlives it. Thread-safety: one
// core at a time. While it is away, only what is said to be for home is called there.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "storage/nvme/budget.h"
#include "storage/nvme/controller.h"
#include "storage/nvme/input.h"
#include "storage/nvme/io_work.h"
#include "storage/nvme/nvme_tcp_codec.h"
#include "storage/nvme/output.h"
#include "storage/nvme/request.h"
#include "storage/nvme/transport_sizes.h"

namespace capstan::storage::nvme {

// Counted over all connections of a target.
struct Counters {
  std::uint64_t connections_opened = 0, connections_closed = 0, connections_refused = 0;
  std::uint64_t newcomers_dropped = 0;              // made room for others before they sent Connect
  std::uint64_t commands = 0, failed_commands = 0;  // that were answered
  std::uint64_t terminated = 0;                     // connections ended for what they sent
  std::uint64_t bad_data_digests = 0;
  std::uint64_t admin_queues = 0, io_queues = 0;  // connected so far
  void answered(const Status& status) {
    ++commands;
    if (!status.ok()) ++failed_commands;
  }
};

class Connection;

// What the connections of a target have in common.
struct Shared {
  core::Reactor& reactor;
  core::Log log;
  const DiscoverySource& discovery;
  std::function<std::shared_ptr<Subsystem>(const std::string& nqn)> find;
  Budget budget;
  Counters counters;
  TransportSizes sizes = {};              // of connections that come from now on
  bool moves_io_queues = false;           // to other cores
  std::list<Connection*> newcomers = {};  // those without an association that go on, oldest first
};

class Away;

class Connection final : public Queue, private IoWork::Front {
 public:
  // `port`: number of the listener that it came in by.
  Connection(Shared& shared, std::unique_ptr<core::Stream> stream, std::uint16_t port);
  ~Connection() override;

  // Until it has ended or is to move.
  core::Task<void> run();
  bool moving() const { return moving_; }
  // The rest of a life that moves, on the other core, between these two at home.
  void move(Away& away);
  core::Task<void> run_away();
  void come_back();
  // When either has ended: waits for what it began and takes leave of the controller.
  core::Task<void> leave();

  // --- for home, always ---
  std::uint16_t port() const { return port_; }
  IoWork& work() { return work_; }
  // The association once Connect has made the connection a queue pair; null before.
  Controller* controller() const { return controller_.get(); }
  std::uint16_t queue() const { return queue_; }
  const std::string& peer() const { return stream_->peer().address; }
  unsigned core() const { return core_; }  // 0: home
  void end(std::string reason) override;
  core::Task<bool> abort(std::uint16_t command) override;

  // --- for the core that it runs on ---
  void complete(Request& request, Status status) override;
  void drop(Request& request) override { release(request); }
  void ask(Request& request, std::uint32_t bytes) override;  // sends an R2T
  void stop(std::string reason);
  bool abort_here(std::uint16_t command, Status answer);

 private:
  core::Task<void> receive();
  core::Task<void> wind_up();
  core::Task<Checked<void>> read_loop();
  core::Task<Checked<void>> receive_pdu(CommonHeader common);
  Checked<void> receive_ic();
  // A command and how many bytes of data come with it.
  struct Capsule {
    Request* request;
    std::uint32_t bytes;
  };
  Checked<Capsule> begin_command(CommonHeader common);
  // Data that lies in the read buffer already is borrowed from there; false when some is missing.
  bool borrow_payload(Capsule capsule);
  bool sends_from_devices() const;
  core::Task<bool> receive_payload(Capsule capsule);
  void take_command(Request& request);
  core::Task<Checked<void>> receive_data(CommonHeader common);
  Checked<Request*> check_h2c(const DataHeader& data, std::uint32_t bytes) const;
  // Data of a PDU and its digest; false when the connection ended before.
  core::Task<bool> read_payload(MutableBytes into, bool& bad_digest);
  void check_digest(ByteView data, const std::uint8_t* digest, bool& bad_digest);
  core::Task<void> terminate(Fatal fatal);

  Request* take_request();
  bool admit(Request& request);
  void retire(Request& request);
  void release(Request& request);
  void dispatch(Request& request);
  void start(Request& request);
  // Answers what has not run.
  void refuse(Request& request, Status status);
  // A read or write of memory that need not wait for anything; false: it goes the usual way.
  bool run_at_once(Request& request);
  bool read_at_once(Request& request, Device& device, std::uint64_t offset, std::uint32_t bytes);
  core::Task<void> run_connect(Request* request);
  core::Task<Status> connect(Request& request);
  Status connect_admin(Request& request, const ConnectCommand& command, const ConnectData& data,
                       std::shared_ptr<Subsystem> subsystem);
  Status connect_io(Request& request, const ConnectCommand& command, const ConnectData& data,
                    const Subsystem& subsystem);
  void connected(std::shared_ptr<Controller> controller, const ConnectCommand& command);
  void no_newcomer();
  core::Task<void> run_admin_command(Request* request);
  core::Task<bool> about_to_move();
  void lose();
  void at_home(std::move_only_function<void(Shared&)> work);

  // How data and its completion lie in memory: header, data, digest, completion; sizes in bytes.
  struct DataFrame {
    std::size_t header, data, trailer, response;
    std::size_t total() const { return header + data + trailer + response; }
  };
  void respond(Request& request, Status status);
  Completion completion_of(const Request& request, Status status);
  DataFrame frame_of(const Request& request, std::uint32_t bytes) const;
  // What of the frame stands around its data: before, behind, and both.
  void begin_frame(std::uint8_t* to, const DataFrame& frame, const Completion& completion);
  void end_frame(std::uint8_t* to, const DataFrame& frame, const Completion& completion,
                 std::uint32_t digest);
  void close_frame(std::uint8_t* to, const DataFrame& frame, const Completion& completion);
  void send_with_data(Request& request, const Completion& completion);
  void send_lent(Request& request, const DataFrame& frame, const Completion& completion);
  std::uint16_t next_head(bool connect);
  void arm_stall();
  void check_stall();

  Shared& shared_;
  const TransportSizes sizes_;
  std::unique_ptr<core::Stream> stream_;
  std::uint16_t port_;
  IoWork work_;
  Away* away_ = nullptr;  // while it runs on another core
  unsigned core_ = 0;
  Input input_;
  Output output_;
  std::array<std::uint8_t, kHeaderBytesMax> header_{};  // of the PDU being received
  std::size_t header_bytes_ = 0;
  bool initialised_ = false, terminating_ = false, ended_ = false, moving_ = false;
  Digests digests_;
  std::uint8_t host_alignment_ = 0;

  std::shared_ptr<Controller> controller_;  // once connected
  std::uint16_t queue_ = 0;
  std::uint32_t queue_size_ = 0;  // zero-based; 0: not known
  std::uint16_t head_ = 0;
  bool flow_control_disabled_ = false;
  bool success_is_implied_ = false;
  bool connecting_ = false;  // Connect runs
  core::Event connect_over_;

  std::vector<std::unique_ptr<Request>> requests_;  // by tag
  std::vector<Request*> spare_;
  std::vector<Request*> active_;
  std::vector<std::uint16_t> active_ids_;  // of active_, together in memory
  std::size_t receiving_ = 0;              // requests that wait for data of the host
  const Request* filling_ = nullptr;       // the one whose data is being read right now
  std::size_t worked_ = 0;                 // bytes moved on the spot since answers could leave
  core::Timer deadline_, stall_;
  std::optional<std::list<Connection*>::iterator> newcomer_;  // its place among them
  std::uint64_t stall_sent_ = 0, stall_received_ = 0;
  core::Scope scope_;
};

}  // namespace capstan::storage::nvme
