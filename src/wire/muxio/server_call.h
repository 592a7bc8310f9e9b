// Why this file exists: one call of the peer: its request as it arrives, its answer as it leaves,
// and what the handler sees of it. Objects are reused with their memory.
//
// A unary request is collected; the messages of a streaming one are records that the handler takes,
// and the connection is not read on while more than a bound of them waits: Muxio has no flow
// control of its own, so one slow handler of a stream holds up its connection, never its memory.
// Thread-safety: one core. Included by the session's sources only.
#pragma once

#include <google/protobuf/arena.h>

#include <array>
#include <optional>

#include "wire/muxio/session.h"

namespace capstan::wire::muxio {

// Why a call is refused that its connection has no memory left for.
std::string overcharge_text(bool bare);

class ServerCall final : public rpc::MessageSource, public rpc::MessageSink {
 public:
  explicit ServerCall(Session& session);

  core::Task<Result<bool>> next(rpc::Message& into) override;
  void interrupt() override;
  core::Task<Result<void>> send(const rpc::Message& message) override;

 private:
  friend class Session;
  void begin(const Method& method, const MessageHeader& header, std::uint32_t stream,
             std::string_view metadata);
  // What of the request arrived; an error refuses the call with its message.
  Result<void> receive(ByteView piece);
  Result<void> receive_end();
  void cancel(Code reason);
  void reset();

  bool unary() const { return method_->entry->handler.unary != nullptr; }
  bool client_streams() const {
    return method_->entry->operation.kind == rpc::Kind::kClientStream ||
           method_->entry->operation.kind == rpc::Kind::kBidirectional;
  }
  Result<void> parse(ByteView bytes, rpc::Message& into) const;
  void answer(Result<void> result);
  void open_answer();
  ByteView arguments() const { return as_bytes(body_.empty() ? metadata_ : body_); }
  bool output_full() const;
  void count_bytes(std::size_t bytes);
  // The request is complete and costs this until it is forgotten.
  void hold_bytes(std::size_t bytes);
  void wake_reader() {
    if (!readable_.is_set()) readable_.set();
  }

  static constexpr std::size_t kArenaBytes = 2048;

  Session& session_;
  const Method* method_ = nullptr;
  MessageHeader header_;
  std::uint32_t stream_ = 0;  // of the request
  rpc::Call call_;
  std::optional<core::CancelSource> cancel_;
  std::string metadata_, body_;
  std::size_t counted_bytes_ = 0;  // in the sums of the server and of the session
  std::size_t held_bytes_ = 0;     // in the session's sum of complete requests
  RecordDecoder records_;
  bool metadata_taken_ = false, ended_ = false, running_ = false;
  bool clogging_ = false, interrupted_ = false, drained_ = false, abandoned_ = false;
  Session::Inbound* inbound_ = nullptr;  // while the request arrives
  std::size_t position_ = 0;             // in the session's list of active calls
  std::size_t owned_position_ = 0;       // and in that of all
  core::Event readable_;
  Session::Outbound out_;
  bool answer_open_ = false;

  alignas(8) std::array<char, kArenaBytes> arena_block_;
  google::protobuf::Arena arena_;
  rpc::Message* request_ = nullptr;  // in the arena
  rpc::Message* response_ = nullptr;
};

}  // namespace capstan::wire::muxio
