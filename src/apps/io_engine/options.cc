// Why this file exists: the table of all options (options.h says what for), in the order in which
// --help shows them. Names, defaults and environment variables of Mayastor's options are those of
// io-engine-behaviour sections 1.1 and 1.2.
#include "apps/io_engine/options.h"

#include "apps/serving/serving_options.h"
#include "base/limits.h"

namespace capstan::apps {
namespace {

using enum OptionType;
using enum OptionUse;

constexpr std::int64_t kBig = INT64_MAX;
constexpr std::int64_t kU32 = UINT32_MAX;
constexpr std::int64_t kYearMicros = 31'536'000'000'000;
constexpr auto kCores = static_cast<std::int64_t>(limits::kReactorsMax);

// name, flags, variable, type, unit, default, min, max, use, restart needed, help
constexpr OptionSpec kListen[] = {
    // --- where the node listens ---
    {"grpc-ip", "grpc_ip,--grpc-ip", "", kAddress, "IP", "::", 0, 0, kActs, true,
     "Address the gRPC server binds to"},
    {"grpc-port", "grpc_port,--grpc-port", "", kInteger, "PORT", "10124", 0, 65535, kActs, true,
     "Port of the gRPC server; 0 takes any free port"},
    {"grpc-endpoint", "-g,--grpc-endpoint", "", kText, "IP[:PORT]", "", 0, 0, kActs, true,
     "Address and port of the gRPC server in one; wins over --grpc-ip and --grpc-port"},
    {"grpc-max-age", "--grpc-max-connection-age", "CAPSTAN_GRPC_MAX_CONNECTION_AGE", kDuration,
     "DURATION", "", 1000, 2'592'000'000, kActs, true,
     "Age at which a gRPC connection is ended in order, so that its client connects anew; calls "
     "that still run on it have 30 s. Not given: never"},
    {"api-versions", "--api-versions", "API_VERSIONS", kText, "LIST", "V0,V1", 0, 0, kActs, true,
     "API versions to serve"},
    {"drpc-socket", "--drpc-socket", "CAPSTAN_DRPC_SOCKET", kPath, "PATH", "", 0, 0, kActs, true,
     "Unix socket (SOCK_SEQPACKET) for dRPC; else beside that of -r: x-drpc.sock for x.sock"},
    {"muxio-socket", "--muxio-socket", "CAPSTAN_MUXIO_SOCKET", kText, "PATH", "", 0, 0, kActs, true,
     "Unix socket for Muxio without WebSocket (IPC); @NAME is a name in the abstract namespace, "
     "which any local user can connect to"},
    {"http-listen", "--http-listen", "CAPSTAN_HTTP_LISTEN", kList, "ADDRESS", "", 0, 0, kActs, true,
     "Further address for HTTP alone, which is every operation by its path, and Muxio over a "
     "WebSocket at /ws: IP:PORT or HOST:PORT (with TLS when the TCP port has it) or unix:PATH "
     "(mode 0600); repeatable"},
};

constexpr OptionSpec kWires[] = {
    {"gateway-socket", "--gateway-socket", "CAPSTAN_GATEWAY_SOCKET", kText, "PATH", "", 0, 0, kActs,
     true,
     "Unix socket (mode 0600) for gateways: every operation over gRPC and HTTP, whatever the "
     "access "
     "rules and lists say, because a gateway asks its callers itself; with --gateway else "
     "gateway.sock in the state directory"},
    {"gateway", "--gateway", "CAPSTAN_GATEWAY", kList, "ADDRESS", "", 0, 0, kActs, true,
     "Start a gateway (capstan-gateway) at IP:PORT or unix:PATH, which answers readers without the "
     "node's help. It has this node's options for HTTP, certificates, access and the log, is "
     "started again when it ends and ends with the node; repeatable"},
    {"muxio-header", "--muxio-frame-header", "CAPSTAN_MUXIO_FRAME_HEADER", kText, "BYTES", "auto",
     0, 0, kActs, true,
     "Size of Muxio's frame headers: 21 (Muxio up to 0.14), 13 (from 0.15 on), or auto, which is "
     "what the client uses"},
    {"muxio-timeout", "--muxio-client-timeout", "CAPSTAN_MUXIO_CLIENT_TIMEOUT", kDuration,
     "DURATION", "0s", 0, 2'592'000'000, kActs, true,
     "Silence after which a client of a WebSocket is dropped, though it was pinged; 0s: never"},
    {"muxio-request", "--muxio-max-request", "CAPSTAN_MUXIO_MAX_REQUEST", kMebibytes, "SIZE", "256",
     1, 1024, kActs, true, "Largest request of one Muxio call, in MiB or with a unit"},
    {"drpc-hello", "--drpc-hello", "", kSwitch, "", "false", 0, 0, kActs, true,
     "Serve the greeting of DAOS's dRPC test tools (module 0, method 0)"},

    {"rpc-socket", "-r,--rpc-socket", "", kPath, "PATH", "/var/tmp/mayastor.sock", 0, 0, kActs,
     true, "JSON-RPC Unix socket; PATH.lock beside it says that it is taken"},
    {"rpcs-allowed", "--rpcs-allowed", "", kList, "METHODS", "", 0, 0, kActs, true,
     "The JSON-RPC methods that may be called, joined by commas; the others are unknown then"},
    {"rpc-connections", "--rpc-connections", "CAPSTAN_RPC_CONNECTIONS", kInteger, "COUNT", "64", 1,
     65536, kActs, true,
     "JSON-RPC connections that are served at a time; further ones wait until one of them ends"},
    {"wait-for-rpc", "--wait-for-rpc", "", kSwitch, "", "false", 0, 0, kActs, true,
     "Answer JSON-RPC only, until framework_start_init opens the pools and the other ports"},

    // --- NVMe over TCP ---
    {"tgt-iface", "-T,--tgt-iface", "NVMF_TGT_IFACE", kText, "INTERFACE", "", 0, 0, kActs, true,
     "Interface whose IPv4 address the NVMe target has: NAME, name:NAME, mac:ADDRESS, ip:ADDRESS "
     "or "
     "subnet:ADDRESS/BITS; else $MY_POD_IP, else 127.0.0.1"},
    {"pod-ip", "", "MY_POD_IP", kText, "IP", "", 0, 0, kActs, true,
     "IPv4 address of the NVMe target when -T is not given"},
    {"tgt-crdt", "--tgt-crdt", "NVMF_TGT_CRDT", kText, "N[,N,N]", "0", 0, 0, kActs, true,
     "Command retry delays of the NVMe target, each at most 100 (unit 100 ms)"},
    {"nvmf-replica-port", "--nvmf-replica-port", "CAPSTAN_NVMF_REPLICA_PORT", kInteger, "PORT",
     "8420", 0, 65535, kActs, true,
     "Port at which hosts find shared replicas and devices; 0 takes any free port. Wins over "
     "nexus_opts.nvmf_replica_port of -y"},
    {"nvmf-nexus-port", "--nvmf-nexus-port", "CAPSTAN_NVMF_NEXUS_PORT", kInteger, "PORT", "4421", 0,
     65535, kActs, true,
     "Second port of the NVMe target, which has discovery alone. Wins over "
     "nexus_opts.nvmf_nexus_port of -y"},

    // --- key/value stores ---
    {"kv", "--kv", "", kList, "NAME=PATH", "", 0, 0, kActs, true,
     "Open the key/value store in the file PATH, made when missing; repeatable. DataStore clients, "
     "which name no store, see the first"},
    {"kv-sync", "--kv-sync", "CAPSTAN_KV_SYNC", kText, "POLICY", "none", 0, 0, kActs, true,
     "When a write to a store is answered: none, once the system has it; each, once it is on the "
     "disk; or a time as in 100ms, after which what was written is synced"},
    {"kv-verify", "--kv-verify", "CAPSTAN_KV_VERIFY", kSwitch, "", "false", 0, 0, kActs, true,
     "Compare the checksum of every value that is read; a damaged one is an error"},

    // --- who the node is, where it keeps its things ---
    {"node-name", "-N", "", kText, "NAME", "", 0, 0, kActs, true,
     "Name of this node; else $HOSTNAME, else mayastor-node"},
    {"hostname", "", "HOSTNAME", kText, "NAME", "", 0, 0, kActs, true,
     "Name of this node when -N is not given"},
    {"hostnqn", "", "HOSTNQN", kText, "NQN", "", 0, 0, kActs, true,
     "NQN this node shows to other nodes; else derived from the node name"},
    {"state-dir", "--state-dir", "CAPSTAN_STATE_DIR", kPath, "DIR", "", 0, 0, kActs, true,
     "Where the node keeps its state; else /var/lib/capstan for root, "
     "$XDG_STATE_HOME/capstan for others"},
    {"config-file", "-y", "", kPath, "FILE", "", 0, 0, kActs, true, "Engine configuration, YAML"},
    {"pool-file", "-P", "", kPath, "FILE", "", 0, 0, kActs, true,
     "Pools to create or import at start, YAML"},
    {"registration", "-R", "", kText, "URI", "", 0, 0, kActs, true,
     "Control plane that opens the pools: the node starts without its former ones; it is not "
     "registered there"},

    // --- how it runs ---
    {"core-mask", "-m", "", kText, "MASK", "0x1", 0, 0, kActs, true,
     "CPUs to run one reactor on each, as a hexadecimal mask; when given, they stay there"},
    {"core-list", "-l", "", kText, "LIST", "", 0, 0, kActs, true,
     "CPUs to run one reactor on each, as in 0,2-4; they stay there; wins over -m"},
    {"reactors", "--reactors", "", kInteger, "COUNT", "", 1, kCores, kActs, true,
     "Number of reactors, on any CPUs; wins over -m and -l"},
    {"poll-us", "--poll-us", "", kInteger, "MICROSECONDS", "20", -1, 1'000'000, kActs, true,
     "How long a busy reactor looks for work before it sleeps; -1 polls without end"},

};

constexpr OptionSpec kRest[] = {
    // --- features shown to the control plane ---
    {"enable-lvm", "--enable-lvm", "ENABLE_LVM", kSwitch, "", "false", 0, 0, kCompatible, true,
     "Pools on LVM volume groups; announced once they exist here"},
    {"enable-snapshot-rebuild", "--enable-snapshot-rebuild", "ENABLE_SNAPSHOT_REBUILD", kSwitch, "",
     "false", 0, 0, kCompatible, true, "Rebuild of snapshots; announced once it exists here"},
    {"enable-rdma", "--enable-rdma", "ENABLE_RDMA", kSwitch, "", "false", 0, 0, kCompatible, true,
     "RDMA transport of the target; announced once it exists here"},
    {"nexus-ana", "", "NEXUS_NVMF_ANA_ENABLE", kText, "1", "", 0, 0, kActs, true,
     "1: nexus_share may announce asymmetric namespace access; any other value: never"},

    // --- commands ---
    {"check-config", "--check-config", "", kSwitch, "", "false", 0, 0, kCommand, true,
     "Check options and configuration files, then exit"},
    {"print-operations", "--print-operations", "", kSwitch, "", "false", 0, 0, kCommand, true,
     "Print the table of all operations as Markdown, then exit"},
    {"diagnose-stack", "-d,--diagnose-stack", "DIAGNOSE_STACK", kInteger, "PID", "", 1, kU32,
     kCommand, true, "Refused: a debugger shows the stacks of a process"},

    // --- accepted for compatibility ---
    {"bs-cluster-unmap", "--bs-cluster-unmap", "ENABLE_BS_CLUSTER_UNMAP", kSwitch, "", "false", 0,
     0, kCompatible, true, "Unmapping gives clusters back to the pool; this node always does"},
    {"huge-limit", "-s", "", kMebibytes, "SIZE", "0", 0, kBig, kCompatible, true,
     "Memory limit in MiB or with a unit; this node needs no huge pages"},
    {"no-pci", "-u", "", kSwitch, "", "false", 0, 0, kCompatible, true, "Do not use PCI devices"},
    {"huge-dir", "--huge-dir", "", kPath, "DIR", "", 0, 0, kCompatible, true,
     "Directory of huge pages"},
    {"env-context", "--env-context", "", kText, "TEXT", "", 0, 0, kCompatible, true,
     "Arguments of the memory environment"},
    {"ptpl-dir", "--ptpl-dir", "", kPath, "DIR", "", 0, 0, kActs, true,
     "Directory of persistent NVMe reservations; created at start"},
    {"persistent-store", "-p", "", kText, "ENDPOINT", "", 0, 0, kCompatible, true,
     "Persistent store (etcd) endpoint; the port defaults to 2379"},
    {"ps-timeout", "--ps-timeout", "", kDuration, "DURATION", "10s", 1000, 60000, kCompatible, true,
     "Timeout of one persistent-store operation, between 1s and 60s"},
    {"ps-retries", "--ps-retries", "", kInteger, "COUNT", "30", 0, 255, kCompatible, true,
     "Attempts of one persistent-store operation"},
    {"bdev-pool-size", "--bdev-pool-size", "", kInteger, "COUNT", "65535", 1, kBig, kCompatible,
     true, "I/O contexts of devices"},
    {"nvme-ctl-pool-size", "--nvme-ctl-pool-size", "", kInteger, "COUNT", "65535", 1, kBig,
     kCompatible, true, "I/O contexts of NVMe controllers"},
    {"reactor-freeze-detection", "--reactor-freeze-detection", "", kSwitch, "", "false", 0, 0,
     kCompatible, true, "Watch reactors for stalls; this node always does"},
    {"reactor-freeze-timeout", "--reactor-freeze-timeout", "REACTOR_FREEZE_TIMEOUT", kInteger,
     "SECONDS", "", 0, kU32, kCompatible, true, "When a reactor counts as frozen"},
    {"skip-sig-handler", "--skip-sig-handler", "", kSwitch, "", "false", 0, 0, kCompatible, true,
     "Leave signals alone"},
    {"enable-io-all-thrd-nexus-channels", "--enable-io-all-thrd-nexus-channels", "", kSwitch, "",
     "false", 0, 0, kCompatible, true, "Nexus channels on all threads"},
    {"enable-channel-dbg", "--enable-channel-dbg", "ENABLE_NEXUS_CHANNEL_DEBUG", kSwitch, "",
     "false", 0, 0, kCompatible, true, "Debug nexus channels"},
    {"events-url", "--events-url", "", kText, "URL", "", 0, 0, kCompatible, true,
     "NATS server for events"},
    {"developer-delay", "--developer-delay", "MAYASTOR_DELAY", kSwitch, "", "false", 0, 0,
     kCompatible, true, "Slow reactors down, for tests"},
    {"hostid", "", "MAYASTOR_NVMF_HOSTID", kUuid, "UUID", "", 0, 0, kActs, true,
     "NVMe host id of the initiator"},
    {"nexus-resv", "", "NEXUS_NVMF_RESV_ENABLE", kText, "ANY", "", 0, 0, kCompatible, true,
     "Set: nexuses reserve their children"},
    {"nexus-partial-rebuild", "", "NEXUS_PARTIAL_REBUILD", kText, "1", "1", 0, 0, kCompatible, true,
     "1: rebuild only what changed"},
    {"nexus-reset", "", "NEXUS_RESET", kText, "1", "", 0, 0, kCompatible, true,
     "1: resets reach the children"},
    {"nexus-rebuild-verify", "", "NEXUS_REBUILD_VERIFY", kText, "fail|panic", "", 0, 0, kCompatible,
     true, "Read back what a rebuild wrote"},
    {"fabrics-connect-timeout", "", "NVMF_FABRICS_CONNECT_TIMEOUT", kInteger, "MICROSECONDS",
     "10000000", 1, kYearMicros, kActs, true,
     "How long connecting to a device of another node may take"},
    {"heartbeat-interval", "", "MAYASTOR_HB_INTERVAL_SEC", kInteger, "SECONDS", "5", 1, kU32,
     kCompatible, true, "Registration interval"},
    {"heartbeat-timeout", "", "MAYASTOR_HB_TIMEOUT_SEC", kInteger, "SECONDS", "5", 1, kU32,
     kCompatible, true, "Registration timeout"},
};

constexpr auto kOptions =
    joined_options(kListen, serving_options::kTls, serving_options::kHttp, kWires,
                   serving_options::kGate, serving_options::kLog, kRest);

constexpr Program kProgram = {
    "io-engine", "Capstan io-engine", "a storage node serving pools and replicas", kOptions,
    "  Every key of the engine configuration (-y) that Mayastor lets the environment override,\n"
    "  such as NVMF_TCP_MAX_QUEUE_DEPTH or NVME_TIMEOUT, is read too."};

}  // namespace

std::span<const OptionSpec> options() {
  return kOptions;
}

Result<CommandLine> parse_command_line(std::vector<std::string> arguments,
                                       const Variables& variables) {
  return parse_command_line(kProgram, std::move(arguments), variables);
}

}  // namespace capstan::apps
