// Why this file exists: a queue pair whose connection runs on another core than its controller. The
// connection moves there once Connect has made it an I/O queue, and comes back when it has ended.
// In between
//
//     on the other core: PDUs, digests, R2T, answers, the table of requests
//     at home:           checks, memory, gates, reservations, the devices (io_work.h), the counters
//
// and they meet by message only. A request belongs to one side at a time: the connection lends it
// with its data, and it comes back with a status or with leave to ask the host for data. Memory is
// counted at home; what an answer holds until it has left is reported when it is free.
// Lifetimes: made and run at home; run() returns when nothing of the other core refers to this or
// to the connection any more. Which side a function belongs to is said below.
#pragma once

#include <string>

#include "core/sync.h"
#include "storage/nvme/budget.h"
#include "storage/nvme/io_work.h"
#include "storage/nvme/lane.h"

namespace capstan::storage::nvme {

class Connection;
struct Shared;

class Away final : public IoWork::Front {
 public:
  Away(Connection& connection, Shared& shared, IoWork& work, Controller& controller, Lane& lane);

  unsigned core() const { return lane_.core(); }

  // --- at home ---
  // Sends the connection away; returns when it has ended and all of it is back.
  core::Task<void> run();
  void end(std::string reason);
  core::Task<bool> abort(std::uint16_t command);
  void ask(Request& request, std::uint32_t bytes) override;
  void complete(Request& request, Status status) override;

  // --- on the other core ---
  void take(Request& request) { lend(request, Letter::Kind::kTake, {}); }
  void start(Request& request) { lend(request, Letter::Kind::kRun, {}); }
  void answer(Request& request, Status status) { lend(request, Letter::Kind::kAnswer, status); }
  // Something for home to do, in the order of these calls.
  void at_home(std::move_only_function<void(Shared&)> work);
  void lost();
  // Waits until no request is lent.
  core::Task<void> all_back();

  // --- of a lane, on the side that the letter is for ---
  void deliver(const Letter& letter);

 private:
  void lend(Request& request, Letter::Kind kind, Status status);
  void arrived(const Letter& letter);
  void returned(const Letter& letter);
  core::Task<bool> visit();

  Connection& connection_;
  Shared& shared_;
  IoWork& work_;
  Controller& controller_;
  Lane& lane_;

  // At home.
  std::size_t aborts_ = 0;  // that are being asked for
  core::Event aborts_over_;
  bool over_ = false;

  // On the other core.
  std::size_t lent_ = 0;
  core::Event back_;
  Budget held_;  // memory of answers that have not left, and of data that comes in
};

}  // namespace capstan::storage::nvme
