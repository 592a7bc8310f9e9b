// Why this file exists: the parts that decide who may call and who hears of it, made from the
// configuration and put into the directory in the order of rpc::Place; kept here so that the files
// behind them can be read again, and because the access list learns of listeners as they open.
// Thread-safety: core 0. Everything given outlives it; it outlives the directory's calls.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/serving/config_gate.h"
#include "apps/serving/span_exporter.h"
#include "base/limits.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "rpc/acl_operation.h"
#include "rpc/directory.h"
#include "rpc/interceptors/access.h"
#include "rpc/interceptors/authenticate.h"
#include "rpc/interceptors/refused.h"
#include "rpc/interceptors/revision.h"

namespace capstan::apps {

class Gate {
 public:
  Gate(core::Env& env, const core::Log& log, const GateConfig& config, core::Metrics& metrics);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  struct Extras {
    // The revision of the server's state; a gateway has none of its own and passes on the node's.
    rpc::RevisionInterceptor::Newest newest = {};
    // Beyond those of --max-streams: for who refuses them with an answer of its own.
    std::size_t spare_streams = 0;
  };
  // Every interceptor of a server.
  void add_to(rpc::Directory& directory, std::vector<rpc::AccessRule> rules, rpc::SpanOrigin origin,
              Extras extras);
  // Exports traces, if there are any to export, until stop().
  core::Task<void> run();
  void stop();
  // Reads the access list and the keys again. A file that cannot be used is logged, and what was
  // read before stays in force.
  core::Task<void> reload();
  // Logs how that went, for files of others, too.
  void report(std::string_view what, const std::string& file, const Result<void>& result);
  // Somebody listens at `address` from now on; with `http` under the HTTP defaults. Logs the
  // policy.
  void listening(const core::Address& address, bool http);
  // The same for an address where metrics are served, and nothing else, to whoever connects.
  void listening_metrics(const core::Address& address);
  // The same for the address of a node's gateways, which ask their callers themselves.
  void listening_trusted(const core::Address& address);
  rpc::Acl& acl() { return acl_; }
  // For wires that ask before there is a call, after add_to(): who sent this authorization header,
  // and who hears of what is refused then.
  Result<void> authenticate(const core::PeerInfo& peer, std::string_view authorization);
  rpc::RefusedCalls& refused() { return refused_; }
  // Whether rules and lists let a call through that another call asks for, whatever its arguments.
  Result<void> may(const rpc::Call& call) const { return access_->check(call, nullptr); }

 private:
  void log_policy(const std::string& address, bool tokens);
  core::Task<Result<void>> reload_acl();
  core::Task<Result<void>> reload_keys();

  core::Env& env_;
  core::Log log_;
  const GateConfig& config_;
  core::Metrics& metrics_;
  rpc::Acl acl_;
  rpc::AuthenticateInterceptor* authenticate_ = nullptr;  // the directory's
  rpc::AccessInterceptor* access_ = nullptr;              // likewise
  rpc::RefusedCalls refused_;
  rpc::SpanQueue spans_;
  std::unique_ptr<SpanExporter> exporter_;  // null: nothing is exported
  std::vector<core::Metrics::Handle> handles_;
};

}  // namespace capstan::apps
