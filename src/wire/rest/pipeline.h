// Why this file exists: what happens to a request between its head and its answer, in the order of
// http-rpc sections 5.2 and 20.8: method, host, who calls, access list, path, media types, query,
// body, handler. Each check answers in its own way (section 4.3) and the later ones are not
// reached, so a caller who may not call learns nothing. The body is read once everything else is
// right: whoever is refused cannot make the node hold what they send.
//
// Limits and deadlines of calls are the interceptors'; so are logs and metrics, which are told of
// what is refused here (rpc/interceptors/refused.h).
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
#include "rpc/interceptors/refused.h"
#include "wire/rest/cors.h"
#include "wire/rest/exchange.h"
#include "wire/rest/limits.h"
#include "wire/rest/negotiation.h"
#include "wire/rest/refusal.h"
#include "wire/rest/route.h"

namespace capstan::wire::rest {

enum class MetricsAt : std::uint8_t { kHidden, kServed, kOnly };

struct PipelineOptions {
  CorsSettings cors;
  MediaTypes media = {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary};
  const rpc::Acl* acl = nullptr;  // null: everything is allowed
  bool acl_late = false;          // after the query is read, as in Octez
  bool cache_headers = false;     // ETag of what GET answers whole, and 304 for If-None-Match
  std::size_t body_bytes = limits::kRestBodyBytes;
  // Whether /metrics is served where a request arrived, or does not exist there, or is all there
  // is. Not set: as any other path.
  std::function<MetricsAt(const core::PeerInfo&)> metrics_at;
  // Who sent this authorization header (empty: none) from there. Not set: nobody is asked.
  std::function<Result<void>(const core::PeerInfo&, std::string_view)> authenticate;
  // Hears of what is refused before an operation runs. Null: nobody does.
  rpc::RefusedCalls* refused = nullptr;
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

  // A request that could not even be read was refused with this status.
  void tell_unreadable(const core::PeerInfo& peer, unsigned status, const std::string& text);

  const PipelineOptions& options() const { return options_; }
  const Routes& routes() const { return routes_; }
  PipelineCounters& counters() { return counters_; }

 private:
  struct Work;                             // what the checks found out
  using Checked = std::optional<Refusal>;  // nothing: go on
  Checked check(const Exchange& exchange, Work& work) const;
  Checked check_method(const Exchange& exchange, Work& work) const;
  bool only_metrics(const Exchange& exchange) const;
  Checked check_metrics(const Exchange& exchange, const Work& work) const;
  Checked check_caller(const Exchange& exchange, const Work& work) const;
  Checked check_acl(const Exchange& exchange, const Work& work) const;
  Checked check_path(Work& work) const;
  Checked check_media(const Exchange& exchange, Work& work) const;
  // If-Match and If-None-Match where nobody would look at them.
  Checked check_condition(const Exchange& exchange, const Work& work) const;
  // OPTIONS, once it may be asked.
  Checked check_preflight(const Exchange& exchange, Work& work) const;
  Reply preflight(const Work& work) const;
  core::Task<void> refuse(Exchange& exchange, const Work& work, Refusal refusal);
  core::Task<void> tell(const Exchange& exchange, const Work& work, const Refusal& refusal);
  void add_origin(const Exchange& exchange, Reply& reply) const;

  const rpc::Directory& directory_;
  const Routes& routes_;
  PipelineOptions options_;
  const MediaTypes v0_media_ = {rpc::Media::kJson};
  PipelineCounters counters_;
};

}  // namespace capstan::wire::rest
