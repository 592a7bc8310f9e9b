// Why this file exists: the HTTP server of a node: gives every connection that is handed to it a
// session, counts them by listening address, and ends them in order. It does not listen itself: the
// node's door does, because other protocols share its addresses.
//
//     CO_TRY_SET(auto server, rest::Server::create(directory, log, options));
//     scope.spawn(server->run());
//     server->adopt(std::move(stream));
//     …
//     server->stop(10 * core::kSecond);   // run() returns within that time and a little
//
// Thread-safety: one core, the one that runs run().
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "wire/rest/http1_session.h"
#include "wire/rest/pipeline.h"

namespace capstan::wire::rest {

struct ServerOptions {
  PipelineOptions pipeline;
  SessionOptions session;
  std::size_t connections = limits::kRestConnections;  // per listening address; 0: no limit
};

class Server {
 public:
  // The directory is complete and outlives the server. Fails when two bindings conflict.
  static Result<std::unique_ptr<Server>> create(const rpc::Directory& directory,
                                                const core::Log& log, ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Documents besides the operations, before run(); see Routes::add_view().
  Result<void> add_view(const std::string& path, const rpc::Directory::Entry* access, View view,
                        ViewBody body = ViewBody::kOther) {
    return routes_->add_view(path, access, std::move(view), body);
  }
  // What stands beside the operations, before run(); see Routes::add_tree().
  Result<void> add_tree(MergePick pick, Tree tree) {
    return routes_->add_tree(pick, std::move(tree));
  }
  // Serves until stop(); returns after the last connection has ended.
  core::Task<void> run();
  // An HTTP/1.1 connection of which nothing has been answered yet.
  void adopt(std::unique_ptr<core::Stream> stream);
  // What holds for a connection also before it is adopted.
  const SessionOptions& session() const { return options_.session; }
  // How many connections a listening address may have; 0: as many as come.
  std::size_t most() const { return options_.connections; }
  // Whether it has that many that were adopted; room() wakes whoever waits.
  bool full(std::string_view listener) const;
  core::Event& room() { return room_; }
  // No new connections and requests; calls in flight have `patience` to end, endless ones none.
  void stop(core::Nanos patience);
  bool stopping() const { return stopping_; }

  std::size_t connections() const { return sessions_.size(); }
  std::size_t requests_in_flight() const;
  Pipeline& pipeline() { return pipeline_; }
  const Routes& routes() const { return *routes_; }
  // Registers this server's counters; unregistered with the server.
  void publish(core::Metrics& metrics);

 private:
  Server(const rpc::Directory& directory, const core::Log& log, ServerOptions options,
         std::unique_ptr<Routes> routes);
  core::Task<void> serve(std::unique_ptr<core::Stream> stream);
  core::Task<void> wait_for_stop();

  core::Log log_;
  ServerOptions options_;
  std::unique_ptr<Routes> routes_;
  Pipeline pipeline_;
  std::list<Http1Session*> sessions_;
  std::map<std::string, std::size_t, std::less<>> by_listener_;
  std::uint64_t opened_ = 0, closed_ = 0;
  core::Scope scope_;
  core::Event stopped_, room_;
  core::Timer patience_;
  std::vector<core::Metrics::Handle> metrics_;
  bool stopping_ = false;
};

}  // namespace capstan::wire::rest
