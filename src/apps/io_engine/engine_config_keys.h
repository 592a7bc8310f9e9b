// Why this file exists: the table of all keys of the engine configuration file, with type, default
// and environment variable (io-engine-behaviour section 2.1). Included only by engine_config.cc and
// its test.
#pragma once

#include <cstdint>
#include <string_view>

namespace capstan::apps {

enum class KeyType : std::uint8_t {
  kBool,
  kU8,
  kU16,
  kU32,
  kI32,
  kU64,
  kText,
  kTextOrNull,
  kBoolOrNull,
  kCrdt,
};

struct EngineKey {
  std::string_view section;  // "nvmf_tgt_conf.opts_tcp" for nested ones; empty at the top level
  std::string_view key;
  KeyType type;
  std::string_view fallback;
  std::string_view variable;  // overrides the default
  // A time: `variable` holds a duration ("5s") and is read first, `variable` with this suffix
  // ("_US") a plain number of that unit.
  std::string_view time_suffix = {};
};

using enum KeyType;
inline constexpr EngineKey kEngineKeys[] = {
    {"", "source", kTextOrNull, "null", ""},
    {"nvmf_tgt_conf", "name", kText, "mayastor_target", ""},
    {"nvmf_tgt_conf", "max_namespaces", kU32, "2048", ""},
    {"nvmf_tgt_conf", "crdt", kCrdt, "[0, 0, 0]", ""},
    {"nvmf_tgt_conf", "interface", kTextOrNull, "null", ""},
    {"nvmf_tgt_conf", "rdma", kBoolOrNull, "null", ""},
    {"nvmf_tgt_conf.opts_tcp", "max_queue_depth", kU16, "32", "NVMF_TCP_MAX_QUEUE_DEPTH"},
    {"nvmf_tgt_conf.opts_tcp", "max_qpairs_per_ctrl", kU16, "32", "NVMF_TCP_MAX_QPAIRS_PER_CTRL"},
    {"nvmf_tgt_conf.opts_tcp", "in_capsule_data_size", kU32, "4096", ""},
    {"nvmf_tgt_conf.opts_tcp", "max_io_size", kU32, "131072", ""},
    {"nvmf_tgt_conf.opts_tcp", "io_unit_size", kU32, "131072", ""},
    {"nvmf_tgt_conf.opts_tcp", "max_aq_depth", kU32, "32", ""},
    {"nvmf_tgt_conf.opts_tcp", "num_shared_buf", kU32, "2047", "NVMF_TCP_NUM_SHARED_BUF"},
    {"nvmf_tgt_conf.opts_tcp", "buf_cache_size", kU32, "64", "NVMF_TCP_BUF_CACHE_SIZE"},
    {"nvmf_tgt_conf.opts_tcp", "dif_insert_or_strip", kBool, "false", ""},
    {"nvmf_tgt_conf.opts_tcp", "abort_timeout_sec", kU32, "1", ""},
    {"nvmf_tgt_conf.opts_tcp", "acceptor_poll_rate", kU32, "10000", "NVMF_ACCEPTOR_POLL_RATE"},
    {"nvmf_tgt_conf.opts_tcp", "zcopy", kBool, "true", "NVMF_ZCOPY"},
    {"nvmf_tgt_conf.opts_tcp", "ack_timeout", kU32, "0", "NVMF_ACK_TIMEOUT"},
    {"nvmf_tgt_conf.opts_tcp", "data_wr_pool_size", kU32, "0", ""},
    {"nvmf_tgt_conf.opts_rdma", "max_queue_depth", kU16, "32", "NVMF_TCP_MAX_QUEUE_DEPTH"},
    {"nvmf_tgt_conf.opts_rdma", "max_qpairs_per_ctrl", kU16, "32", "NVMF_TCP_MAX_QPAIRS_PER_CTRL"},
    {"nvmf_tgt_conf.opts_rdma", "in_capsule_data_size", kU32, "4096",
     "NVMF_RDMA_IN_CAPSULE_DATA_SIZE"},
    {"nvmf_tgt_conf.opts_rdma", "max_io_size", kU32, "131072", ""},
    {"nvmf_tgt_conf.opts_rdma", "io_unit_size", kU32, "8192", "NVMF_RDMA_IO_UNIT_SIZE"},
    {"nvmf_tgt_conf.opts_rdma", "max_aq_depth", kU32, "32", ""},
    {"nvmf_tgt_conf.opts_rdma", "num_shared_buf", kU32, "2047", "NVMF_RDMA_NUM_SHARED_BUF"},
    {"nvmf_tgt_conf.opts_rdma", "buf_cache_size", kU32, "64", "NVMF_TCP_BUF_CACHE_SIZE"},
    {"nvmf_tgt_conf.opts_rdma", "dif_insert_or_strip", kBool, "false", ""},
    {"nvmf_tgt_conf.opts_rdma", "abort_timeout_sec", kU32, "1", ""},
    {"nvmf_tgt_conf.opts_rdma", "acceptor_poll_rate", kU32, "10000", "NVMF_ACCEPTOR_POLL_RATE"},
    {"nvmf_tgt_conf.opts_rdma", "zcopy", kBool, "true", "NVMF_ZCOPY"},
    {"nvmf_tgt_conf.opts_rdma", "ack_timeout", kU32, "0", "NVMF_ACK_TIMEOUT"},
    {"nvmf_tgt_conf.opts_rdma", "data_wr_pool_size", kU32, "4095", "NVMF_RDMA_DATA_WR_POOL_SIZE"},
    {"nvme_bdev_opts", "action_on_timeout", kU32, "4", ""},
    {"nvme_bdev_opts", "timeout_us", kU64, "5000000", "NVME_TIMEOUT", "_US"},
    {"nvme_bdev_opts", "timeout_admin_us", kU64, "5000000", "NVME_TIMEOUT_ADMIN", "_US"},
    {"nvme_bdev_opts", "keep_alive_timeout_ms", kU32, "10000", "NVME_KATO", "_MS"},
    {"nvme_bdev_opts", "transport_retry_count", kU32, "0", "NVME_RETRY_COUNT"},
    {"nvme_bdev_opts", "arbitration_burst", kU32, "0", ""},
    {"nvme_bdev_opts", "low_priority_weight", kU32, "0", ""},
    {"nvme_bdev_opts", "medium_priority_weight", kU32, "0", ""},
    {"nvme_bdev_opts", "high_priority_weight", kU32, "0", ""},
    {"nvme_bdev_opts", "nvme_adminq_poll_period_us", kU64, "1000", "NVME_ADMINQ_POLL_PERIOD",
     "_US"},
    {"nvme_bdev_opts", "nvme_ioq_poll_period_us", kU64, "0", "NVME_IOQ_POLL_PERIOD", "_US"},
    {"nvme_bdev_opts", "io_queue_requests", kU32, "0", ""},
    {"nvme_bdev_opts", "delay_cmd_submit", kBool, "true", ""},
    {"nvme_bdev_opts", "bdev_retry_count", kI32, "0", "NVME_BDEV_RETRY_COUNT"},
    {"nvme_bdev_opts", "transport_ack_timeout", kU8, "0", ""},
    {"nvme_bdev_opts", "ctrlr_loss_timeout_sec", kI32, "0", ""},
    {"nvme_bdev_opts", "reconnect_delay_sec", kU32, "0", ""},
    {"nvme_bdev_opts", "fast_io_fail_timeout_sec", kU32, "0", ""},
    {"nvme_bdev_opts", "disable_auto_failback", kBool, "false", ""},
    {"nvme_bdev_opts", "generate_uuids", kBool, "true", "NVME_GENERATE_UUIDS"},
    {"bdev_opts", "bdev_io_pool_size", kU32, "65535", "BDEV_IO_POOL_SIZE"},
    {"bdev_opts", "bdev_io_cache_size", kU32, "512", "BDEV_IO_CACHE_SIZE"},
    {"bdev_opts", "iobuf_small_cache_size", kU32, "128", "BUF_SMALL_CACHE_SIZE"},
    {"bdev_opts", "iobuf_large_cache_size", kU32, "16", "BUF_LARGE_CACHE_SIZE"},
    {"nexus_opts", "nvmf_enable", kBool, "true", ""},
    {"nexus_opts", "nvmf_discovery_enable", kBool, "true", ""},
    {"nexus_opts", "nvmf_nexus_port", kU16, "4421", ""},
    {"nexus_opts", "nvmf_replica_port", kU16, "8420", ""},
    {"socket_opts", "recv_buf_size", kU32, "2097152", "SOCK_RECV_BUF_SIZE"},
    {"socket_opts", "send_buf_size", kU32, "2097152", "SOCK_SEND_BUF_SIZE"},
    {"socket_opts", "enable_recv_pipe", kBool, "true", "SOCK_ENABLE_RECV_PIPE"},
    {"socket_opts", "enable_zero_copy_send", kBool, "true", ""},
    {"socket_opts", "enable_quickack", kBool, "true", "SOCK_ENABLE_QUICKACK"},
    {"socket_opts", "enable_placement_id", kU32, "0", "SOCK_ENABLE_PLACEMENT_ID"},
    {"socket_opts", "enable_zerocopy_send_server", kBool, "true", "SOCK_ZEROCOPY_SEND_SERVER"},
    {"socket_opts", "enable_zerocopy_send_client", kBool, "false", "SOCK_ZEROCOPY_SEND_CLIENT"},
    {"socket_opts", "zerocopy_threshold", kU32, "0", ""},
    {"iobuf_opts", "small_pool_count", kU64, "8192", "IOBUF_SMALL_POOL_COUNT"},
    {"iobuf_opts", "large_pool_count", kU64, "2048", "IOBUF_LARGE_POOL_COUNT"},
    {"iobuf_opts", "small_bufsize", kU32, "8192", "IOBUF_SMALL_BUFSIZE"},
    {"iobuf_opts", "large_bufsize", kU32, "135168", "IOBUF_LARGE_BUFSIZE"},
    {"eal_opts", "reactor_mask", kTextOrNull, "null", ""},
    {"eal_opts", "core_list", kTextOrNull, "null", ""},
    {"eal_opts", "developer_delay", kBoolOrNull, "null", ""},
};

}  // namespace capstan::apps
