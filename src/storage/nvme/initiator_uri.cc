// Why this file exists: see initiator_uri.h.
#include "storage/nvme/initiator_uri.h"

#include "storage/nvme/initiator.h"

namespace capstan::storage::nvme {

namespace {

void take_time(std::optional<std::uint64_t> milliseconds, core::Nanos& into) {
  if (milliseconds) into = *milliseconds * core::kMillisecond;
}

}  // namespace

HostOptions with_uri(HostOptions options, const storage::RemoteUri& uri) {
  options.address = core::Address::tcp(uri.host, uri.port);
  options.subsystem = uri.nqn;
  if (uri.host_nqn) options.host = *uri.host_nqn;
  if (uri.host_id) options.host_id = host_id_of(*uri.host_id);
  if (uri.header_digest) options.digests.header = true;
  if (uri.data_digest) options.digests.data = true;
  if (!uri.flow_control) options.flow_control = false;
  if (uri.abort_on_timeout) options.timeout_action = TimeoutAction::kAbort;
  if (uri.queues) options.io_queues = static_cast<std::uint16_t>(*uri.queues);
  if (uri.queue_size) options.queue_entries = static_cast<std::uint16_t>(*uri.queue_size);
  if (uri.keep_alive_ms) options.keep_alive_ms = static_cast<std::uint32_t>(*uri.keep_alive_ms);
  take_time(uri.connect_timeout_ms, options.connect_timeout);
  take_time(uri.io_timeout_ms, options.io_timeout);
  take_time(uri.reconnect_ms, options.reconnect_delay);
  take_time(uri.fast_io_fail_ms, options.fast_io_fail);
  if (uri.ctrl_loss_ms == UINT64_MAX) {
    options.ctrl_loss = HostOptions::kForever;
  } else {
    take_time(uri.ctrl_loss_ms, options.ctrl_loss);
  }
  return options;
}

}  // namespace capstan::storage::nvme
