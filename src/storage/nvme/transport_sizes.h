// Why this file exists: how much a target lets one host use at a time, which may be set to less
// than what it is built for: by the transport options of SPDK's nvmf_create_transport (jsonrpc
// section B.7) and of Mayastor's nvmf_tgt_conf.opts_tcp (io-engine-behaviour section 2.1). Hosts
// read them in CAP, Identify Controller and ICResp (nvme-tcp sections 1 and 8.1).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

struct TransportSizes {
  std::uint32_t io_queue_entries = limits::kIoQueueEntries;        // MQES + 1
  std::uint32_t admin_queue_entries = limits::kAdminQueueEntries;  // SQSIZE + 1 of queue 0
  std::uint32_t io_queues = limits::kIoQueues;                     // per controller
  std::uint32_t in_capsule_bytes = limits::kInCapsuleBytes;
  std::uint32_t io_bytes = limits::kIoBytes;  // one command: MDTS, and MAXH2CDATA
  // Hosts without flow control get no response to a read: its last data says that all went well.
  bool c2h_success = true;
  bool operator==(const TransportSizes&) const = default;

  // Powers of two of 4 KiB.
  std::uint8_t mdts() const { return static_cast<std::uint8_t>(std::countr_zero(io_bytes) - 12); }
};

// What is asked for, as far as the target is built for it: larger values become the largest, and an
// admin queue has at least 32 entries, as in SPDK. kInvalidArgument: none at all of something, data
// within commands that is no multiple of 16 bytes, commands whose size is no power of two from
// 8 KiB on.
inline Result<TransportSizes> fitting(TransportSizes wanted) {
  if (wanted.io_queue_entries < 2 || wanted.io_queues == 0) {
    return fail(Code::kInvalidArgument, "a queue has at least 2 entries, and a host needs one");
  }
  if (wanted.in_capsule_bytes % 16 != 0) {
    return fail(Code::kInvalidArgument, "data within commands comes in units of 16 bytes, not in " +
                                            std::to_string(wanted.in_capsule_bytes));
  }
  if (wanted.io_bytes < 8192 || !std::has_single_bit(wanted.io_bytes)) {
    return fail(Code::kInvalidArgument,
                "the largest command is a power of two from 8192 bytes on, "
                "not " +
                    std::to_string(wanted.io_bytes));
  }
  const TransportSizes most;
  return TransportSizes{std::min(wanted.io_queue_entries, most.io_queue_entries),
                        std::clamp(wanted.admin_queue_entries, 32U, most.admin_queue_entries),
                        std::min(wanted.io_queues, most.io_queues),
                        std::min(wanted.in_capsule_bytes, most.in_capsule_bytes),
                        std::min(wanted.io_bytes, most.io_bytes),
                        wanted.c2h_success};
}

}  // namespace capstan::storage::nvme
