// Why this file exists: how TCP and Unix sockets come to be connected: addresses, listeners, who
// the peer is. What happens on them afterwards is core/uring_stream.h's.
#include "core/uring_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/uring_reactor.h"
#include "core/uring_stream.h"

namespace capstan::core {

namespace {

// Listeners do not block; what they accept does not inherit that.
constexpr int kListening = SOCK_CLOEXEC | SOCK_NONBLOCK;

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// "@name": Linux's abstract namespace, which has no files and so no permissions.
bool is_abstract(const Address& address) {
  return address.kind == Address::Kind::kUnix && address.path.size() > 1 &&
         address.path.starts_with('@');
}

Result<SocketAddress> encode(const Address& address) {
  SocketAddress out;
  if (address.kind == Address::Kind::kUnix) {
    auto& un = reinterpret_cast<sockaddr_un&>(out.storage);
    static_assert(kSocketPathBytesMax == sizeof un.sun_path - 1);
    if (address.path.empty() || address.path.size() > kSocketPathBytesMax) {
      return fail(Code::kInvalidArgument, "socket path '" + address.path + "' must have 1 to " +
                                              std::to_string(kSocketPathBytesMax) + " bytes");
    }
    un.sun_family = AF_UNIX;
    address.path.copy(un.sun_path, address.path.size());
    out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
    if (is_abstract(address)) {  // a zero byte, the name, and no zero byte at its end
      un.sun_path[0] = '\0';
      --out.length;
    }
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

PeerInfo peer_of(int fd, std::string listener = {}) {
  PeerInfo peer;
  peer.listener = std::move(listener);
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

// Which file a path names, to know it again.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
  static FileIdentity of(const std::string& path) {
    struct stat info{};
    if (lstat(path.c_str(), &info) != 0) return {};
    return {info.st_dev, info.st_ino};
  }
};

// A descriptor that listens, and what it listens on.
struct Bound {
  int fd = -1;
  Address local;
  FileIdentity file;  // Unix: the socket file
};

template <class Interface, class Implementation>
class UringListener final : public Listener<Interface> {
 public:
  UringListener(Bound bound, std::size_t kept_bytes)
      : fd_(bound.fd),
        local_(std::move(bound.local)),
        local_text_(local_.text()),
        file_(bound.file),
        kept_bytes_(kept_bytes) {}
  ~UringListener() override {
    CAPSTAN_ASSERT(!accepting_.in_flight());
    // Removed while it still listens: whoever finds the path gone or refused sees one order only.
    if (local_.kind == Address::Kind::kUnix && !is_abstract(local_) &&
        FileIdentity::of(local_.path) == file_) {
      unlink(local_.path.c_str());
    }
    close(fd_);
  }
  const Address& local() const override { return local_; }

  Task<Result<std::unique_ptr<Interface>>> accept() override {
    if (++direct_run_ >= kDirectRun) {
      direct_run_ = 0;
      co_await yield();
    }
    while (!cancelled_) {
      // Many that wait are taken in one turn: turns are long while I/O runs.
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) co_return accepted(fd);
      int error = errno;
      if (error == EAGAIN) {
        direct_run_ = 0;
        io_uring_prep_poll_add(ring().prepare(accepting_), fd_, POLLIN);
        const int events = co_await accepting_;
        if (events >= 0) continue;
        error = -events;
      }
      if (error == EINTR || error == ECONNABORTED) continue;
      if (cancelled_) break;
      co_return fail_errno(error, "accept on " + local_.text());
    }
    co_return fail(Code::kCancelled, "listener " + local_.text() + " was closed", ECANCELED);
  }

  void cancel() override {
    cancelled_ = true;
    ring().request_cancel(accepting_);
  }

 private:
  std::unique_ptr<Interface> accepted(int fd) const {
    if constexpr (std::is_same_v<Implementation, UringStream>) {
      return std::make_unique<UringStream>(fd, peer_of(fd, local_text_), kept_bytes_);
    } else {
      return std::make_unique<Implementation>(fd, peer_of(fd, local_text_));
    }
  }

  int fd_;
  Address local_;
  std::string local_text_;  // for every accepted socket
  FileIdentity file_;
  std::size_t kept_bytes_;
  UringOp accepting_;
  unsigned direct_run_ = 0;
  bool cancelled_ = false;
};

struct OwnedFd {
  int fd = -1;
  ~OwnedFd() {
    if (fd >= 0) close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

std::unexpected<Error> in_use(const Address& address, int err) {
  return fail(Code::kAlreadyExists,
              "cannot listen on " + address.text() +
                  ": it is in use; stop the other program or choose another address",
              err);
}

// Makes room at a Unix path as `existing` says; an error when it must stay as it is.
Result<void> clear_path(const Address& address, const SocketAddress& target, int type,
                        ExistingPath existing) {
  struct stat info{};
  if (lstat(address.path.c_str(), &info) != 0) return {};  // bind says what is wrong, if anything
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Code::kAlreadyExists,
                "cannot listen on " + address.text() +
                    ": something that is not a socket is there; remove it or choose another path",
                EEXIST);
  }
  if (existing == ExistingPath::kFail) return in_use(address, EADDRINUSE);
  if (existing == ExistingPath::kReplaceStale) {
    const OwnedFd probe{socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (probe.fd < 0) return fail_errno(errno, "make a socket for " + address.text());
    const int err = connect(probe.fd, target.get(), target.length) == 0 ? 0 : errno;
    // A full backlog and a socket of another type have somebody behind them, too.
    if (err == 0 || err == EAGAIN || err == EPROTOTYPE) return in_use(address, EADDRINUSE);
    if (err == ENOENT) return {};
    if (err != ECONNREFUSED) return fail_errno(err, "see who listens on " + address.text());
  }
  if (unlink(address.path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove the old socket " + address.text());
  }
  return {};
}

Result<Bound> listen_unix(const Address& address, int type, const ListenOptions& options) {
  TRY_SET(const SocketAddress target, encode(address));
  if (options.mode == 0 || options.mode > 0777) {
    return fail(Code::kInvalidArgument,
                "the mode of " + address.text() + " must be given as permissions, like 0600");
  }
  OwnedFd owned{socket(AF_UNIX, type | kListening, 0)};
  if (owned.fd < 0) return fail_errno(errno, "make a socket for " + address.text());
  if (is_abstract(address)) {
    if (bind(owned.fd, target.get(), target.length) != 0 || listen(owned.fd, SOMAXCONN) != 0) {
      return errno == EADDRINUSE ? in_use(address, errno)
                                 : fail_errno(errno, "listen on " + address.text());
    }
    return Bound{owned.release(), address, {}};
  }
  TRY(clear_path(address, target, type, options.existing));
  // The mode before bind leaves no moment with a wider one; after it, it undoes the umask.
  if (fchmod(owned.fd, options.mode) != 0) {
    return fail_errno(errno, "set the mode of " + address.text());
  }
  if (bind(owned.fd, target.get(), target.length) != 0) {
    return errno == EADDRINUSE ? in_use(address, errno)
                               : fail_errno(errno, "listen on " + address.text());
  }
  const FileIdentity file = FileIdentity::of(address.path);
  if (chmod(address.path.c_str(), options.mode) != 0 || listen(owned.fd, SOMAXCONN) != 0) {
    const int err = errno;
    if (FileIdentity::of(address.path) == file) unlink(address.path.c_str());
    return fail_errno(err, "listen on " + address.text());
  }
  return Bound{owned.release(), address, file};
}

Result<Bound> listen_tcp(const Address& address) {
  TRY_SET(SocketAddress target, encode(address));
  OwnedFd owned{socket(target.storage.ss_family, SOCK_STREAM | kListening, 0)};
  if (owned.fd < 0) return fail_errno(errno, "make a socket for " + address.text());
  const int on = 1;
  setsockopt(owned.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(owned.fd, target.get(), target.length) != 0 || listen(owned.fd, SOMAXCONN) != 0) {
    return errno == EADDRINUSE ? in_use(address, errno)
                               : fail_errno(errno, "listen on " + address.text());
  }
  target.length = sizeof target.storage;
  const bool known = getsockname(owned.fd, target.get(), &target.length) == 0;
  return Bound{owned.release(), known ? decode(target) : address, {}};
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

Result<void> check_packet_address(const Address& address) {
  if (address.kind == Address::Kind::kUnix) return {};
  return fail(Code::kInvalidArgument, "packets need a Unix socket, not " + address.text());
}

class UringNetwork final : public Network {
 public:
  explicit UringNetwork(std::size_t kept_bytes) : kept_bytes_(kept_bytes) {}
  Result<std::unique_ptr<StreamListener>> listen(const Address& address,
                                                 const ListenOptions& options) override {
    const bool tcp = address.kind == Address::Kind::kTcp;
    TRY_SET(Bound bound, tcp ? listen_tcp(address) : listen_unix(address, SOCK_STREAM, options));
    return std::make_unique<UringListener<Stream, UringStream>>(std::move(bound),
                                                                tcp ? kept_bytes_ : SIZE_MAX);
  }
  Result<std::unique_ptr<PacketListener>> listen_packets(const Address& address,
                                                         const ListenOptions& options) override {
    TRY(check_packet_address(address));
    TRY_SET(Bound bound, listen_unix(address, SOCK_SEQPACKET, options));
    return std::make_unique<UringListener<PacketSocket, UringPacketSocket>>(std::move(bound),
                                                                            SIZE_MAX);
  }
  Task<Result<std::unique_ptr<Stream>>> connect(Address address, CancelToken token) override {
    CO_TRY_SET(const int fd, co_await connect_to(std::move(address), SOCK_STREAM, token));
    co_return std::make_unique<UringStream>(fd, peer_of(fd));
  }
  Task<Result<std::unique_ptr<PacketSocket>>> connect_packets(Address address,
                                                              CancelToken token) override {
    CO_TRY(check_packet_address(address));
    CO_TRY_SET(const int fd, co_await connect_to(std::move(address), SOCK_SEQPACKET, token));
    co_return std::make_unique<UringPacketSocket>(fd, peer_of(fd));
  }

 private:
  std::size_t kept_bytes_;
};

}  // namespace

std::unique_ptr<Network> make_uring_network(std::size_t kept_bytes) {
  return std::make_unique<UringNetwork>(kept_bytes);
}

}  // namespace capstan::core
