// Why this file exists: see relayed_stream.h. Messages to one core arrive in the order in which
// they were sent: a cancel finds the operation that was begun before it, and the end comes last.
#include "storage/nvme/relayed_stream.h"

#include <cerrno>
#include <utility>

namespace capstan::storage::nvme {

RelayedStream::RelayedStream(std::unique_ptr<core::Stream> stream, core::Reactor& core)
    : core_(core), peer_(stream->peer()), stream_(std::move(stream)) {}

RelayedStream::~RelayedStream() {
  core_.post([stream = std::move(stream_)]() mutable { stream.reset(); });
}

std::unexpected<Error> RelayedStream::cancelled() const {
  return fail(Code::kCancelled, "connection with " + peer_.address + " was cancelled", ECANCELED);
}

core::Task<Result<std::size_t>> RelayedStream::read(MutableBytes into) {
  if (cancelled_) co_return cancelled();
  co_return co_await core::on<Result<std::size_t>>(
      core_, [stream = stream_.get(), into] { return stream->read(into); });
}

Result<std::optional<std::size_t>> RelayedStream::read_now(MutableBytes) {
  if (cancelled_) return cancelled();
  return std::optional<std::size_t>();
}

core::Task<Result<void>> RelayedStream::write(ByteView from) {
  if (cancelled_) co_return cancelled();
  co_return co_await core::on<Result<void>>(
      core_, [stream = stream_.get(), from] { return stream->write(from); });
}

void RelayedStream::shutdown_write() {
  core_.post([stream = stream_.get()] { stream->shutdown_write(); });
}

void RelayedStream::cancel() {
  if (std::exchange(cancelled_, true)) return;
  core_.post([stream = stream_.get()] { stream->cancel(); });
}

}  // namespace capstan::storage::nvme
