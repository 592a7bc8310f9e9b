// Why this file exists: see router.h.
#include "apps/gateway/router.h"

#include <algorithm>
#include <set>
#include <utility>

#include "apps/gateway/gateway_limits.h"
#include "rpc/acl_operation.h"
#include "rpc/interceptors/revision.h"
#include "rpc/log_text.h"
#include "rpc/path_text.h"
#include "rpc/wishes.h"

namespace capstan::gateway {

namespace pb = google::protobuf;

namespace {

// Those whose answer does not come from the mirror.
bool is_constant(const rpc::Operation& operation) {
  return operation.service() == "capstan.node.v1.NodeRpc";
}

bool is_metrics(const rpc::Operation& operation) {
  return operation.full_name() == "capstan.node.v1.NodeRpc/GetMetrics";
}

bool is_progress(const rpc::Operation& operation) {
  return operation.full_name() == "capstan.monitor.v1.MonitorRpc/MonitorBootstrapped";
}

// Their requests have the name of another operation in the field `method`.
bool is_bridge(const rpc::Operation& operation) {
  const auto name = operation.full_name();
  return name == "mayastor.v1.JsonRpc/JsonRpcCall" || name == "mayastor.JsonRpc/JsonRpcCall" ||
         name == "capstan.rest.v0.Nodes/PutJsonGrpc";
}

// What may change pools and replicas. Bytes of stores do not.
bool changes_state(const rpc::Operation& operation) {
  return operation.access == rpc::Access::kWrite || operation.access == rpc::Access::kAdmin;
}

// What the node said that its answer has; empty: nothing. The last word counts: it was added by
// the answer that came just now.
std::string_view revision_of(const rpc::Call& call) {
  std::string_view newest;
  for (const auto& [name, value] : call.metadata.initial) {
    if (name == rpc::kRevisionKey) newest = value;
  }
  return newest;
}

std::string host_of(const core::PeerInfo& peer) {
  const std::string& text = peer.address;
  if (text.starts_with("unix:") || text.empty()) return "unix";
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

Router::Router(core::Env& env, const core::Log& log, NodeLink& link, const rpc::Directory& local,
               core::Metrics& metrics, const RouterOptions& options)
    : env_(env),
      log_(log.child("gateway")),
      link_(link),
      local_(local),
      metrics_(metrics),
      options_(options) {
  forwarding_.answer_timeout = options.answer_timeout;
  forwarding_.add_metadata = [this](const rpc::Call& call, client::MetadataList& metadata) {
    add_metadata(call, metadata);
  };
  forwarding_.on_trouble = [this](const rpc::Call& call, std::string_view reason,
                                  const Error& error) { note_trouble(call, reason, error); };
  handles_.push_back(metrics_.add(core::Metrics::Kind::kGauge, "gateway_streams",
                                  "Streams under way, forwarded and from the mirror", {},
                                  [this] { return static_cast<double>(streams_); }));
  for (const auto reason :
       {client::kUpstreamRefused, client::kUpstreamClosed, client::kUpstreamTimeout}) {
    auto& count = troubles_[std::string(reason)];
    handles_.push_back(
        metrics_.add(core::Metrics::Kind::kCounter, "storage_gateway_upstream_errors_total",
                     "Calls that failed on the way to the node", {{"reason", std::string(reason)}},
                     [&count] { return static_cast<double>(count); }));
  }
}

// --- who answers --------------------------------------------------------------------------------

Result<Router::Route*> Router::route_for(const rpc::Operation& operation) {
  auto route = std::make_unique<Route>();
  route->local = local_.find(operation.full_name());
  route->mirrored = route->local && !is_constant(operation);
  if ((route->local != nullptr) != operation.gateway_local) {
    return fail(Code::kInternal,
                "operation '" + operation.full_name() + "' is declared " +
                    (operation.gateway_local ? "gateway_local, but nothing here answers it"
                                             : "to be forwarded, but something here answers it"));
  }
  route->bridge = is_bridge(operation);
  publish(operation, *route);
  return (routes_[operation.full_name()] = std::move(route)).get();
}

Result<void> Router::bind(rpc::Directory& directory) {
  const auto* pool = pb::DescriptorPool::generated_pool();
  std::map<const pb::ServiceDescriptor*, std::set<std::string>> served;
  std::string unknown;
  for (const auto& operation : link_.facts().operations.operations()) {
    std::string name = operation.full_name();
    std::ranges::replace(name, '/', '.');
    if (const auto* method = pool->FindMethodByName(name)) {
      served[method->service()].insert(method->name());
    } else {
      unknown += (unknown.empty() ? "" : ", ") + operation.full_name();
    }
  }
  if (!unknown.empty()) {
    log_.warn("unknown_operations",
              {{"operations", unknown}, {"remedy", "use a gateway of the node's version"}});
  }
  for (const auto& [service, methods] : served) {
    std::set<std::string> absent;
    for (int i = 0; i < service->method_count(); ++i) {
      if (!methods.contains(service->method(i)->name())) absent.insert(service->method(i)->name());
    }
    TRY(directory.declare(service, std::move(absent)));
    for (const auto& method : methods) {
      const std::string name = service->full_name() + "/" + method;
      const auto* operation = directory.declared(name);
      TRY_SET(Route * route, route_for(*operation));
      rpc::Handler handler;
      if (operation->kind == rpc::Kind::kUnary) {
        handler.unary = [this, route](rpc::Call& call, const rpc::Message& request,
                                      rpc::Message& response) {
          return unary(*route, call, request, response);
        };
      } else {
        handler.stream = [this, route](rpc::Call& call, rpc::MessageSource& source,
                                       rpc::MessageSink& sink) {
          return stream(*route, call, source, sink);
        };
      }
      TRY(directory.bind_raw(name, std::move(handler)));
    }
  }
  methods_.emplace(directory);
  return directory.check_complete();
}

Result<void> Router::check_bridged(const rpc::Call& call, const rpc::Message& request) const {
  const auto* field = request.GetDescriptor()->FindFieldByName("method");
  CAPSTAN_ASSERT(field != nullptr);
  const auto* found = methods_->find(request.GetReflection()->GetString(request, field));
  if (!found) {  // as the node's bridge says it
    const bool own = rpc::wishes(call, rpc::kWishErrors, "own");
    return fail(own ? Code::kNotFound : Code::kInternal, "Method not found");
  }
  rpc::Call inner;
  inner.operation = &found->entry->operation;
  inner.peer = call.peer;
  inner.wire = rpc::bridged_wire(call.wire);
  return options_.may(inner);
}

bool Router::answers(const Route& route, rpc::Call& call) {
  if (!route.local) return false;
  // Over HTTP metrics are about the process that is asked, on the other wires about the node.
  if (is_metrics(*call.operation)) return call.wire == rpc::kHttpWire;
  if (!route.mirrored) return true;
  if (is_progress(*call.operation) && !link_.mirror().knows_progress()) return false;
  if (!link_.mirror().serves(call.metadata.get("x-min-rev"))) return false;
  call.metadata.initial.emplace_back(rpc::kRevisionKey, link_.mirror().revision());
  return true;
}

core::Task<Result<void>> Router::unary(Route& route, rpc::Call& call, const rpc::Message& request,
                                       rpc::Message& response) {
  if (route.bridge) {
    CO_TRY(check_bridged(call, request));
  }
  const core::Nanos begun = core::Reactor::current()->read_clock();
  const bool ours = answers(route, call);
  log_.debug(ours ? "locally_handled" : "forwarding", {{"operation", call.operation->full_name()}});
  Result<void> result;
  if (ours) {
    result = co_await route.local->handler.unary(call, request, response);
  } else {
    result = co_await client::forward_unary(link_.calls(), forwarding_, call, request, response);
    if (changes_state(*call.operation)) link_.mirror().expect_change(revision_of(call));
  }
  Count& count = ours ? route.by_us : route.by_node;
  ++count.ended;
  count.total += core::Reactor::current()->read_clock() - begun;
  co_return result;
}

core::Task<Result<void>> Router::forwarded_stream(rpc::Call& call, rpc::MessageSource& source,
                                                  rpc::MessageSink& sink) {
  const auto lease = link_.stream_channel();
  co_return co_await client::forward(lease.channel(), forwarding_, call, source, sink);
}

core::Task<Result<void>> Router::stream(Route& route, rpc::Call& call, rpc::MessageSource& source,
                                        rpc::MessageSink& sink) {
  if (streams_ >= options_.streams_max) {
    co_return fail_until(Code::kUnavailable,
                         "the gateway serves " + std::to_string(streams_) +
                             " streams, which is its limit; end one of them or raise --max-streams",
                         limits::kGatewayBusyRetryNanos);
  }
  const core::Nanos begun = core::Reactor::current()->read_clock();
  const bool ours = answers(route, call);
  log_.debug(ours ? "locally_handled" : "forwarding", {{"operation", call.operation->full_name()}});
  ++streams_;
  Result<void> result;
  if (ours) {
    result = co_await route.local->handler.stream(call, source, sink);
  } else {
    result = co_await forwarded_stream(call, source, sink);
    if (changes_state(*call.operation)) link_.mirror().expect_change(revision_of(call));
  }
  --streams_;
  Count& count = ours ? route.by_us : route.by_node;
  ++count.ended;
  count.total += core::Reactor::current()->read_clock() - begun;
  co_return result;
}

// --- bookkeeping --------------------------------------------------------------------------------

void Router::add_metadata(const rpc::Call& call, client::MetadataList& metadata) {
  const auto named = [&](std::string_view name) {
    return std::ranges::find(metadata, name, [](const auto& one) { return one.first; });
  };
  const auto via = named("x-forwarded-for");
  if (via == metadata.end()) {
    metadata.emplace_back("x-forwarded-for", host_of(call.peer));
  } else {
    via->second += ", " + host_of(call.peer);
  }
  if (named("x-request-id") == metadata.end()) {
    metadata.emplace_back("x-request-id", env_.random_uuid().text());
  }
}

void Router::note_trouble(const rpc::Call& call, std::string_view reason, const Error& error) {
  ++troubles_.find(reason)->second;
  log_.warn("upstream_error", {{"operation", call.operation->full_name()},
                               {"reason", reason},
                               {"error", rpc::log_text(error)}});
}

void Router::publish(const rpc::Operation& operation, Route& route) {
  const rpc::Endpoint endpoint = rpc::endpoint_of(operation);
  const auto add = [&](const char* handled, const Count* count) {
    route.handles.push_back(metrics_.add_summary(
        "storage_gateway_calls", "Seconds of calls that ended, by who answered",
        {{"endpoint", endpoint.path}, {"method", endpoint.method}, {"handled", handled}},
        [count] { return static_cast<double>(count->total) / 1e9; },
        [count] { return static_cast<double>(count->ended); }));
  };
  if (route.local) add("local", &route.by_us);
  add("forwarded", &route.by_node);
}

}  // namespace capstan::gateway
