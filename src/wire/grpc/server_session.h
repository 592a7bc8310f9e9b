// Why this file exists: one gRPC connection of a server. It turns HTTP/2 streams into calls on the
// Directory and answers back; logs, metrics, access and limits of calls are the interceptors'.
//
// Lifetimes: every call is a child of the session's scope. A call ends through its handler, also
// when its stream is gone: then only its token has fired and its answer goes nowhere. run() returns
// when the connection has ended and the last handler with it.
// Thread-safety: one core; the handler runs on the core that read the bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/log.h"
#include "core/scope.h"
#include "core/sync.h"
#include "rpc/directory.h"
#include "rpc/interceptors/refused.h"
#include "wire/grpc/connection.h"
#include "wire/grpc/gateway_limits.h"
#include "wire/grpc/grpc_codec.h"
#include "wire/grpc/guest.h"

namespace capstan::wire {

struct ServerOptions {
  std::size_t receive_message_bytes = limits::kGrpcReceiveMessageBytes;
  std::size_t running_calls = limits::kGrpcRunningCalls;  // of a connection, also left ones
  std::size_t request_bytes = limits::kGrpcRequestBytesPerConnection;
  std::size_t all_request_bytes = limits::kGrpcRequestBytes;  // of all connections
  // Of one message that a gateway passes on; the node's limit of bodies decides.
  std::size_t gateway_message_bytes = limits::kGatewayMessageBytes;
  bool from_gateway = false;  // set by the server: counted apart, and no client's own doing
  std::size_t compress_bytes_min = limits::kGrpcCompressBytesMin;
  bool compress_answers = false;                          // gzip for clients that accept it
  std::size_t connections_max = limits::kConnectionsMax;  // of one listener
  Connection::Options connection;
  rpc::RefusedCalls* refused = nullptr;  // hears of calls that no handler sees; null: nobody does
  GuestFactory guest;  // who answers requests that are not gRPC; not set: 405 and 415
};

// Counted per server, over all its connections.
struct ServerCounters {
  std::uint64_t connections_opened = 0, connections_closed = 0, connections_refused = 0;
  std::uint64_t calls_started = 0, calls_refused = 0;
  // Now held for unary calls.
  std::uint64_t request_bytes = 0, gateway_request_bytes = 0;
};

// Paths to entries: a hash over the text of the request instead of a walk of the Directory's tree.
// Shared by the connections of a server; holds served operations only, so its size is theirs.
class MethodTable {
 public:
  explicit MethodTable(const rpc::Directory& directory);
  const rpc::Directory::Entry* find(std::string_view full_name) const;

 private:
  std::unordered_map<std::string_view, const rpc::Directory::Entry*> entries_;
};

class ServerCall;

class ServerSession final : private Http2Events {
 public:
  // Everything but the stream outlives the session.
  ServerSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                const rpc::Directory& directory, const MethodTable& methods,
                const ServerOptions& options, ServerCounters& counters);
  ~ServerSession() override;
  // gRPC is not served on this connection, only what its guest serves. Before run().
  void only_guest() { only_guest_ = guest_ != nullptr; }

  core::Task<void> run();
  // No new calls; endless ones are cancelled, the others may end. run() returns after the last.
  void drain();
  // Cancels every call and ends the connection.
  void abort(std::string reason);

  const Connection& connection() const { return connection_; }
  std::size_t calls_in_flight() const {
    return running_ + (guest_ ? guest_->calls_in_flight() : 0);
  }

 private:
  friend class ServerCall;
  struct Request;  // what the headers said

  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool too_large) override;
  void on_data(Http2Stream& stream, ByteView data) override;
  void on_end(Http2Stream& stream) override;
  void on_closed(Http2Stream& stream, Http2Error error) override;
  void on_sent(Http2Stream& stream) override;
  void on_idle() override;

  Result<void> read_headers(Headers headers, ServerCall& call, Request& request);
  void accept_call(Http2Stream& stream, Headers headers);
  // Answers without a handler; the second what has begun.
  void refuse(Http2Stream& stream, const Error& error);
  void refuse(ServerCall& call, const Error& error);
  // `call` may be without an operation; then the path says what was asked for.
  void tell_refused(const rpc::Call& call, std::string_view path, const Error& error);
  core::Task<void> tell(rpc::Call call, Error error);
  bool is_for_guest(Headers headers) const;
  // For those who are no gRPC clients: people with a browser or curl.
  void refuse_http(Http2Stream& stream, std::string_view method);
  // Counts bytes of a unary request against the limits until the call is released.
  Result<void> charge(ServerCall& call, std::size_t bytes);
  std::uint64_t& all_request_bytes() {
    return options_.from_gateway ? counters_.gateway_request_bytes : counters_.request_bytes;
  }
  void start(ServerCall& call);
  void deadline_passed(ServerCall& call);
  core::Task<void> run_call(ServerCall* call);
  void answer(ServerCall& call, Result<void> result);
  // The handler of a call without an end has its request and waits for something to tell.
  void announce(ServerCall& call);
  void send_headers(ServerCall& call);
  void send_message(ServerCall& call, const rpc::Message& message);
  void send_status(ServerCall& call, const Error* error);

  ServerCall* take_call();
  void release(ServerCall* call);

  core::Reactor& reactor_;
  const rpc::Directory& directory_;
  const MethodTable& methods_;
  const ServerOptions& options_;
  ServerCounters& counters_;
  Connection connection_;
  std::unique_ptr<Guest> guest_;
  bool only_guest_ = false;
  core::Scope scope_;
  core::Event output_room_;
  std::vector<std::unique_ptr<ServerCall>> calls_;  // all ever needed at once
  std::vector<ServerCall*> spare_;
  std::size_t running_ = 0;
  std::size_t request_bytes_ = 0;
  bool draining_ = false;
};

}  // namespace capstan::wire
