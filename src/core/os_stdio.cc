// Why this file exists: see os_stdio.h.
#include "core/os_stdio.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/uring_reactor.h"

namespace capstan::core {
namespace {

constexpr std::size_t kMaxTransfer = 1U << 20;
constexpr std::uint64_t kStreamPosition = ~std::uint64_t{0};  // wherever the stream stands

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

unsigned piece(std::size_t left) {
  return static_cast<unsigned>(std::min(left, kMaxTransfer));
}

}  // namespace

Task<Result<std::size_t>> read_standard_input(MutableBytes into, CancelToken token) {
  std::size_t done = 0;
  while (done < into.size()) {
    CO_TRY(token.check());
    UringOp op;
    io_uring_prep_read(ring().prepare(op), STDIN_FILENO, into.data() + done,
                       piece(into.size() - done), kStreamPosition);
    const CancelCallback on_cancel(token, [&op] { ring().request_cancel(op); });
    const int rc = co_await op;
    if (rc == -ECANCELED) CO_TRY(token.check());
    if (rc == -EINTR || rc == -EAGAIN) continue;
    if (rc < 0) co_return fail_errno(-rc, "read standard input");
    if (rc == 0) break;
    done += static_cast<std::size_t>(rc);
  }
  co_return done;
}

Task<Result<void>> write_standard_output(ByteView from, CancelToken token) {
  std::size_t done = 0;
  while (done < from.size()) {
    CO_TRY(token.check());
    UringOp op;
    io_uring_prep_write(ring().prepare(op), STDOUT_FILENO, from.data() + done,
                        piece(from.size() - done), kStreamPosition);
    const CancelCallback on_cancel(token, [&op] { ring().request_cancel(op); });
    const int rc = co_await op;
    if (rc == -ECANCELED) CO_TRY(token.check());
    if (rc == -EINTR || rc == -EAGAIN) continue;
    if (rc < 0) co_return fail_errno(-rc, "write to standard output");
    if (rc == 0) co_return fail(Code::kInternal, "write to standard output: no progress", EIO);
    done += static_cast<std::size_t>(rc);
  }
  co_return Result<void>();
}

}  // namespace capstan::core
