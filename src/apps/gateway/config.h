// Why this file exists: the whole configuration of a gateway, checked and typed, made before
// anything is opened.
#pragma once

#include <cstddef>
#include <vector>

#include "apps/serving/config.h"
#include "base/limits.h"
#include "base/result.h"
#include "core/env.h"

namespace capstan::gateway {

struct GatewayConfig : apps::ServingConfig {
  core::Address node;                 // a Unix socket
  std::vector<core::Address> listen;  // at least one
  core::Nanos upstream_timeout = 0;   // 0: none
  int parent = 0;                     // with which to end; 0: nobody
  std::size_t connections_max = limits::kConnectionsMax;
};

// Errors are usage errors: the message names option, value and remedy.
Result<GatewayConfig> make_config(const apps::Settings& settings,
                                  const apps::Surroundings& surroundings);

}  // namespace capstan::gateway
