// Why this file exists: see client_call.h.
#include "wire/muxio/client_call.h"

#include <utility>

#include "wire/muxio/error_map.h"

namespace capstan::wire::muxio {

ClientCall::ClientCall(Session& session, bool records)
    : session_(session), records_wanted_(records), records_(session.options_.message_bytes) {}

ClientCall::~ClientCall() {
  if (!over()) cancel(Code::kCancelled);
  leave();
}

void ClientCall::wake() {
  if (waiter_) core::Reactor::current()->make_ready(std::exchange(waiter_, {}));
}

void ClientCall::fail_with(Error error) {
  if (over()) return;
  failure_ = std::move(error);
  leave();
  wake();
}

// --- in -----------------------------------------------------------------------------------------

void ClientCall::receive_status(Status status) {
  status_ = status > Status::kMethodNotFound ? Status::kSuccess : status;
  answered_ = true;
}

void ClientCall::receive(ByteView piece) {
  if (over()) return;
  if (status_ == Status::kSuccess && records_wanted_) {
    const bool waited_for = static_cast<bool>(waiter_);
    records_.append(piece);
    wake();
    if (!waited_for && records_.buffered() >= limits::kMuxioStreamQueuedBytes) {
      session_.set_clogged(clogging_, true);
    }
    return;
  }
  if (body_.size() + piece.size() > session_.options_.answer_bytes) {
    return fail_with({Code::kResourceExhausted,
                      0,
                      "the answer exceeds the limit of " +
                          std::to_string(session_.options_.answer_bytes) + " bytes",
                      {}});
  }
  body_.append(as_text(piece));
}

void ClientCall::receive_end() {
  if (over()) return;
  inbound_ = nullptr;
  if (status_ != Status::kSuccess) return fail_with(error_of(status_, body_));
  ended_ = true;
  leave();
  wake();
}

Result<std::string> ClientCall::take_answer() {
  if (failure_) return std::unexpected(*failure_);
  return std::move(body_);
}

core::Task<Result<bool>> ClientCall::next(rpc::Message& into) {
  while (true) {
    if (failure_) co_return std::unexpected(*failure_);
    CO_TRY_SET(const auto record, records_.next());
    if (record) {
      if (records_.buffered() < limits::kMuxioStreamQueuedBytes) {
        session_.set_clogged(clogging_, false);
      }
      if (into.ParseFromArray(record->data(), static_cast<int>(record->size()))) co_return true;
      co_return fail(Code::kInternal, "the answer is not a valid " + into.GetTypeName());
    }
    if (ended_) {
      if (records_.error_begun()) {
        co_return std::unexpected(error_of(Status::kSystemError, records_.error_text()));
      }
      if (records_.buffered() == 0) co_return false;
      co_return fail(Code::kInternal, "the answer ended in the middle of a message");
    }
    session_.set_clogged(clogging_, false);
    co_await done();
  }
}

// --- out ----------------------------------------------------------------------------------------

core::Task<Result<void>> ClientCall::send(const rpc::Message& message) {
  while (!over() && session_.link_.unsent() >= limits::kMuxioStreamQueuedBytes &&
         !session_.link_.closed()) {
    co_await session_.link_.room().wait();
  }
  if (failure_) co_return std::unexpected(*failure_);
  if (ended_ || out_.ended) co_return fail(Code::kAborted, "the call has ended");
  std::string record(kRecordHeaderBytes, '\0');
  message.AppendToString(&record);
  store_le(reinterpret_cast<std::uint8_t*>(record.data()),
           static_cast<std::uint32_t>(record.size() - kRecordHeaderBytes));
  session_.send(out_, {}, as_bytes(record), false);
  co_return Result<void>();
}

void ClientCall::finish_sending() {
  if (!out_.ended && !session_.link_.closed()) session_.send(out_, {}, {}, true);
}

void ClientCall::cancel(Code reason) {
  if (over()) return;
  if (!session_.link_.closed()) session_.send_cancel(out_);
  fail_with({reason, 0, "the call was cancelled", {}});
}

}  // namespace capstan::wire::muxio
