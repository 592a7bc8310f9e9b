// Why this file exists: see uring_stream.h.
#include "core/uring_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/os_socket.h"

namespace capstan::core {

namespace {

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

std::unexpected<Error> cancelled(const std::string& peer) {
  return fail(Code::kCancelled, "connection with " + peer + " was cancelled", ECANCELED);
}

// The message header for parts, whose list `list` becomes.
template <class Part>
msghdr header_of(std::span<const Part> parts, std::span<iovec> list) {
  CAPSTAN_ASSERT(parts.size() <= list.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    list[i] = {const_cast<std::uint8_t*>(parts[i].data()), parts[i].size()};
  }
  msghdr header{};
  header.msg_iov = list.data();
  header.msg_iovlen = parts.size();
  return header;
}

}  // namespace

UringSocket::UringSocket(int fd, PeerInfo peer) : fd_(fd), peer_(std::move(peer)), watch_(fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets: no matter
  // A peer whose machine or network is gone says nothing: this finds out within a minute.
  for (const auto& [option, value] :
       {std::pair(TCP_KEEPIDLE, 30), std::pair(TCP_KEEPINTVL, 10), std::pair(TCP_KEEPCNT, 3)}) {
    setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value);
  }
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

UringSocket::~UringSocket() {
  CAPSTAN_ASSERT(!watch_.awaited() && !writing_.in_flight());
  watch_.end();
  close(fd_);
}

void UringSocket::cancel() {
  cancelled_ = true;
  watch_.wake();
  ring().request_cancel(writing_);
}

// --- streams ------------------------------------------------------------------------------------

void UringStream::Acknowledge::run() {
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

int UringStream::receive(MutableBytes into) {
  ssize_t got = -1;
  do {
    got = ::recv(socket_.fd_, into.data(), into.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN) socket_.watch_.drained(false);
    return -errno;
  }
  if (static_cast<std::size_t>(got) < into.size()) socket_.watch_.drained(true);
  if (quick_) ring().put_off(acknowledge_);
  return static_cast<int>(got);
}

Task<Result<std::size_t>> UringStream::read(MutableBytes into) {
  if (++socket_.direct_run_ >= kDirectRun) {
    socket_.direct_run_ = 0;
    co_await yield();
  }
  while (!socket_.cancelled_) {
    if (!socket_.watch_.readable()) {
      socket_.direct_run_ = 0;
      co_await socket_.watch_;
      continue;
    }
    const int got = receive(into);
    if (got == -EAGAIN) continue;
    if (got < 0) co_return fail_errno(-got, "receive from " + socket_.peer_.address);
    co_return static_cast<std::size_t>(got);
  }
  co_return cancelled(socket_.peer_.address);
}

Result<std::optional<std::size_t>> UringStream::read_now(MutableBytes into) {
  if (socket_.cancelled_) return cancelled(socket_.peer_.address);
  const int got = receive(into);
  if (got == -EAGAIN) return std::optional<std::size_t>();
  if (got < 0) return fail_errno(-got, "receive from " + socket_.peer_.address);
  return std::optional<std::size_t>(static_cast<std::size_t>(got));
}

Task<Result<void>> UringStream::write(ByteView from) {
  while (!from.empty() && !socket_.cancelled_) {
    ssize_t sent = ::send(socket_.fd_, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = sent < 0 ? errno : 0;
    if (error == EAGAIN) {
      io_uring_prep_send(ring().prepare(socket_.writing_), socket_.fd_, from.data(), from.size(),
                         MSG_NOSIGNAL);
      sent = co_await socket_.writing_;
      error = sent < 0 ? static_cast<int>(-sent) : 0;
    }
    if (error == EINTR || error == EAGAIN) continue;
    if (socket_.cancelled_) break;
    if (error != 0) co_return fail_errno(error, "send to " + socket_.peer_.address);
    acknowledge_.drop();  // it went along
    from = from.subspan(static_cast<std::size_t>(sent));
  }
  if (socket_.cancelled_) co_return cancelled(socket_.peer_.address);
  co_return Result<void>();
}

void UringStream::shutdown_write() {
  shutdown(socket_.fd_, SHUT_WR);
}

void acknowledge_at_once(Stream& stream) {
  if (auto* real = dynamic_cast<UringStream*>(&stream)) real->set_quick();
}

void leave_core(Stream& stream) {
  if (auto* real = dynamic_cast<UringStream*>(&stream)) real->leave_core();
}

// --- packets ------------------------------------------------------------------------------------

Task<Result<std::optional<std::size_t>>> UringPacketSocket::receive(
    std::span<const MutableBytes> parts) {
  std::array<iovec, kPartsMax> scatter;  // filled below
  msghdr message = header_of(parts, scatter);
  if (++socket_.direct_run_ >= kDirectRun) {
    socket_.direct_run_ = 0;
    co_await yield();
  }
  while (!socket_.cancelled_) {
    if (!socket_.watch_.readable()) {
      socket_.direct_run_ = 0;
      co_await socket_.watch_;
      continue;
    }
    const ssize_t got = ::recvmsg(socket_.fd_, &message, MSG_DONTWAIT);
    const int error = got < 0 ? errno : 0;
    if (error == EAGAIN) socket_.watch_.drained(false);
    if (error == EINTR || error == EAGAIN) continue;
    if (error != 0) co_return fail_errno(error, "receive from " + socket_.peer_.address);
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      co_return fail(Code::kOutOfRange, "a packet from " + socket_.peer_.address +
                                            " is larger than the " + std::to_string(got) +
                                            " bytes there is room for");
    }
    if (got == 0) co_return std::optional<std::size_t>();
    co_return std::optional<std::size_t>(static_cast<std::size_t>(got));
  }
  co_return cancelled(socket_.peer_.address);
}

Task<Result<void>> UringPacketSocket::send(std::span<const ByteView> parts) {
  std::array<iovec, kPartsMax> gather;  // filled below
  const msghdr message = header_of(parts, gather);
  while (!socket_.cancelled_) {
    ssize_t sent = ::sendmsg(socket_.fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    int error = sent < 0 ? errno : 0;
    if (error == EAGAIN) {
      io_uring_prep_sendmsg(ring().prepare(socket_.writing_), socket_.fd_, &message, MSG_NOSIGNAL);
      sent = co_await socket_.writing_;
      error = sent < 0 ? static_cast<int>(-sent) : 0;
    }
    if (error == EINTR || error == EAGAIN) continue;
    if (socket_.cancelled_) break;
    if (error != 0) co_return fail_errno(error, "send to " + socket_.peer_.address);
    co_return Result<void>();  // packets are all or nothing
  }
  co_return cancelled(socket_.peer_.address);
}

void UringPacketSocket::reserve_send(std::size_t bytes) {
  // What the kernel keeps beside the packet is counted as well; it doubles what is asked for.
  const int wanted = static_cast<int>(std::min<std::size_t>(bytes + 4096, 1U << 30));
  if (setsockopt(socket_.fd_, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) != 0) {
    setsockopt(socket_.fd_, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
  }
}

bool UringPacketSocket::peer_gone() const {
  pollfd state{socket_.fd_, 0, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace capstan::core
