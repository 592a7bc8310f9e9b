// Why this file exists: see os_uevents.h.
#include "core/os_uevents.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/uring_reactor.h"

namespace capstan::core {
namespace {

constexpr unsigned kFromKernel = 1;            // the group that the kernel sends to
constexpr int kReceiveBufferBytes = 1U << 20;  // hundreds of messages: a shelf of disks at once

class Uevents final : public KernelMessages {
 public:
  explicit Uevents(int fd) : fd_(fd) {}
  ~Uevents() override {
    CAPSTAN_ASSERT(!receiving_.in_flight());
    close(fd_);
  }
  Uevents(const Uevents&) = delete;
  Uevents& operator=(const Uevents&) = delete;

  Task<Result<std::size_t>> next(MutableBytes into) override {
    auto& reactor = static_cast<UringReactor&>(*Reactor::current());
    while (!cancelled_) {
      sockaddr_nl sender{};
      iovec part{into.data(), into.size()};
      msghdr message{};
      message.msg_name = &sender;
      message.msg_namelen = sizeof sender;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      io_uring_prep_recvmsg(reactor.prepare(receiving_), fd_, &message, 0);
      const int rc = co_await receiving_;
      if (rc == -ENOBUFS) {
        co_return fail(Code::kResourceExhausted, "messages of the kernel were lost", ENOBUFS);
      }
      if (rc < 0 && rc != -EINTR && rc != -EAGAIN && !cancelled_) {
        co_return fail_errno(-rc, "receive a message of the kernel");
      }
      const bool kernel = message.msg_namelen == sizeof sender && sender.nl_family == AF_NETLINK &&
                          sender.nl_pid == 0;
      if (rc > 0 && kernel) co_return static_cast<std::size_t>(rc);
    }
    co_return fail(Code::kCancelled, "no longer listening to the kernel");
  }

  void cancel() override {
    cancelled_ = true;
    if (receiving_.in_flight()) {
      static_cast<UringReactor&>(*Reactor::current()).request_cancel(receiving_);
    }
  }

 private:
  int fd_;
  UringOp receiving_;
  bool cancelled_ = false;
};

}  // namespace

Result<std::unique_ptr<KernelMessages>> listen_uevents() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return fail_errno(errno, "make a socket for messages of the kernel");
  // More than the usual limit needs a right; without it the socket keeps less.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes, sizeof(int)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof(int));
  }
  sockaddr_nl group{};
  group.nl_family = AF_NETLINK;
  group.nl_groups = kFromKernel;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&group), sizeof group) != 0) {
    const int err = errno;
    close(fd);
    return fail_errno(err, "listen to messages of the kernel");
  }
  return std::make_unique<Uevents>(fd);
}

std::optional<bool> sysfs_has(BlockNumber number) {
  const std::string folder = "/sys/dev/block";
  const std::string disk = std::to_string(number.major) + ":" + std::to_string(number.minor);
  if (access((folder + "/" + disk).c_str(), F_OK) == 0) return true;
  if (errno != ENOENT || access(folder.c_str(), F_OK) != 0) return std::nullopt;
  return false;
}

}  // namespace capstan::core
