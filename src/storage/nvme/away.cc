// Why this file exists: see away.h.
#include "storage/nvme/away.h"

#include "storage/nvme/connection.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {
core::Task<bool> nothing() {
  co_return true;
}
core::Task<bool> abort_there(Connection* connection, std::uint16_t command, Status answer) {
  co_return connection->abort_here(command, answer);
}
}  // namespace

Away::Away(Connection& connection, Shared& shared, IoWork& work, Controller& controller, Lane& lane)
    : connection_(connection),
      shared_(shared),
      work_(work),
      controller_(controller),
      lane_(lane),
      held_(limits::kConnectionBufferBytes, [this](std::size_t bytes) {
        lane_.to_home(
            {this, nullptr, {}, static_cast<std::uint32_t>(bytes), Letter::Kind::kMemory});
      }) {}

// --- at home -------------------------------------------------------------------------------------

core::Task<void> Away::run() {
  ++lane_.use().queues;
  connection_.move(*this);
  static_cast<void>(co_await core::on<bool>(lane_.there(), [this] { return visit(); }));
  // All that the other core had to say has come before this. What was said to it has, too, once
  // one more message has been there and back.
  over_ = true;
  while (aborts_ != 0) co_await aborts_over_.wait();
  static_cast<void>(co_await core::on<bool>(lane_.there(), nothing));
  connection_.come_back();
}

void Away::end(std::string reason) {
  work_.lose();
  if (over_) return;
  lane_.there().post([connection = &connection_, reason = std::move(reason)]() mutable {
    connection->stop(std::move(reason));
  });
}

core::Task<bool> Away::abort(std::uint16_t command) {
  if (over_) co_return false;
  Status answer = status::kAborted;
  answer.retry_delay = controller_.retry_delay(answer);
  ++aborts_;
  const bool aborted =
      co_await core::on<bool>(lane_.there(), [connection = &connection_, command, answer] {
        return abort_there(connection, command, answer);
      });
  if (aborted) {
    shared_.counters.answered(answer);
    ++lane_.use().commands;
  }
  if (--aborts_ == 0) aborts_over_.notify_all();
  co_return aborted;
}

void Away::ask(Request& request, std::uint32_t bytes) {
  static_cast<void>(request.share.detach(work_.budget()));
  lane_.to_there({this, &request, {}, bytes, Letter::Kind::kAsk});
}

void Away::complete(Request& request, Status answer) {
  answer.retry_delay = controller_.retry_delay(answer);
  shared_.counters.answered(answer);
  ++lane_.use().commands;
  const auto bytes = static_cast<std::uint32_t>(request.share.detach(work_.budget()));
  lane_.to_there({this, &request, answer, bytes, Letter::Kind::kDone});
}

void Away::arrived(const Letter& letter) {
  switch (letter.kind) {
    case Letter::Kind::kTake: controller_.touch(); return work_.take(*letter.request);
    case Letter::Kind::kRun: return work_.run(*letter.request);
    case Letter::Kind::kAnswer:
      controller_.touch();
      return complete(*letter.request, letter.status);
    default: return work_.budget().give(letter.bytes);
  }
}

// --- on the other core ---------------------------------------------------------------------------

core::Task<bool> Away::visit() {
  co_await connection_.run_away();
  lane_.flush_home();
  co_return true;
}

void Away::lend(Request& request, Letter::Kind kind, Status status) {
  request.lent = true;
  ++lent_;
  lane_.to_home({this, &request, status, 0, kind});
}

void Away::returned(const Letter& letter) {
  Request& request = *letter.request;
  request.lent = false;
  if (--lent_ == 0) back_.notify_all();
  if (letter.bytes != 0) {
    held_.take(letter.bytes);  // home has found room for it, or took it for half of a pair
    request.share = Budget::Share(held_, letter.bytes);
  }
  if (letter.kind == Letter::Kind::kAsk) {
    connection_.ask(request, letter.bytes);
  } else {
    connection_.complete(request, letter.status);
  }
}

core::Task<void> Away::all_back() {
  while (lent_ != 0) co_await back_.wait();
}

void Away::at_home(std::move_only_function<void(Shared&)> work) {
  lane_.home().post([shared = &shared_, work = std::move(work)]() mutable { work(*shared); });
}

void Away::lost() {
  lane_.home().post([work = &work_] { work->lose(); });
}

void Away::deliver(const Letter& letter) {
  const bool for_home = letter.kind != Letter::Kind::kAsk && letter.kind != Letter::Kind::kDone;
  for_home ? arrived(letter) : returned(letter);
}

}  // namespace capstan::storage::nvme
