// What the statistics of every API have in common.
#pragma once

#include "storage/device/device.h"

namespace capstan::services {

// `to`: a message with counters under Mayastor's names; some have none of unmaps.
template <class Message>
void fill_counts(const storage::IoStats& stats, Message& to) {
  to.set_num_read_ops(stats.read.ops);
  to.set_bytes_read(stats.read.bytes);
  to.set_num_write_ops(stats.write.ops);
  to.set_bytes_written(stats.write.bytes);
  if constexpr (requires { to.set_num_unmap_ops(stats.unmap.ops); }) {
    to.set_num_unmap_ops(stats.unmap.ops);
    to.set_bytes_unmapped(stats.unmap.bytes);
  }
}

}  // namespace capstan::services
