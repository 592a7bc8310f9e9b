// Why this file exists: what happens to a request between its head and its answer, in the order of
// http-rpc section 5.2: method, host, access list, path, media types, query, body, handler. Each
// check answers in its own way (section 4.3) and the later ones are not reached, so a caller who
// may not call learns nothing. The body is read once everything else is right: whoever is refused
// cannot make the node hold what they send.
//
// Logs, metrics, authentication, limits and deadlines of calls are the interceptors'.
// Thread-safety: core 0. Everything given outlives the pipeline, the pipeline every exchange.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "rpc/acl_operation.h"
#include "rpc/directory.h"
#include "wire/rest/cors.h"
#include "wire/rest/exchange.h"
#include "wire/rest/limits.h"
#include "wire/rest/negotiation.h"
#include "wire/rest/route.h"

namespace capstan::wire::rest {

enum class MetricsAt : std::uint8_t { kHidden, kServed, kOnly };

struct PipelineOptions {
  CorsSettings cors;
  MediaTypes media = {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary};
  const rpc::Acl* acl = nullptr;  // null: everything is allowed
  bool acl_late = false;          // after the query is read, as in Octez
  std::size_t body_bytes = limits::kRestBodyBytes;
  // Whether /metrics is served where a request arrived, or does not exist there, or is all there
  // is. Not set: as any other path.
  std::function<MetricsAt(const core::PeerInfo&)> metrics_at;
};

// Counted over all connections.
struct PipelineCounters {
  std::uint64_t requests = 0, refused = 0;  // refused: answered before a handler
  std::uint64_t streams = 0;                // open now
  std::uint64_t body_bytes = 0;             // now held
};

class Pipeline {
 public:
  Pipeline(const rpc::Directory& directory, const Routes& routes, const PipelineOptions& options)
      : directory_(directory), routes_(routes), options_(options) {}

  // Answers the request, or leaves it unanswered when the client is gone.
  core::Task<void> serve(Exchange& exchange);

  const PipelineOptions& options() const { return options_; }
  const Routes& routes() const { return routes_; }
  PipelineCounters& counters() { return counters_; }

 private:
  struct Work;  // what the checks found out
  // The answer of a check that refuses; nothing: go on.
  std::optional<Reply> check(Exchange& exchange, Work& work) const;
  std::optional<Reply> check_method(const Exchange& exchange, Work& work) const;
  std::optional<Reply> check_metrics(const Exchange& exchange, const Work& work) const;
  std::optional<Reply> check_path(Work& work) const;
  std::optional<Reply> check_media(const Exchange& exchange, Work& work) const;
  bool acl_allows(const Exchange& exchange, const Work& work) const;
  Reply preflight(const Exchange& exchange, const Work& work) const;
  Reply denied(const Exchange& exchange) const;
  void add_origin(const Exchange& exchange, Reply& reply) const;

  const rpc::Directory& directory_;
  const Routes& routes_;
  PipelineOptions options_;
  PipelineCounters counters_;
};

}  // namespace capstan::wire::rest
