// Why this file exists: the client half of gRPC over one connection, and one call on it. Channels
// (client/channel.h) connect and reconnect; this is what they do it with.
//
// Lifetimes: a ClientCall keeps its session alive. Destroying a call whose stream is open resets
// the stream, so the server hears of it; no method of the call may be suspended then.
// Thread-safety: one core.
#pragma once

#include <google/protobuf/message.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/cancel.h"
#include "rpc/directory.h"
#include "wire/grpc/connection.h"
#include "wire/grpc/grpc_codec.h"
#include "wire/grpc/metadata.h"

namespace capstan::wire {

struct ClientOptions {
  std::string authority = "localhost";
  std::string user_agent = "capstan";
  std::string scheme = "http";
  std::size_t receive_message_bytes = limits::kGrpcClientReceiveMessageBytes;
  Connection::Options connection;
};

struct CallOptions {
  core::Nanos deadline = 0;  // of the reactor's clock; 0 = none. Sent to the server, kept here too
  core::CancelToken token;
  MetadataList metadata;
  bool wait_for_ready = false;  // keep trying to connect instead of failing with kUnavailable
  // Compress requests of limits::kGrpcCompressBytesMin and more; a server that cannot read them
  // answers kUnimplemented. Answers are read either way.
  bool gzip = false;
};

class ClientCall;

class ClientSession final : private Http2Events {
 public:
  ClientSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                ClientOptions options);
  core::Task<void> run();
  // New calls may be begun.
  bool usable() const { return !connection_.ended() && connection_.http2_view().can_open(); }
  // Ends once the calls in flight have ended.
  void drain();
  void abort(std::string reason) { connection_.cut(std::move(reason)); }
  const std::string& reason() const { return connection_.reason(); }
  std::size_t calls_in_flight() const { return connection_.http2_view().open_streams(); }

 private:
  friend class ClientCall;
  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool too_large) override;
  void on_data(Http2Stream& stream, ByteView data) override;
  void on_end(Http2Stream& stream) override;
  void on_closed(Http2Stream& stream, Http2Error error) override;
  void on_sent(Http2Stream& stream) override;

  ClientOptions options_;
  Connection connection_;
};

class ClientCall final : public rpc::MessageSource, public rpc::MessageSink {
 public:
  explicit ClientCall(std::shared_ptr<ClientSession> session);
  ~ClientCall() override;
  ClientCall(const ClientCall&) = delete;
  ClientCall& operator=(const ClientCall&) = delete;

  // Sends the headers, and with `only_request` the one message of a call that streams no requests.
  Result<void> begin(std::string_view full_name, const CallOptions& options,
                     const rpc::Message* only_request);
  // Suspends while the server is slow. Fails once the call has ended, also when it ended well.
  core::Task<Result<void>> send(const rpc::Message& message) override;
  void finish_sending();
  // False when the server ended the call with OK, otherwise its error.
  core::Task<Result<bool>> next(rpc::Message& into) override;
  // Waits for the end; answers further than those taken are an error.
  core::Task<Result<void>> finish();
  // Ends the call here and at the server; a waiting method fails with `reason`.
  void cancel(Code reason);

  // Called once the server has begun to answer, with headers() there; not for one that ends the
  // call without having begun.
  void when_answered(std::function<void()> then);

  const MetadataList& headers() const { return headers_; }
  const MetadataList& trailers() const { return trailers_; }  // after the end
  // The server has certainly not seen the call: it may be repeated elsewhere.
  bool unprocessed() const { return unprocessed_; }
  // The server has said how the call ended; else its end is this side's doing or the connection's.
  bool ended_by_server() const { return has_status_; }

 private:
  friend class ClientSession;
  void on_headers(Headers headers, bool too_large, bool is_trailers);
  void on_status(Headers headers);
  void on_data(ByteView data);
  void on_end();
  void on_closed(Http2Error error);
  void on_sent();
  void fail_with(Error error);
  void write_message(const rpc::Message& message);
  bool write_compressed(const rpc::Message& message);
  void give_back(std::size_t bytes);
  Result<void> parse(const GrpcFrame& frame, rpc::Message& into) const;
  bool output_full() const;

  std::shared_ptr<ClientSession> session_;
  Http2Stream* stream_ = nullptr;
  GrpcDecoder decoder_;
  core::Timer deadline_;
  std::optional<core::CancelCallback> cancel_;
  MetadataList headers_, trailers_;
  std::function<void()> when_answered_;
  std::optional<Error> failure_;  // of this side: cancelled, late, broken
  std::optional<Error> status_;   // the server's, when not OK
  bool answered_ = false, begun_ = false, has_status_ = false, ended_ = false, gzip_ = false;
  bool sending_done_ = false, unprocessed_ = false, gzip_requests_ = false;
  std::size_t held_bytes_ = 0;
  Signal readable_, writable_;
  std::uint64_t written_bytes_ = 0;
  std::array<std::uint64_t, limits::kStreamQueuedMessages> queued_ends_{};
  std::size_t queued_first_ = 0, queued_count_ = 0;
};

}  // namespace capstan::wire
