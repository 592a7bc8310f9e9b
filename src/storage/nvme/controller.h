// Why this file exists: what a host holds of a subsystem: a dynamic controller, made by Connect on
// an admin queue and gone when that connection ends. It has the properties, the admin commands, the
// features, the log pages and the events, and it knows all queues of the association.
//
// It does no I/O: commands answer at once, except an Asynchronous Event Request, which is held.
// Timers: keep-alive (any command of any queue counts as a sign of life), the association (a
// controller that nobody enables), and a reset whose queues do not go.
// Lifetimes: owned by its subsystem and by its connections; forgotten when the last of them has
// left. Thread-safety: one core. Source: nvme-tcp sections 6 to 10.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/log.h"
#include "core/reactor.h"
#include "storage/nvme/request.h"
#include "storage/nvme/reservation_codec.h"
#include "storage/nvme/subsystem.h"
#include "storage/nvme/transport_sizes.h"

namespace capstan::storage::nvme {

// What a discovery controller shows.
class DiscoverySource {
 public:
  virtual ~DiscoverySource() = default;
  // The page for a host that came in over the listener of that number.
  virtual LogPage discovery_log(const std::string& host, std::uint16_t port) const = 0;
};

struct Association {
  std::uint16_t controller = 0;
  HostId host_id{};
  std::string host;
  std::uint16_t port = 0;  // number of the listener
  std::uint32_t keep_alive_ms = 0;
  bool flow_control_disabled = false;
  TransportSizes sizes = {};
};

class Controller : public std::enable_shared_from_this<Controller> {
 public:
  Controller(core::Reactor& reactor, core::Log log, std::shared_ptr<Subsystem> subsystem,
             const DiscoverySource& discovery, Association association);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  std::uint16_t id() const { return association_.controller; }
  const std::string& host() const { return association_.host; }
  const Association& association() const { return association_; }
  // Null: not there, or not for this host to see.
  const Namespace* find_namespace(std::uint32_t nsid) const;
  Subsystem& subsystem() const { return *subsystem_; }
  std::uint32_t keep_alive_ms() const { return association_.keep_alive_ms; }
  bool enabled() const { return (cc_ & 1) != 0 && (csts_ & 1) != 0; }
  bool accepts_io_queues() const;
  bool closed() const { return closed_; }
  const std::map<std::uint16_t, Queue*>& queues() const { return queues_; }

  // Queue 0 is the admin queue. False when the id is in use or too large.
  bool attach(std::uint16_t queue, Queue& owner);
  // The connection of that queue runs nothing any more.
  void leave(std::uint16_t queue);
  // Ends the association: all its connections, now.
  void close(const std::string& reason);
  void touch() { last_seen_ = reactor_.now(); }

  // One command of the admin queue, with its data. Nothing: held, answered later.
  std::optional<Status> run(Request& request);
  // An admin request that is answered or dropped by others than this.
  bool drop_held(const Request& request);

  void namespace_changed(std::uint32_t id);
  void discovery_changed();
  void ana_changed();
  // Another host's reservation command did something to this one.
  void notify(std::uint32_t nsid, ReservationNotice notice);
  // What a path in its present state lets I/O to that namespace do.
  Status path_status(const Namespace& space) const;
  // I/O commands hold it shared while they run: who takes it has seen the last of those.
  core::SharedMutex& io_gate() { return io_gate_; }
  // Admin commands that must wait for something; run() answers all the others.
  static bool takes_time(const Command& command);
  void complain(const char* event, const Error& error);
  core::Task<Status> run_slowly(Request& request);
  // CRD of an answer: 0 unless the host asked for delays.
  std::uint8_t retry_delay(const Status& status) const;

  // KATO as it is kept: rounded up to whole units.
  static std::uint32_t round_keep_alive(std::uint32_t ms, bool discovery);

 private:
  enum class Event : std::uint8_t { kNamespace, kAna, kReservation, kDiscovery };
  static constexpr std::size_t kEvents = 4;
  struct Pending {
    bool raised = false;   // to be told
    bool blocked = false;  // told, and its log page has not been read since
  };

  std::optional<Status> run_fabrics(Request& request);
  Status get_property(Request& request) const;
  Status set_property(const Request& request);
  Status set_configuration(std::uint32_t value);
  void end_io_queues(const std::string& reason);
  void io_queues_gone();
  Status identify(Request& request);
  Status identify_io(Request& request, std::uint8_t structure);
  Status identify_namespace(Request& request, std::uint8_t structure);
  Status get_log(Request& request);
  std::optional<LogPage> make_log(std::uint8_t page, std::uint8_t specific) const;
  LogPage next_notification() const;
  void log_was_read(std::uint8_t page);
  void read_event(Event event);
  void drop_notification();
  Status set_features(Request& request);
  Status set_io_feature(Request& request, std::uint8_t id, std::uint32_t value);
  Status get_features(Request& request);
  Status get_io_feature(Request& request, std::uint8_t id);
  Status set_reservation_mask(std::uint32_t nsid, std::uint32_t value);
  Status get_reservation_mask(Request& request) const;
  core::Task<Status> abort(Request& request);
  core::Task<Status> reservation_persistence(Request& request);
  std::optional<Status> hold(Request& request);
  void raise(Event event);
  void acknowledge(Event event);
  void deliver();
  void keep_alive();
  void arm_association();

  core::Reactor& reactor_;
  core::Log log_;
  std::shared_ptr<Subsystem> subsystem_;
  const DiscoverySource& discovery_;
  Association association_;
  std::map<std::uint16_t, Queue*> queues_;
  std::uint32_t cc_ = 0, csts_ = 0;
  enum class Ending : std::uint8_t { kNone, kReset, kShutdown } ending_ = Ending::kNone;
  std::map<std::uint8_t, std::uint32_t> features_;  // that are only kept
  std::uint16_t granted_queues_;
  std::uint32_t event_mask_ = 0;
  bool retry_delays_on_ = false;
  std::deque<Request*> held_;
  std::array<Pending, kEvents> events_;
  std::set<std::uint32_t> changed_namespaces_;
  std::deque<ReservationNotification> notifications_;  // not read yet
  std::uint64_t notification_count_ = 0;
  std::map<std::uint32_t, std::uint32_t> notification_masks_;  // by namespace; set bits: not told
  core::SharedMutex io_gate_;
  core::Nanos last_seen_ = 0;
  bool closed_ = false;
  core::Timer keep_alive_, association_timer_, reset_timer_;
};

}  // namespace capstan::storage::nvme
