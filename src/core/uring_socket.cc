// Why this file exists: TCP and Unix sockets through io_uring. Sending and receiving are first
// tried directly (MSG_DONTWAIT): when it works it costs one system call and no completion; only
// what would block becomes a request in the ring. After a run of such direct successes the
// coroutine yields, so one busy connection does not starve the others.
#include "core/uring_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "core/uring_reactor.h"

namespace capstan::core {

namespace {

constexpr unsigned kDirectRun = 32;  // direct successes before a yield
constexpr int kBacklog = 512;

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

std::unexpected<Error> cancelled(const std::string& peer) {
  return fail(Code::kCancelled, "connection with " + peer + " was cancelled", ECANCELED);
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SocketAddress> encode(const Address& address) {
  SocketAddress out;
  if (address.kind == Address::Kind::kUnix) {
    auto& un = reinterpret_cast<sockaddr_un&>(out.storage);
    if (address.path.empty() || address.path.size() >= sizeof un.sun_path) {
      return fail(Code::kInvalidArgument, "socket path '" + address.path + "' must have 1 to " +
                                              std::to_string(sizeof un.sun_path - 1) + " bytes");
    }
    un.sun_family = AF_UNIX;
    address.path.copy(un.sun_path, address.path.size());
    out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
    return out;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    out.length = sizeof v4;
  } else if (inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    out.length = sizeof v6;
  } else {
    return fail(Code::kInvalidArgument, "'" + address.host + "' is not a numeric IP address");
  }
  return out;
}

Address decode(const SocketAddress& from) {
  char text[INET6_ADDRSTRLEN] = {};
  if (from.storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from.storage);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return Address::tcp(text, ntohs(v4.sin_port));
  }
  if (from.storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from.storage);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return Address::tcp(text, ntohs(v6.sin6_port));
  }
  const auto& un = reinterpret_cast<const sockaddr_un&>(from.storage);
  const bool named = from.length > offsetof(sockaddr_un, sun_path);
  return Address::unix_path(named ? un.sun_path : "");
}

PeerInfo peer_of(int fd) {
  PeerInfo peer;
  SocketAddress address;
  address.length = sizeof address.storage;
  if (getpeername(fd, address.get(), &address.length) == 0) peer.address = decode(address).text();
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (address.storage.ss_family == AF_UNIX &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    peer.pid = static_cast<std::uint32_t>(credentials.pid);
  }
  return peer;
}

// What streams and packet sockets share: the descriptor, its requests in the ring, cancellation.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd), peer_(peer_of(fd)) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on Unix sockets: no matter
  }
  ~Socket() {
    CAPSTAN_ASSERT(!reading_.in_flight() && !writing_.in_flight());
    close(fd_);
  }
  void cancel() {
    cancelled_ = true;
    ring().request_cancel(reading_);
    ring().request_cancel(writing_);
  }

  int fd_;
  PeerInfo peer_;
  UringOp reading_, writing_;
  bool cancelled_ = false;
  unsigned direct_run_ = 0;
};

class UringStream final : public Stream {
 public:
  explicit UringStream(int fd) : socket_(fd) {}
  const PeerInfo& peer() const override { return socket_.peer_; }

  Task<Result<std::size_t>> read(MutableBytes into) override {
    if (++socket_.direct_run_ >= kDirectRun) {
      socket_.direct_run_ = 0;
      co_await yield();
    }
    while (!socket_.cancelled_) {
      ssize_t got = ::recv(socket_.fd_, into.data(), into.size(), MSG_DONTWAIT);
      int error = got < 0 ? errno : 0;
      if (error == EAGAIN) {
        socket_.direct_run_ = 0;
        io_uring_prep_recv(ring().prepare(socket_.reading_), socket_.fd_, into.data(), into.size(),
                           0);
        got = co_await socket_.reading_;
        error = got < 0 ? static_cast<int>(-got) : 0;
      }
      if (error == EINTR || error == EAGAIN) continue;
      if (socket_.cancelled_) break;
      if (error != 0) co_return fail_errno(error, "receive from " + socket_.peer_.address);
      co_return static_cast<std::size_t>(got);
    }
    co_return cancelled(socket_.peer_.address);
  }

