// Why this file exists: what the node says about itself, decided once in main() and never changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "core/reactor.h"

namespace capstan::services {

struct NodeInfo {
  std::string node_name;
  std::string version;  // git describe
  std::string release;  // "0.1.0"
  Uuid instance_uuid;   // random per process
  std::uint64_t started_wall_ns = 0;
  core::Nanos started = 0;     // of the reactor's clock
  std::string grpc_endpoint;   // as bound: "10.0.0.1:10124", "[::]:10124"
  std::string host_nqn;        // empty: none is known
  bool registers = false;      // -R: a control plane is told about this node
  std::vector<unsigned> cpus;  // of each reactor; empty: they run on any
  bool api_v0 = true, api_v1 = true;
  bool ana = false, lvm = false, snapshot_rebuild = false, rdma = false;
};

}  // namespace capstan::services
