// Why this file exists: the table of all commands (command.h says what for), in the order in which
// --help shows them. Names and flags follow io-engine-client's (io-engine-behaviour section 21.2)
// where the command exists there.
#include "apps/capstan/command.h"
#include "apps/capstan/commands.h"

namespace capstan::apps {
namespace {

constexpr Flag kPoolUuid{"-u,--uuid", "UUID", "UUID of the pool", ""};
constexpr Flag kPoolType{"-t,--type", "TYPE", "Kind of pool", "lvs|lvm", "lvs"};
constexpr Parameter kPool{"POOL", "Name of the pool"};
constexpr Parameter kReplica{"REPLICA", "Name or UUID of the replica"};
constexpr Flag kAllowedHosts{
    "--allowed-host", "NQN", "Host that may connect; default: all", "", "", false, true};

constexpr Group kGroups[] = {
    {"node", "The node itself"},
    {"pool", "Pools: formatted disks from which replicas are cut"},
    {"replica", "Replicas: thin or thick block devices inside a pool"},
    {"bdev", "Block devices of the node"},
    {"image", "Whole disk images into and out of replicas"},
};

constexpr Flag kGlobalFlags[] = {
    {"-b,--bind", "URI", "Address of the node: http://, https:// or unix:", "",
     "http://127.0.0.1:10124"},
    {"-o,--output", "FORMAT", "Form of the output", "default|json", "default"},
    {"-u,--units", "UNITS", "Sizes: i = MiB, d = MB, b = bytes", "i|d|b", "i"},
    {"-q,--quiet", "", "No header lines and no remarks", ""},
    {"--timeout", "DURATION", "Longest time for a call, as in 30s; images have none by default", "",
     "60s"},
    {"--tls-ca", "FILE", "Certificates to trust (PEM)", ""},
    {"--tls-cert", "FILE", "Own certificate (PEM)", ""},
    {"--tls-key", "FILE", "Key of the own certificate (PEM)", ""},
};

constexpr Command kCommands[] = {
    {"node", "version", "Name, version and uptime", {}, {}, node_version},
    {"node", "health", "Whether the node and its parts work", {}, {}, node_health},
    {"node",
     "operations",
     "What the node serves, with the names on each wire",
     {{{"PREFIX", "Only operations whose full name starts so", false}}},
     {},
     node_operations},
    {"node", "config", "Every configuration value and where it came from", {}, {}, node_config},
    {"node",
     "events",
     "What happens on the node, until interrupted",
     {{{"CATEGORY", "Only these: pool, replica, device, node", false, true}}},
     {},
     node_events},
    {"node", "metrics", "All metrics, in Prometheus text form", {}, {}, node_metrics},
    {"node", "info", "What the node tells a control plane", {}, {}, node_info},
    {"node",
     "resources",
     "Page faults, context switches and I/O of the process",
     {},
     {},
     node_resources},
    {"node",
     "devices",
     "Disks and partitions of the machine",
     {},
     {{{"-a,--all", "", "Also those that are in use", ""}}},
     node_devices},

    {"pool",
     "create",
     "Format a disk as a pool; a pool already on it is imported",
     {{kPool, {"DISK", "Path or URI of the disk", true, true}}},
     {{kPoolUuid,
       {"--cluster-size", "SIZE", "Unit of allocation; default 4MiB", ""},
       {"--md-resv-ratio", "RATIO", "Share of metadata to reserve, as in 1.0", ""},
       {"-f,--force", "", "Overwrite a damaged pool or somebody else's data on the disk", ""},
       kPoolType}},
     pool_create},
    {"pool",
     "import",
     "Open the pool on a disk",
     {{kPool, {"DISK", "Path or URI of the disk", true, true}}},
     {{kPoolUuid, kPoolType}},
     pool_import},
    {"pool",
     "export",
     "Close a pool; its data stays on the disk",
     {{kPool}},
     {{kPoolUuid, kPoolType}},
     pool_export},
    {"pool",
     "destroy",
     "Delete a pool with everything in it",
     {{kPool}},
     {{kPoolUuid, kPoolType}},
     pool_destroy},
    {"pool",
     "list",
     "Pools of the node",
     {{{"POOL", "Only this one", false}}},
     {{kPoolUuid, {"-t,--type", "TYPE", "Only this kind", "lvs|lvm"}}},
     pool_list},

    {"replica",
     "create",
     "Cut a replica from a pool",
     {{{"NAME", "Name of the replica"}, {"POOL", "Name or UUID of the pool"}}},
     {{{"-s,--size", "SIZE", "Size, as in 64MiB; rounded up to clusters", "", "", true},
       {"-t,--thin", "", "Take space only when it is written", ""},
       {"--uuid", "UUID", "UUID of the replica; default: a random one", ""},
       {"-p,--protocol", "PROTOCOL", "Share it", "none|nvmf", "none"},
       {"--entity-id", "ID", "Who owns it", ""},
       kAllowedHosts}},
     replica_create},
    {"replica",
     "destroy",
     "Delete a replica",
     {{kReplica}},
     {{{"--pool-uuid", "UUID", "UUID of its pool", ""}, {"--pool-name", "NAME", "Its pool", ""}}},
     replica_destroy},
    {"replica",
     "list",
     "Replicas of the node, snapshots and clones included",
     {{{"NAME", "Only this one", false}}},
     {{{"--pool-name", "NAME", "Only of this pool", ""},
       {"--pool-uuid", "UUID", "Only of this pool", ""},
       {"--uuid", "UUID", "Only this one", ""}}},
     replica_list},
    {"replica",
     "share",
     "Make a replica reachable for other nodes",
     {{kReplica, {"PROTOCOL", "How: nvmf", false}}},
     {{kAllowedHosts}},
     replica_share},
    {"replica", "unshare", "End the sharing of a replica", {{kReplica}}, {}, replica_unshare},
    {"replica",
     "set-entity-id",
     "Say who owns a replica",
     {{kReplica, {"ID", "Name of the owner"}}},
     {},
     replica_set_entity_id},

    {"bdev",
     "create",
     "Create a block device",
     {{{"URI", "As in malloc:///m0?size_mb=64"}}},
     {},
     bdev_create},
    {"bdev",
     "destroy",
     "Remove a block device",
     {{{"BDEV", "Its name, or the URI it was created with"}}},
     {},
     bdev_destroy},
    {"bdev",
     "list",
     "Block devices of the node",
     {{{"NAME", "Only this one", false}}},
     {},
     bdev_list},

    {"image",
     "import",
     "Write an image into a replica; holes stay holes",
     {{{"REPLICA", "Name or UUID of the replica"}, {"FILE", "Image, or - for standard input"}}},
     {{{"--size", "SIZE", "Size of the image, needed when it comes from a pipe", ""},
       {"--keep-rest", "", "Leave holes and the tail of the replica as they are", ""}}},
     image_import},
    {"image",
     "export",
     "Read a replica into a sparse image",
     {{{"REPLICA", "Name or UUID of the replica"}, {"FILE", "Image, or - for standard output"}}},
     {{{"--offset", "SIZE", "Where to start in the replica", ""},
       {"--length", "SIZE", "How much; default: to the end", ""},
       {"-f,--force", "", "Replace an existing file", ""}}},
     image_export},

    {"",
     "completion",
     "Completion script for a shell",
     {{{"SHELL", "bash, zsh or fish"}}},
     {},
     nullptr},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}
std::span<const Group> groups() {
  return kGroups;
}
std::span<const Flag> global_flags() {
  return kGlobalFlags;
}

}  // namespace capstan::apps
