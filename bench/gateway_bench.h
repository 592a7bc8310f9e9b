// Why this file exists: the parts of gateway_bench. Each starts a node and a gateway of its own,
// prints what it measured beside its target, and returns how many targets were missed.
#pragma once

#include <cstddef>

namespace capstan::bench {

struct GatewayBench {
  int rounds = 5;  // of pairs of windows
  int pools = 50;  // in a list
  double lists_per_second = 2000;
  std::size_t watchers = 10'000;
  int changes = 15;             // one in a second
  std::size_t parallel = 1000;  // lists beside the I/O of a replica
};

// The node's CPU for lists that are asked of it, and for the same asked of the gateway.
int measure_lists(const GatewayBench& bench);
// Many who watch replicas at the gateway, and at the node.
int measure_watchers(const GatewayBench& bench);
// What lists at the gateway take from exports of a replica at the node.
int measure_io(const GatewayBench& bench);

}  // namespace capstan::bench
