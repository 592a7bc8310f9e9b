// Why this file exists: the socket of a connection on a core of its own, while the connection's
// state stays on the core of its devices. What a queue costs is mostly the kernel's sending and
// receiving; that is what moves, so that queues of many hosts use many cores and yet nothing of a
// controller, a subsystem or a device is ever shared between them.
//
//     owner's core:  Connection ──read/write──► RelayedStream
//                                                    │ one message there, one back (core::on)
//     socket's core:                              Stream ──► kernel
//
// Lifetimes: as for every stream, no operation is in flight when it is destroyed; the socket itself
// is closed on its core soon after. Thread-safety: the owner's core.
#pragma once

#include <memory>

#include "core/env.h"

namespace capstan::storage::nvme {

class RelayedStream final : public core::Stream {
 public:
  // `stream` was made on this core and has not been used yet; `core` outlives it.
  RelayedStream(std::unique_ptr<core::Stream> stream, core::Reactor& core);
  ~RelayedStream() override;

  const core::PeerInfo& peer() const override { return peer_; }
  core::Task<Result<std::size_t>> read(MutableBytes into) override;
  // Never has anything: what could be had without waiting is on another core.
  Result<std::optional<std::size_t>> read_now(MutableBytes into) override;
  core::Task<Result<void>> write(ByteView from) override;
  void shutdown_write() override;
  void cancel() override;

 private:
  std::unexpected<Error> cancelled() const;

  core::Reactor& core_;
  core::PeerInfo peer_;
  std::unique_ptr<core::Stream> stream_;  // touched by core_ only
  bool cancelled_ = false;
};

}  // namespace capstan::storage::nvme
