// Why this file exists: what the command line says about the HTTP wire: pages of other origins,
// media types, limits, and where metrics are served. Where it listens is in config.h, because other
// protocols share those addresses.
#pragma once

#include <string>
#include <vector>

#include "apps/serving/options.h"
#include "base/result.h"
#include "core/env.h"
#include "wire/rest/cors.h"
#include "wire/rest/http1_session.h"
#include "wire/rest/limits.h"
#include "wire/rest/negotiation.h"

namespace capstan::apps {

struct HttpConfig {
  wire::rest::CorsSettings cors;
  wire::rest::MediaTypes media;
  std::size_t connections = limits::kRestConnections;  // per address; 0: no limit
  std::size_t body_bytes = limits::kRestBodyBytes;
  wire::rest::SessionOptions session;         // of HTTP/1.1 connections
  std::vector<core::Address> metrics_listen;  // GET /metrics and nothing else
  bool acl_late = false;            // the access list after path, media and query, as in Octez
  bool cache_headers = false;       // ETag and If-None-Match
  bool metrics_everywhere = false;  // also on --http-listen addresses
};

// Errors are usage errors.
Result<HttpConfig> read_http(const Settings& settings);

// "ADDR", "ADDR:PORT" or "[ADDR]:PORT"; the port of Octez's metrics when there is none.
Result<core::Address> parse_metrics_address(std::string_view text);

}  // namespace capstan::apps
