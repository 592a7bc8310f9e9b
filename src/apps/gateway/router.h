// Why this file exists: decides for every call that a gateway has let in who answers it. What the
// declaration calls gateway_local is answered here (local_service.h), of that the node's state only
// while the mirror is in sync and as new as the client asks (`x-min-rev`), and says which revision
// it is (`x-rev`). Everything else goes to the node.
//
// The rest is bookkeeping: how many streams there may be, and counters.
// Source: http-rpc sections 19.5, 19.10, 19.11, 20.6.
// Thread-safety: one core. Everything given outlives the router, the router its calls.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/gateway/node_link.h"
#include "client/forward.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "rpc/directory.h"
#include "rpc/json_call.h"

namespace capstan::gateway {

struct RouterOptions {
  std::size_t streams_max = 1000;  // at a time, forwarded and from the mirror
  core::Nanos answer_timeout = 0;  // client::ForwardOptions::answer_timeout
  // Whether the caller of `call` may make it. Asked about the call inside a call of the JSON
  // bridge, because the node believes gateways.
  std::function<Result<void>(const rpc::Call& call)> may;
};

class Router {
 public:
  // `local`: a directory with the operations that are answered here.
  Router(core::Env& env, const core::Log& log, NodeLink& link, const rpc::Directory& local,
         core::Metrics& metrics, const RouterOptions& options);
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Declares and binds every operation that the node serves and this program knows. Fails when a
  // declaration and the local bindings disagree about who answers.
  Result<void> bind(rpc::Directory& directory);
  std::size_t streams() const { return streams_; }

 private:
  struct Count {
    std::uint64_t ended = 0;
    core::Nanos total = 0;
  };
  struct Route {
    const rpc::Directory::Entry* local = nullptr;  // null: forwarded
    bool mirrored = false;                         // only while the mirror is shown
    bool bridge = false;                           // its request names another operation
    Count by_us, by_node;
    std::vector<core::Metrics::Handle> handles;
  };
  Result<Route*> route_for(const rpc::Operation& operation);
  core::Task<Result<void>> unary(Route& route, rpc::Call& call, const rpc::Message& request,
                                 rpc::Message& response);
  core::Task<Result<void>> stream(Route& route, rpc::Call& call, rpc::MessageSource& source,
                                  rpc::MessageSink& sink);
  core::Task<Result<void>> forwarded_stream(rpc::Call& call, rpc::MessageSource& source,
                                            rpc::MessageSink& sink);
  Result<void> check_bridged(const rpc::Call& call, const rpc::Message& request) const;
  bool answers(const Route& route, rpc::Call& call);
  void add_metadata(const rpc::Call& call, client::MetadataList& metadata);
  void note_trouble(const rpc::Call& call, std::string_view reason, const Error& error);
  void publish(const rpc::Operation& operation, Route& route);

  core::Env& env_;
  core::Log log_;
  NodeLink& link_;
  const rpc::Directory& local_;
  core::Metrics& metrics_;
  const RouterOptions options_;
  client::ForwardOptions forwarding_;
  std::map<std::string, std::unique_ptr<Route>> routes_;
  std::map<std::string, std::uint64_t, std::less<>> troubles_;  // by reason
  std::vector<core::Metrics::Handle> handles_;
  std::optional<rpc::JsonMethods> methods_;  // what the bridge reaches
  std::size_t streams_ = 0;
};

}  // namespace capstan::gateway
