// Why this file exists: see os_packets.h.
#include "core/os_packets.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/assert.h"

namespace capstan::core {
namespace {

std::int64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

iovec as_iovec(ByteView bytes) {
  return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

Result<BlockingPackets> BlockingPackets::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kInvalidArgument,
                "the socket path '" + path + "' must have 1 to 107 bytes, it has " +
                    std::to_string(path.size()),
                EINVAL);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail_errno(errno, "make a socket for '" + path + "'");
  BlockingPackets made(descriptor);
  int done = 0;
  do {
    done = ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (done != 0 && errno == EINTR);
  if (done != 0) return fail_errno(errno, "connect to '" + path + "'");
  return made;
}

BlockingPackets::~BlockingPackets() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void BlockingPackets::set_limit(std::int64_t milliseconds) {
  ends_at_ms_ = milliseconds < 0 ? -1 : now_ms() + milliseconds;
}

Result<void> BlockingPackets::wait_for(short events) const {
  if (ends_at_ms_ < 0) return {};
  while (true) {
    const std::int64_t left = std::clamp<std::int64_t>(ends_at_ms_ - now_ms(), 0, 1 << 30);
    pollfd poll_entry{descriptor_, events, 0};
    const int ready = ::poll(&poll_entry, 1, static_cast<int>(left));
    if (ready > 0) return {};
    if (ready == 0) return fail_errno(ETIMEDOUT, "wait for the peer");
    if (errno != EINTR) return fail_errno(errno, "wait for the peer");
  }
}

Result<void> BlockingPackets::send(std::span<const ByteView> parts) {
  std::array<iovec, 4> vectors{};
  CAPSTAN_ASSERT(parts.size() <= vectors.size());
  std::ranges::transform(parts, vectors.begin(), as_iovec);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = parts.size();
  // A packet is sent whole or not at all; with a limit the call itself must not wait.
  const int flags = MSG_NOSIGNAL | (ends_at_ms_ < 0 ? 0 : MSG_DONTWAIT);
  while (true) {
    TRY(wait_for(POLLOUT));
    if (::sendmsg(descriptor_, &message, flags) >= 0) return {};
    if (errno != EINTR && errno != EAGAIN) return fail_errno(errno, "send a packet");
  }
}

Result<BlockingPackets::Received> BlockingPackets::receive(MutableBytes first,
                                                           MutableBytes second) {
  std::array<iovec, 2> vectors{iovec{first.data(), first.size()},
                               iovec{second.data(), second.size()}};
  while (true) {
    TRY(wait_for(POLLIN));
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = vectors.size();
    const ssize_t got = ::recvmsg(descriptor_, &message, 0);
    if (got >= 0) {
      return Received{static_cast<std::size_t>(got), (message.msg_flags & MSG_TRUNC) != 0};
    }
    if (errno != EINTR) return fail_errno(errno, "receive a packet");
  }
}

}  // namespace capstan::core