  Task<Result<void>> write(ByteView from) override {
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
      from = from.subspan(static_cast<std::size_t>(sent));
    }
    if (socket_.cancelled_) co_return cancelled(socket_.peer_.address);
    co_return Result<void>();
  }

  void shutdown_write() override { shutdown(socket_.fd_, SHUT_WR); }
  void cancel() override { socket_.cancel(); }

 private:
  Socket socket_;
};

class UringPacketSocket final : public PacketSocket {
 public:
  explicit UringPacketSocket(int fd) : socket_(fd) {}
  const PeerInfo& peer() const override { return socket_.peer_; }

  Task<Result<std::optional<std::size_t>>> receive(MutableBytes into) override {
    while (!socket_.cancelled_) {
      iovec part{into.data(), into.size()};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      io_uring_prep_recvmsg(ring().prepare(socket_.reading_), socket_.fd_, &message, 0);
      const int got = co_await socket_.reading_;
      if (got == -EINTR || got == -EAGAIN) continue;
      if (socket_.cancelled_) break;
      if (got < 0) co_return fail_errno(-got, "receive from " + socket_.peer_.address);
      if ((message.msg_flags & MSG_TRUNC) != 0) {
        co_return fail(Code::kOutOfRange, "packet from " + socket_.peer_.address +
                                              " is larger than " + std::to_string(into.size()) +
                                              " bytes");
      }
      // The end of the stream and an empty packet look alike here; no protocol of ours sends one.
      if (got == 0) co_return std::optional<std::size_t>();
      co_return std::optional<std::size_t>(static_cast<std::size_t>(got));
    }
    co_return cancelled(socket_.peer_.address);
  }

  Task<Result<void>> send(std::vector<ByteView> parts) override {
    std::vector<iovec> gather;
    std::size_t total = 0;
    for (const auto& part : parts) {
      gather.push_back({const_cast<std::uint8_t*>(part.data()), part.size()});
      total += part.size();
    }
    msghdr message{};
    message.msg_iov = gather.data();
    message.msg_iovlen = gather.size();
    while (!socket_.cancelled_) {
      io_uring_prep_sendmsg(ring().prepare(socket_.writing_), socket_.fd_, &message, MSG_NOSIGNAL);
      const int sent = co_await socket_.writing_;
      if (sent == -EINTR || sent == -EAGAIN) continue;
      if (socket_.cancelled_) break;
      if (sent < 0) co_return fail_errno(-sent, "send to " + socket_.peer_.address);
      CAPSTAN_ASSERT(static_cast<std::size_t>(sent) == total);  // packets are all or nothing
      co_return Result<void>();
    }
    co_return cancelled(socket_.peer_.address);
  }

  void cancel() override { socket_.cancel(); }

 private:
  Socket socket_;
};

template <class Interface, class Implementation>
class UringListener final : public Listener<Interface> {
 public:
  UringListener(int fd, Address local) : fd_(fd), local_(std::move(local)) {}
  ~UringListener() override {
    CAPSTAN_ASSERT(!accepting_.in_flight());
    close(fd_);
    if (local_.kind == Address::Kind::kUnix) unlink(local_.path.c_str());
  }
  const Address& local() const override { return local_; }

  Task<Result<std::unique_ptr<Interface>>> accept() override {
    while (!cancelled_) {
      io_uring_prep_accept(ring().prepare(accepting_), fd_, nullptr, nullptr, SOCK_CLOEXEC);
      const int fd = co_await accepting_;
      if (fd >= 0) co_return std::make_unique<Implementation>(fd);
      if (fd == -EINTR || fd == -EAGAIN || fd == -ECONNABORTED) continue;
      if (cancelled_) break;
      co_return fail_errno(-fd, "accept on " + local_.text());
    }
    co_return fail(Code::kCancelled, "listener " + local_.text() + " was closed", ECANCELED);
  }

