// Why this file exists: the data paths of a client's call, with the same back-pressure as the
// server's (server_call.h): windows open when the application took the message, senders wait while
// the peer's window or the queue is full.
#include <cstring>
#include <utility>

#include "wire/grpc/client_session.h"

namespace capstan::wire {

// --- out ----------------------------------------------------------------------------------------

// False: compressing it would not pay.
bool ClientCall::write_compressed(const rpc::Message& message) {
  const auto packed = grpc_gzip(as_bytes(message.SerializeAsString()));
  if (!packed) return false;
  auto& http2 = session_->connection_.http2();
  const std::size_t size = kGrpcPrefixBytes + packed->size();
  std::uint8_t* to = http2.reserve(*stream_, size);
  grpc_write_prefix(to, true, static_cast<std::uint32_t>(packed->size()));
  std::memcpy(to + kGrpcPrefixBytes, packed->data(), packed->size());
  http2.write(*stream_, size);
  written_bytes_ += size;
  return true;
}

void ClientCall::write_message(const rpc::Message& message) {
  auto& http2 = session_->connection_.http2();
  const std::size_t size = message.ByteSizeLong();
  if (gzip_requests_ && size >= limits::kGrpcCompressBytesMin && write_compressed(message)) return;
  std::uint8_t* to = http2.reserve(*stream_, kGrpcPrefixBytes + size);
  grpc_write_prefix(to, false, static_cast<std::uint32_t>(size));
  message.SerializeWithCachedSizesToArray(to + kGrpcPrefixBytes);
  http2.write(*stream_, kGrpcPrefixBytes + size);
  written_bytes_ += kGrpcPrefixBytes + size;
}

bool ClientCall::output_full() const {
  return queued_count_ == queued_ends_.size() ||
         stream_->unsent_bytes() >= limits::kHttp2StreamWindowBytes;
}

void ClientCall::on_sent() {
  while (queued_count_ != 0 && queued_ends_[queued_first_] <= stream_->sent_bytes()) {
    queued_first_ = (queued_first_ + 1) % queued_ends_.size();
    --queued_count_;
  }
  if (writable_.waited_for()) writable_.notify();
}

core::Task<Result<void>> ClientCall::send(const rpc::Message& message) {
  CAPSTAN_ASSERT(!sending_done_);
  const auto over = [this]() -> Result<void> {
    if (failure_) return std::unexpected(*failure_);
    if (!ended_ && stream_) return {};
    return status_ ? std::unexpected(*status_)
                   : fail(Code::kAborted, "the server has ended the call");
  };
  CO_TRY(over());
  write_message(message);
  session_->connection_.wake();
  queued_ends_[(queued_first_ + queued_count_++) % queued_ends_.size()] = written_bytes_;
  while (stream_ && !ended_ && !failure_ && output_full()) co_await writable_.wait();
  co_return over();
}

void ClientCall::finish_sending() {
  if (sending_done_) return;
  sending_done_ = true;
  if (!stream_) return;
  session_->connection_.http2().finish(*stream_, {});
  session_->connection_.wake();
}

// --- in -----------------------------------------------------------------------------------------

void ClientCall::give_back(std::size_t bytes) {
  bytes = std::min(bytes, held_bytes_);
  held_bytes_ -= bytes;
  if (!stream_ || bytes == 0) return;
  session_->connection_.http2().consume(*stream_, bytes);
  session_->connection_.wake();
}

void ClientCall::on_data(ByteView data) {
  held_bytes_ += data.size();
  if (failure_) return give_back(held_bytes_);
  if (auto added = decoder_.append(data); !added) {
    fail_with(std::move(added).error().within("answer of the server"));
    return give_back(held_bytes_);
  }
  if (readable_.waited_for()) give_back(held_bytes_);
  readable_.notify();
}

Result<void> ClientCall::parse(const GrpcFrame& frame, rpc::Message& into) const {
  ByteView body = frame.body;
  std::string plain;
  if (frame.compressed) {
    if (!gzip_) return fail(Code::kInternal, "compressed answer without grpc-encoding");
    TRY_SET(plain, grpc_gunzip(body, session_->options_.receive_message_bytes));
    body = as_bytes(plain);
  }
  if (into.ParseFromArray(body.data(), static_cast<int>(body.size()))) return {};
  return fail(Code::kInternal, "the server's answer is not a valid " + into.GetTypeName());
}

core::Task<Result<bool>> ClientCall::next(rpc::Message& into) {
  while (true) {
    if (failure_) co_return std::unexpected(*failure_);
    CO_TRY_SET(const auto frame, decoder_.next());
    if (frame) {
      give_back(kGrpcPrefixBytes + frame->body.size());
      CO_TRY(parse(*frame, into));
      co_return true;
    }
    if (ended_) {
      if (status_) co_return std::unexpected(*status_);
      if (decoder_.buffered() == 0) co_return false;
      co_return fail(Code::kInternal, "the server ended the call in the middle of a message");
    }
    give_back(held_bytes_);
    co_await readable_.wait();
  }
}

core::Task<Result<void>> ClientCall::finish() {
  while (!ended_ && !failure_) {
    CO_TRY_SET(const auto frame, decoder_.next());
    if (frame) {
      cancel(Code::kCancelled);
      co_return fail(Code::kInternal, "the server sent more answers than the call allows");
    }
    give_back(held_bytes_);
    co_await readable_.wait();
  }
  if (failure_) co_return std::unexpected(*failure_);
  if (status_) co_return std::unexpected(*status_);
  if (decoder_.buffered() != 0) {
    co_return fail(Code::kInternal, "the server sent more answers than the call allows");
  }
  co_return Result<void>();
}

}  // namespace capstan::wire
