// Why this file exists: one JSON-RPC connection of a server: texts in, calls on the Directory,
// answers out in the order in which the calls end. Logs, metrics, access and limits of calls are
// the interceptors'.
//
// Ends: the client's half-close means "no more requests": everything outstanding is answered first.
// So it is after a malformed text, whose own answer comes last. A connection that breaks cancels
// its calls; their handlers end through their own path and their answers go nowhere.
//
// Memory: reading stops while kJsonRpcOutputPauseBytes of answers are unread or too many calls run;
// a client whose unread answers exceed kJsonRpcOutputBytes all the same is cut off.
//
// Lifetimes: every call is a child of the session's scope; run() returns after the last one.
// Thread-safety: one core.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "core/sync.h"
#include "rpc/directory.h"
#include "rpc/interceptors/refused.h"
#include "rpc/json_call.h"
#include "wire/jsonrpc/jsonrpc_codec.h"
#include "wire/jsonrpc/lifecycle.h"

namespace capstan::wire::jsonrpc {

// Counted per server, over all its connections.
struct ServerCounters {
  std::uint64_t connections_opened = 0, connections_closed = 0;
  std::uint64_t calls_started = 0, calls_refused = 0, texts_malformed = 0;
};

// What the sessions of a server share; it outlives them.
struct Service {
  const rpc::Directory& directory;
  rpc::JsonMethods methods;
  const Lifecycle& lifecycle;
  core::Log log;
  ServerCounters counters;
  std::set<std::string, std::less<>> old_names_used;  // each is warned of once
  rpc::RefusedCalls* refused = nullptr;  // hears of calls that no handler sees; null: nobody does
};

class ServerSession {
 public:
  ServerSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream, Service& service);
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  core::Task<void> run();
  // No new requests; those running may end. run() returns after the last is answered.
  void drain();
  // Cancels every call and ends the connection.
  void abort(std::string reason);

  std::size_t calls_in_flight() const { return calls_.children(); }
  std::size_t unread_bytes() const { return pending_.size() + writing_.size(); }
  const core::PeerInfo& peer() const { return stream_->peer(); }
  const std::string& reason() const { return reason_; }

 private:
  struct Batch;
  struct Work;
  using Shared = std::shared_ptr<Batch>;

  core::Task<void> read_loop();
  core::Task<void> take(ByteView bytes);
  core::Task<void> write_loop();
  core::Task<void> run_work(std::unique_ptr<Work> work);
  void prepare_call(Work& work);
  core::Task<void> run_call(Work& work);
  void tell_unknown(std::string_view method, const rpc::JsonRpcError& error);
  core::Task<void> tell_refused(Work& work, Error why);
  void start(Requests& requests);
  void end_input();
  void lose(std::string reason);
  bool must_pause() const;
  void answer(const Id& id, const Shared& batch, std::string_view member, std::string_view value);
  void answer_error(const Id& id, const Shared& batch, const rpc::JsonRpcError& error);
  void finish(const Shared& batch);
  // False when the connection is lost, also by this very answer.
  bool room_for(std::size_t bytes);
  // Finds the operation; or why the request is refused.
  std::optional<rpc::JsonRpcError> prepare(const Request& request, Work& work);
  const rpc::Directory::Entry* find(std::string_view method);

  core::Reactor& reactor_;
  std::unique_ptr<core::Stream> stream_;
  Service& service_;
  TextDecoder decoder_;
  Requests requests_;
  std::unique_ptr<std::uint8_t[]> input_;
  std::string pending_, writing_;  // answers
  std::size_t call_bytes_ = 0;     // of parameters of running calls
  core::Scope io_, calls_;
  core::Event changed_;
  core::Timer linger_;
  bool reading_ = true;       // the read loop runs
  bool input_ended_ = false;  // no more requests
  bool malformed_ = false;    // the last text was
  bool discarding_ = false;   // the client sends what is not wanted
  bool finished_ = false;     // nothing will be sent after pending_
  bool writer_ended_ = false;
  bool broken_ = false;
  std::string reason_;  // why the connection ended, when it did not end regularly
};

}  // namespace capstan::wire::jsonrpc