  void cancel() override {
    cancelled_ = true;
    ring().request_cancel(accepting_);
  }

 private:
  int fd_;
  Address local_;
  UringOp accepting_;
  bool cancelled_ = false;
};

struct OwnedFd {
  int fd = -1;
  ~OwnedFd() {
    if (fd >= 0) close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

std::unexpected<Error> bind_failed(int err, const Address& address) {
  if (err != EADDRINUSE) return fail_errno(err, "listen on " + address.text());
  return fail(Code::kAlreadyExists,
              "cannot listen on " + address.text() +
                  ": it is in use; stop the other program or choose another address",
              err);
}

Result<int> listen_on(const Address& address, int type, Address& local) {
  TRY_SET(SocketAddress target, encode(address));
  OwnedFd owned{socket(target.storage.ss_family, type | SOCK_CLOEXEC, 0)};
  if (owned.fd < 0) return fail_errno(errno, "make a socket for " + address.text());
  const int on = 1;
  if (address.kind == Address::Kind::kTcp) {
    setsockopt(owned.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (bind(owned.fd, target.get(), target.length) != 0) return bind_failed(errno, address);
  if (address.kind == Address::Kind::kUnix && chmod(address.path.c_str(), 0600) != 0) {
    return fail_errno(errno, "set the mode of " + address.text());
  }
  if (listen(owned.fd, kBacklog) != 0) return bind_failed(errno, address);
  target.length = sizeof target.storage;
  local = address;
  if (address.kind == Address::Kind::kTcp &&
      getsockname(owned.fd, target.get(), &target.length) == 0) {
    local = decode(target);
  }
  return owned.release();
}

Task<Result<int>> connect_to(Address address, int type, CancelToken token) {
  CO_TRY(token.check());
  auto encoded = encode(address);
  if (!encoded) co_return std::unexpected(encoded.error());
  SocketAddress target = *encoded;
  OwnedFd owned{socket(target.storage.ss_family, type | SOCK_CLOEXEC, 0)};
  if (owned.fd < 0) co_return fail_errno(errno, "make a socket for " + address.text());
  UringOp op;
  io_uring_prep_connect(ring().prepare(op), owned.fd, target.get(), target.length);
  CancelCallback on_cancel(token, [&op] { ring().request_cancel(op); });
  const int rc = co_await op;
  CO_TRY(token.check());
  if (rc < 0) co_return fail_errno(-rc, "connect to " + address.text());
  co_return owned.release();
}

class UringNetwork final : public Network {
 public:
  Result<std::unique_ptr<StreamListener>> listen(const Address& address) override {
    Address local;
    TRY_SET(const int fd, listen_on(address, SOCK_STREAM, local));
    return std::make_unique<UringListener<Stream, UringStream>>(fd, std::move(local));
  }
  Result<std::unique_ptr<PacketListener>> listen_packets(const Address& address) override {
    Address local;
    TRY_SET(const int fd, listen_on(address, SOCK_SEQPACKET, local));
    return std::make_unique<UringListener<PacketSocket, UringPacketSocket>>(fd, std::move(local));
  }
  Task<Result<std::unique_ptr<Stream>>> connect(Address address, CancelToken token) override {
    CO_TRY_SET(const int fd, co_await connect_to(std::move(address), SOCK_STREAM, token));
    co_return std::make_unique<UringStream>(fd);
  }
  Task<Result<std::unique_ptr<PacketSocket>>> connect_packets(Address address,
                                                              CancelToken token) override {
    CO_TRY_SET(const int fd, co_await connect_to(std::move(address), SOCK_SEQPACKET, token));
    co_return std::make_unique<UringPacketSocket>(fd);
  }
};

}  // namespace

std::unique_ptr<Network> make_uring_network() {
  return std::make_unique<UringNetwork>();
}

}  // namespace capstan::core
