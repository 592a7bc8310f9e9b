// Why this file exists: one Muxio connection, of either side: Muxio is symmetric, so a server may
// call its client as a client calls its server. Bytes become frames, frames messages, messages
// calls of the Directory or answers to calls of ours; and back.
//
// Order: the DataStore methods of one connection take effect in the order in which their calls were
// complete, as upstream's do (reads run beside each other); all other operations run side by side,
// as on every other wire. Answers leave in any order, clients go by the request id.
// Lifetimes: every call that came in is a child of the session's scope and ends through its
// handler, also when the connection is gone: then only its token has fired. Calls of ours end with
// an error then. run() returns after the last handler. Thread-safety: one core.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/env.h"
#include "core/scope.h"
#include "core/sync.h"
#include "rpc/directory.h"
#include "rpc/interceptors/refused.h"
#include "wire/muxio/limits.h"
#include "wire/muxio/link.h"
#include "wire/muxio/method_table.h"
#include "wire/muxio/muxio_codec.h"

namespace capstan::wire::muxio {

enum class Side : std::uint8_t { kServer, kClient };

struct SessionOptions {
  Side side = Side::kServer;
  // 0: recognised from what the client sends; a client has to say.
  std::size_t header_bytes = 0;
  std::size_t default_header_bytes = kLongHeaderBytes;  // when nothing can be recognised
  std::size_t request_bytes = limits::kMuxioRequestBytes;
  std::size_t message_bytes = limits::kGrpcReceiveMessageBytes;  // of streams of messages
  std::size_t answer_bytes = limits::kMuxioRequestBytes;         // to calls of ours
  // Of the requests of all connections that share the counters; each may have as much as is free.
  std::size_t all_bytes = limits::kMuxioUnfinishedBytes;
  std::size_t held_bytes = kHeldBytes;  // of calls that wait or run, then nothing is read
  FrameDecoder::Limits frames;
  Link::Options link;
  // What every call of the peer has as metadata: Muxio's own calls carry none, the request that
  // opened a WebSocket does.
  std::vector<std::pair<std::string, std::string>> metadata;
  rpc::RefusedCalls* refused = nullptr;  // hears of calls that no handler sees; null: nobody does
};

// Counted over all connections of a server (or of a client).
struct Counters {
  std::uint64_t connections_opened = 0, connections_closed = 0, connections_refused = 0;
  std::uint64_t calls_started = 0, calls_refused = 0;
  std::size_t unfinished_bytes = 0;  // of requests that arrive, wait or run
};

// What it serves; null pointers: nothing, calls are answered with MethodNotFound.
struct Served {
  const rpc::Directory* directory = nullptr;
  const MethodTable* methods = nullptr;
};

class ServerCall;
class ClientCall;

class Session final : private LinkEvents, private FrameEvents {
 public:
  // Everything but the stream outlives the session.
  Session(core::Env& env, std::unique_ptr<core::Stream> stream, std::string prefix,
          const Served& served, const SessionOptions& options, Counters& counters);
  ~Session() override;

  core::Task<void> run();
  // No new calls; endless ones are cancelled, the others may end. run() returns after the last.
  void drain();
  // Ends the connection in the regular way.
  void finish() { link_.close(WebSocketClose::kNormal, {}); }
  // Cancels every call and ends the connection.
  void abort(std::string reason);

  // One call of the peer with its answer: `arguments` and the result are as the method's codec has
  // them on the wire. The call is cancelled when the token fires.
  core::Task<Result<std::string>> call(std::uint64_t method, std::string arguments,
                                       core::CancelToken token);
  // A call whose answer (and, without `arguments`, request) is a stream of messages. Ends when
  // destroyed; must not outlive the session.
  Result<std::unique_ptr<ClientCall>> open(std::uint64_t method,
                                           std::optional<std::string> arguments);

  const Link& link() const { return link_; }
  std::size_t calls_in_flight() const { return running_; }
  // Whether the size of the headers is known, so that calls of ours may be sent.
  bool ready() const { return header_bytes_ != 0; }

 private:
  friend class ServerCall;
  friend class ClientCall;
  struct Inbound;  // a stream of the peer
  // A stream of ours.
  struct Outbound {
    std::uint32_t id = 0, sequence = 0;
    bool ended = false;
  };

  // LinkEvents and FrameEvents
  Result<void> on_bytes(ByteView bytes, std::uint64_t message_bytes) override;
  void on_read_done() override;
  bool wants_pause() const override;
  void on_data(StreamState& stream, ByteView piece) override;
  void on_end(StreamState& stream) override;
  void on_cancel(std::uint32_t id, StreamState* stream) override;

  Result<void> recognise(ByteView bytes, std::uint64_t message_bytes);
  Result<void> decode(ByteView bytes);
  void accept_message(Inbound& inbound, StreamState& stream);
  void accept_call(Inbound& inbound, StreamState& stream);
  void accept_response(Inbound& inbound);
  Inbound* take_inbound();
  void count_header(Inbound& inbound, std::size_t bytes);
  // Of the sums of all connections and of this one.
  void charge(std::size_t& counted, std::size_t bytes);
  const Method* method_of(std::uint64_t id) const;
  // Whether this connection has more than its share.
  bool overcharged() const;
  void release(Inbound* inbound);

  // Calls of the peer
  void start(ServerCall& call);
  core::Task<void> run_call(ServerCall* call);
  // Answers without a handler; `why` is for the log.
  void refuse(const MessageHeader& call, Status status, std::string_view text, const Error& why);
  void tell_refused(std::uint64_t method, const Error& why);
  core::Task<void> tell(const rpc::Operation* operation, Error why);
  ServerCall* take_call();
  void release(ServerCall* call);
  void end_if_drained();
  void set_clogged(bool& mine, bool clogged);

  // Calls of ours
  Result<void> may_ask() const;
  void ask(ClientCall& call);

  // Frames out. `head` and `body` follow each other in the stream; `last` ends it.
  void send(Outbound& out, ByteView head, ByteView body, bool last);
  void send_cancel(Outbound& out);
  std::uint32_t next_id();
  std::uint64_t micros();

  core::Env& env_;
  Served served_;
  SessionOptions options_;
  Counters& counters_;
  Link link_;
  std::size_t header_bytes_ = 0;
  std::uint64_t first_message_bytes_ = 0;
  std::string unrecognised_;  // the first bytes, until the size of the headers is known
  std::optional<FrameDecoder> decoder_;
  std::vector<std::unique_ptr<Inbound>> inbounds_;
  std::vector<Inbound*> spare_inbounds_;

  std::vector<std::unique_ptr<ServerCall>> calls_;  // all ever needed at once
  std::vector<ServerCall*> active_, spare_calls_;
  std::vector<std::uint32_t> active_requests_;  // the request ids of active_, together in memory
  std::size_t running_ = 0, clogged_ = 0;
  std::size_t charged_bytes_ = 0;  // of all requests
  std::size_t held_bytes_ = 0;     // of those that are complete
  core::SharedMutex order_;
  std::string scratch_;

  std::unordered_map<std::uint32_t, ClientCall*> asked_;
  std::uint32_t last_id_ = 0;
  core::Nanos stamp_turn_ = 0;
  std::uint64_t stamp_ = 0;
  bool draining_ = false, over_ = false;
  core::Scope scope_;
};

}  // namespace capstan::wire::muxio
