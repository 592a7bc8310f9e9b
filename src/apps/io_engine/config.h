// Why this file exists: NodeConfig is the whole configuration of a node, checked, typed and with
// every default resolved. It is made before any disk is opened and before any reactor runs, from
// three inputs: the settings (options.h), the environment, and the files -y and -P.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/io_engine/engine_config.h"
#include "apps/io_engine/options.h"
#include "apps/io_engine/pool_file.h"
#include "apps/serving/config.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/uuid.h"
#include "core/env.h"
#include "core/os_interfaces.h"
#include "services/shares.h"
#include "services/store_config.h"
#include "storage/nvme/initiator_controller.h"

namespace capstan::apps {

// One row of NodeRpc/GetConfig.
struct ConfigRow {
  std::string name, value, help;
  Source source = Source::kDefault;
  bool restart_needed = true;
};

struct NodeConfig : ServingConfig {
  explicit NodeConfig(const Variables& variables) : engine(variables) {}

  core::Address listen;
  bool listen_is_default = true;  // nobody asked for this address
  core::Nanos grpc_max_age = 0;   // of a connection; 0 = never ended for its age
  std::size_t connections_max =
      limits::kConnectionsMax;  // gRPC, Muxio, HTTP; fewer descriptors: fewer
  bool api_v0 = true, api_v1 = true;
  std::vector<core::Address> http_listen;  // HTTP only; IP addresses with `tls`

  std::string gateway_socket;                  // where gateways are answered; empty: nowhere
  std::vector<core::Address> gateways;         // to be started
  std::vector<std::string> gateway_arguments;  // what they have from this node's settings

  std::string drpc_socket;
  bool drpc_hello = false;
  std::optional<std::string> muxio_socket;
  std::size_t muxio_header_bytes = 0;     // of a frame; 0: as the client has them
  std::uint64_t muxio_timeout_ns = 0;     // of silence; 0: never
  std::uint64_t muxio_request_bytes = 0;  // of one call, at most

  std::string rpc_socket;              // JSON-RPC
  bool wait_for_rpc = false;           // start the engine when JSON-RPC asks for it
  std::set<std::string> rpcs_allowed;  // JSON-RPC methods; empty: all
  std::size_t rpc_connections = limits::kJsonRpcConnections;

  services::ShareSettings shares;      // the NVMe target
  bool shares_are_default = true;      // nobody asked for its address or port
  storage::nvme::HostOptions remotes;  // what devices of other nodes get; no names, no address

  std::vector<services::StoreConfig> stores;  // the first is the one that clients see by default

  std::string node_name;                         // data path: -N, $HOSTNAME, mayastor-node
  std::optional<std::string> registration_name;  // -N only
  std::optional<std::string> host_nqn;           // $HOSTNQN
  std::string initiator_nqn;    // toward targets: $HOSTNQN, or of -N or $HOSTNAME; empty: made up
  std::optional<Uuid> host_id;  // $MAYASTOR_NVMF_HOSTID
  std::string state_dir;
  std::optional<std::string> registration_uri;  // -R

  unsigned reactors = 1;
  std::vector<unsigned> cpus;          // where they stay, one for each; empty: nowhere
  std::vector<unsigned> cpus_allowed;  // that the process may use; empty: not known
  std::size_t zero_copy_bytes = limits::kZeroCopySendBytes;  // see core::UringOptions
  int poll_us = 20;

  bool ana = false, lvm = false, snapshot_rebuild = false, rdma = false;  // asked for
  std::optional<std::string> ptpl_dir;

  EngineConfig engine;
  std::string config_file;  // -y; empty: none was given
  std::vector<PoolFileEntry> pools;
  std::vector<ConfigRow> rows;  // every value with its source
};

// Errors are usage errors: the message names option, value and remedy.
Result<NodeConfig> make_config(Settings settings, const Surroundings& surroundings);

// The host NQN of a node with that name (io-engine-behaviour section 1.1).
std::string node_nqn(const std::string& name);

// The single parts, for tests.
Result<std::vector<unsigned>> parse_mask(
    std::string_view mask);  // "0x5" → 0, 2; "[0,2-3]" → 0, 2, 3
Result<std::vector<unsigned>> parse_list(std::string_view list);  // "0,2-4" → 0, 2, 3, 4
// "20" or "20,0,0", in units of 100 ms, each no more than `most`.
Result<std::array<std::uint16_t, 3>> parse_crdt(std::string_view text, std::uint16_t most);
// The one address that the text of -T means; kInvalidArgument when it is none or several.
Result<std::string> find_interface(std::string_view text,
                                   const std::vector<core::InterfaceAddress>& addresses);

}  // namespace capstan::apps
