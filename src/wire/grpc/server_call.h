// Why this file exists: one call of a ServerSession: its request as it arrives, its answer as it
// leaves, and what the handler sees of it (Call, source, sink). Objects are reused with their
// memory, so a unary call allocates little.
//
// Received bytes are given back to the flow-control windows when the handler takes the message they
// belong to. While the handler waits for the rest of a message they are given back at once,
// otherwise a message larger than the window could never arrive.
// Thread-safety: one core. Included by server_session.cc and server_call.cc only.
#pragma once

#include <google/protobuf/arena.h>

#include <array>
#include <limits>
#include <optional>

#include "rpc/announcing.h"
#include "wire/grpc/server_session.h"

namespace capstan::wire {

class ServerCall final : public rpc::MessageSource,
                         public rpc::MessageSink,
                         public rpc::Announcing {
 public:
  ServerCall(ServerSession& session, std::size_t max_message_bytes);

  // rpc::MessageSource, rpc::MessageSink: the handler's side of a streaming call.
  core::Task<Result<bool>> next(rpc::Message& into) override;
  void interrupt() override;
  core::Task<Result<void>> send(const rpc::Message& message) override;
  void hold_announcement() override { announcement_held_ = true; }
  void release_announcement() override;

  void begin(Http2Stream& stream, const rpc::Directory::Entry& entry);
  void set_deadline(core::Nanos timeout);
  // Bytes of the request. An error ends the call before a handler saw it (unary) or is what the
  // handler's next() answers (streaming).
  Result<void> receive(ByteView data);
  Result<void> receive_end();
  void stream_closed();
  void output_taken();
  // The token fires; the handler ends through its own path.
  void cancel(Code reason);
  // What the handler's error means to the client, given why the call was cancelled.
  Error final_error(Error error) const;
  void reset();

  bool unary() const { return entry_->handler.unary != nullptr; }
  // One request, then a stream of answers.
  bool one_request() const;

 private:
  friend class ServerSession;
  Result<void> take_request(const GrpcFrame& frame);
  Error too_many_requests() const;
  Result<void> parse(const GrpcFrame& frame, rpc::Message& into) const;
  void give_back(std::size_t bytes);
  bool output_full() const;
  void prepare_response();

  static constexpr std::size_t kArenaBytes = 2048;
  static constexpr std::size_t kNothing = std::numeric_limits<std::size_t>::max();

  ServerSession& session_;
  Http2Stream* stream_ = nullptr;  // null once it is closed
  const rpc::Directory::Entry* entry_ = nullptr;
  rpc::Call call_;
  std::optional<core::CancelSource> cancel_;
  core::Timer deadline_;
  core::Timer announcement_;  // after the handler's first step
  bool request_gzip_ = false, answer_gzip_ = false;
  bool announcement_held_ = false;
  bool headers_sent_ = false, ended_ = false, running_ = false, drained_ = false;

  GrpcDecoder decoder_;
  std::optional<Error> input_error_;
  std::optional<Error> violation_;  // the client broke the rules after the handler had started
  bool took_one_ = false;           // a message was given to the handler
  std::size_t held_bytes_ = 0;      // received, not yet given back to the windows
  std::size_t charged_bytes_ = 0;   // see ServerSession::charge
  Signal readable_;

  Signal writable_;
  std::uint64_t written_bytes_ = 0;
  std::array<std::uint64_t, limits::kStreamQueuedMessages> queued_ends_{};  // a ring
  std::size_t queued_first_ = 0, queued_count_ = 0;

  alignas(8) std::array<char, kArenaBytes> arena_block_;
  google::protobuf::Arena arena_;
  rpc::Message* request_ = nullptr;  // in the arena
  // Kept for the next call of the same operation when it is small.
  std::unique_ptr<rpc::Message> response_;
  const rpc::Message* response_type_ = nullptr;
  std::size_t message_bytes_ = kNothing;  // of what was sent of it
};

}  // namespace capstan::wire
