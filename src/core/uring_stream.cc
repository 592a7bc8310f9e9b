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

// Of a send without a copy: the notification says whether there was one
// (IORING_SEND_ZC_REPORT_USAGE, which liburing 2.3 lacks). Kernels that lack it refuse it.
constexpr std::uint16_t kReportUsage = 1U << 3;

template <class Part>
iovec part_of(const Part& part) {
  return {const_cast<std::uint8_t*>(part.data()), part.size()};
}

// The message header for parts, whose list `list` becomes.
template <class Part>
msghdr header_of(std::span<const Part> parts, std::span<iovec> list) {
  CAPSTAN_ASSERT(parts.size() <= list.size());
  for (std::size_t i = 0; i < parts.size(); ++i) list[i] = part_of(parts[i]);
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

template <class T, class Attempt>
Task<Result<T>> UringSocket::receive(Attempt attempt) {
  if (++direct_run_ >= kDirectRun) {
    direct_run_ = 0;
    co_await yield();
  }
  while (!cancelled_) {
    if (!watch_.readable()) {
      direct_run_ = 0;
      co_await watch_;
      continue;
    }
    if (std::optional<Result<T>> got = attempt()) co_return *std::move(got);
  }
  co_return cancelled(peer_.address);
}

// --- streams ------------------------------------------------------------------------------------

void UringStream::Acknowledge::run() {
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

std::optional<Result<std::size_t>> UringStream::attempt(MutableBytes into) {
  ssize_t got = -1;
  do {
    got = ::recv(socket_.fd_, into.data(), into.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) {
    socket_.watch_.drained(false);
    return std::nullopt;
  }
  if (got < 0) return fail_errno(errno, "receive from " + socket_.peer_.address);
  if (static_cast<std::size_t>(got) < into.size()) socket_.watch_.drained(true);
  if (quick_) ring().put_off(acknowledge_);
  return static_cast<std::size_t>(got);
}

Task<Result<std::size_t>> UringStream::read(MutableBytes into) {
  return socket_.receive<std::size_t>([this, into] { return attempt(into); });
}

Result<std::optional<std::size_t>> UringStream::read_now(MutableBytes into) {
  if (socket_.cancelled_) return cancelled(socket_.peer_.address);
  auto got = attempt(into);
  if (!got) return std::optional<std::size_t>();
  return *std::move(got);
}

template <std::size_t kMost>
UringStream::Gather<kMost>::Gather(std::span<const ByteView> pieces) {
  CAPSTAN_ASSERT(pieces.size() <= kMost);
  for (const ByteView piece : pieces) {
    if (!piece.empty()) list_[count_++] = part_of(piece);
  }
}

template <std::size_t kMost>
msghdr UringStream::Gather<kMost>::header() {
  msghdr header{};
  header.msg_iov = list_.data() + at_;
  header.msg_iovlen = count_ - at_;
  return header;
}

template <std::size_t kMost>
ssize_t UringStream::Gather<kMost>::send_now(int fd) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (count_ - at_ == 1) return ::send(fd, list_[at_].iov_base, list_[at_].iov_len, kFlags);
  const msghdr message = header();
  return ::sendmsg(fd, &message, kFlags);
}

template <std::size_t kMost>
void UringStream::Gather<kMost>::prepare(io_uring_sqe* sqe, int fd, msghdr& header) {
  if (count_ - at_ == 1) {
    io_uring_prep_send(sqe, fd, list_[at_].iov_base, list_[at_].iov_len, MSG_NOSIGNAL);
  } else {
    io_uring_prep_sendmsg(sqe, fd, &header, MSG_NOSIGNAL);
  }
}

template <std::size_t kMost>
void UringStream::Gather<kMost>::sent(std::size_t bytes) {
  while (bytes != 0) {
    iovec& first = list_[at_];
    const std::size_t here = std::min(bytes, first.iov_len);
    first.iov_base = static_cast<std::uint8_t*>(first.iov_base) + here;
    first.iov_len -= here;
    bytes -= here;
    if (first.iov_len == 0) ++at_;
  }
}

template <std::size_t kMost>
Task<Result<void>> UringStream::send(Gather<kMost> gather) {
  while (!gather.empty() && !socket_.cancelled_) {
    ssize_t sent = gather.send_now(socket_.fd_);
    int error = sent < 0 ? errno : 0;
    if (error == EAGAIN) {
      msghdr header = gather.header();
      gather.prepare(ring().prepare(socket_.writing_), socket_.fd_, header);
      sent = co_await socket_.writing_;
      error = sent < 0 ? static_cast<int>(-sent) : 0;
    }
    if (error == EINTR || error == EAGAIN) continue;
    if (socket_.cancelled_) break;
    if (error != 0) co_return fail_errno(error, "send to " + socket_.peer_.address);
    acknowledge_.drop();  // it went along
    gather.sent(static_cast<std::size_t>(sent));
  }
  if (socket_.cancelled_) co_return cancelled(socket_.peer_.address);
  co_return Result<void>();
}

Task<Result<void>> UringStream::write_kept(std::span<const ByteView> pieces,
                                           std::shared_ptr<const void> owner) {
  const auto memory = std::move(owner);
  Gather<kPiecesMax> gather(pieces);
  if (!sends_) sends_ = std::make_shared<KeptSends>();
  while (!gather.empty() && !socket_.cancelled_) {
    if (kept_bytes() == SIZE_MAX) co_return co_await send(gather);
    const msghdr header = gather.header();
    io_uring_sqe* sqe = ring().prepare_kept(socket_.writing_, memory, sends_);
    io_uring_prep_sendmsg_zc(sqe, socket_.fd_, &header, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->ioprio = kReportUsage;
    const int sent = co_await socket_.writing_;
    if (socket_.cancelled_) break;
    if (sent > 0) {
      acknowledge_.drop();
      gather.sent(static_cast<std::size_t>(sent));
    } else if (sent != -EINTR && sent != -EAGAIN) {
      // Too old a kernel, a network that cannot, too much locked memory: if it is the connection
      // that is broken, the plain send finds that out.
      kept_bytes_ = SIZE_MAX;
    }
  }
  if (socket_.cancelled_) co_return cancelled(socket_.peer_.address);
  co_return Result<void>();
}

std::size_t UringStream::kept_bytes() const {
  return sends_ && sends_->copied ? SIZE_MAX : kept_bytes_;
}

// Nobody waits any more for what the peer has not acknowledged, but the kernel would go on reading
// it, for minutes if the peer is gone. So the connection is to be reset when it is closed.
void UringStream::let_go() {
  kept_bytes_ = kept_bytes();
  const auto sends = std::exchange(sends_, nullptr);
  if (!sends || sends->outstanding == 0) return;
  const linger reset{1, 0};
  setsockopt(socket_.fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
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

std::optional<Result<UringPacketSocket::Packet>> UringPacketSocket::attempt(
    std::span<const MutableBytes> parts) {
  std::array<iovec, kPartsMax> scatter;  // filled below
  msghdr message = header_of(parts, scatter);
  const ssize_t got = ::recvmsg(socket_.fd_, &message, MSG_DONTWAIT);
  const int error = got < 0 ? errno : 0;
  if (error == EAGAIN) socket_.watch_.drained(false);
  if (error == EINTR || error == EAGAIN) return std::nullopt;
  if (error != 0) return fail_errno(error, "receive from " + socket_.peer_.address);
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return fail(Code::kOutOfRange, "a packet from " + socket_.peer_.address +
                                       " is larger than the " + std::to_string(got) +
                                       " bytes there is room for");
  }
  return got == 0 ? Packet() : Packet(static_cast<std::size_t>(got));
}

Task<Result<std::optional<std::size_t>>> UringPacketSocket::receive(
    std::span<const MutableBytes> parts) {
  return socket_.receive<Packet>([this, parts] { return attempt(parts); });
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
