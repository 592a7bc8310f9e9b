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

#include "apps/io_engine/config_gate.h"
#include "apps/io_engine/config_http.h"
#include "apps/io_engine/engine_config.h"
#include "apps/io_engine/options.h"
#include "apps/io_engine/pool_file.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/uuid.h"
#include "core/env.h"
#include "core/log.h"
#include "core/os_interfaces.h"
#include "rpc/interceptors/access.h"
#include "services/shares.h"
#include "services/store_config.h"
#include "storage/nvme/initiator_controller.h"
#include "wire/tls/tls_engine.h"

namespace capstan::apps {

// What configuration may ask the system for; tests give their own.
struct Surroundings {
  Variables variables;
  std::function<Result<std::string>(const std::string& path)> read_file;
  bool root = false;
  std::function<Result<std::vector<core::InterfaceAddress>>()> interfaces = {};
  // The addresses of a host name; may take its time.
  std::function<Result<std::vector<std::string>>(const std::string& host)> resolve = {};
};

// Where the certificates of the TCP port are; empty: not given.
struct TlsFiles {
  std::string certificate, key, client_ca;
};

// One row of NodeRpc/GetConfig.
struct ConfigRow {
  std::string name, value, help;
  Source source = Source::kDefault;
  bool restart_needed = true;
};

struct NodeConfig {
  explicit NodeConfig(const Variables& variables) : engine(variables) {}

  core::Address listen;
  bool listen_is_default = true;                // nobody asked for this address
  std::shared_ptr<const wire::TlsContext> tls;  // null: clear text
  TlsFiles tls_files;
  core::Nanos grpc_max_age = 0;  // of a connection; 0 = never ended for its age
  std::size_t connections_max =
      limits::kConnectionsMax;  // gRPC, Muxio, HTTP; fewer descriptors: fewer
  bool api_v0 = true, api_v1 = true;
  std::vector<core::Address> http_listen;  // HTTP only; IP addresses with `tls`
  HttpConfig http;

  std::string drpc_socket;
  bool drpc_hello = false;
  std::optional<std::string> muxio_socket;
  std::vector<std::string> ws_origins;    // whose web pages may connect
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

  std::vector<rpc::AccessRule> access;  // empty: whoever connects may call what the list allows
  GateConfig gate;

  std::string node_name;                         // data path: -N, $HOSTNAME, mayastor-node
  std::optional<std::string> registration_name;  // -N only
  std::optional<std::string> host_nqn;           // $HOSTNQN
  std::optional<Uuid> host_id;                   // $MAYASTOR_NVMF_HOSTID
  std::string state_dir;
  std::optional<std::string> registration_uri;  // -R

  unsigned reactors = 1;
  int poll_us = 20;

  core::LogFormat log_format;
  core::LogLevel log_level = core::LogLevel::kInfo;

  bool ana = false, lvm = false, snapshot_rebuild = false, rdma = false;  // asked for
  std::optional<std::string> ptpl_dir;

  EngineConfig engine;
  std::string config_file;  // -y; empty: none was given
  std::vector<PoolFileEntry> pools;
  std::vector<std::string> warnings;  // to be logged once there is a log
  std::vector<ConfigRow> rows;        // every value with its source
};

// Errors are usage errors: the message names option, value and remedy.
Result<NodeConfig> make_config(Settings settings, const Surroundings& surroundings);

// The single parts, for tests.
Result<core::Address> parse_endpoint(std::string_view text, std::uint16_t default_port);
Result<core::Address> parse_http_address(std::string_view text);  // IP:PORT or unix:PATH
Result<core::LogFormat> parse_log_format(std::string_view text);
Result<unsigned> count_mask(std::string_view mask);  // "0x3" → 2, "[0,2-3]" → 3
Result<unsigned> count_list(std::string_view list);  // "0,2-4" → 4
Result<std::array<std::uint16_t, 3>> parse_crdt(std::string_view text);
// The one address that the text of -T means; kInvalidArgument when it is none or several.
Result<std::string> find_interface(std::string_view text,
                                   const std::vector<core::InterfaceAddress>& addresses);

}  // namespace capstan::apps
