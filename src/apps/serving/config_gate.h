// Why this file exists: everything that the command line says about who may call the node, how
// often, and who hears of it: access list, keys of tokens, rates, traces. Read and checked before
// any disk is opened; the access list and the keys can be read again while the node runs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/serving/options.h"
#include "base/limits.h"
#include "base/result.h"
#include "core/env.h"
#include "rpc/acl_operation.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/jwt.h"

namespace capstan::apps {

struct Surroundings;

// Where finished spans go: HTTP without TLS, as collectors beside a node listen.
struct TraceEndpoint {
  core::Address address;
  std::string authority, path;  // of the request
};

struct GateConfig {
  std::string acl_file, jwk_file;                         // empty: not given
  std::vector<std::string> allow_all;                     // addresses of --allow-all-rpc
  std::map<std::string, std::vector<std::string>> names;  // as resolved at start
  rpc::AclSettings acl;
  std::optional<rpc::JwkSet> keys;
  rpc::RateLimits rates;
  std::size_t streams_max = limits::kLongLivedCallsInFlight;
  std::optional<TraceEndpoint> trace;
  double trace_ratio = 1;

  bool has_files() const { return !acl_file.empty() || !jwk_file.empty(); }
};

// `warnings` and `alarms` get what is to be logged once there is a log, as warnings and as errors.
Result<GateConfig> read_gate(const Settings& settings, const Surroundings& surroundings,
                             std::vector<std::string>& warnings, std::vector<std::string>& alarms);

// The list of the file's text with the entries of --allow-all-rpc in front of it, all numeric.
Result<rpc::AclTable> make_acl(std::string_view text, const std::vector<std::string>& allow_all,
                               const rpc::AclTable::Resolver& resolver);
// "http://HOST:PORT/v1/traces"; the host as it stands there.
Result<TraceEndpoint> parse_trace_endpoint(std::string_view text);

}  // namespace capstan::apps
