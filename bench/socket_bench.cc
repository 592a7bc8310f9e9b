// Why this file exists: what one small request on a kept TCP connection costs a server in the
// kernel, by the ways in which a reactor can receive and send: epoll as nginx uses it, the forms of
// io_uring, and at the end core::Stream on the reactor itself. Every server is a process that
// answers fixed bytes to whatever it receives, so nothing but the socket path is left; they take
// turns in one run. The client is the same for all and counts as nothing: only the servers' CPU
// time is printed, as microseconds for a request and as multiple of epoll's.
//
//   socket_bench [ROUNDS] [SECONDS]
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/os_socket.h"
#include "core/scope.h"
#include "core/uring_env.h"

using namespace capstan;

namespace {

constexpr std::size_t kRequestBytes = 100;
constexpr std::size_t kAnswerBytes = 200;
constexpr std::size_t kRoomBytes = 4096;
const std::array<char, kAnswerBytes> kAnswer{};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(EXIT_FAILURE);
}

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void answer(int fd) {
  if (send(fd, kAnswer.data(), kAnswer.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) give_up("send");
}

std::vector<int> accept_all(int listener, unsigned count) {
  std::vector<int> fds;
  while (fds.size() < count) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) give_up("accept");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fds.push_back(fd);
  }
  return fds;
}

// --- epoll --------------------------------------------------------------------------------------

void serve_blocking(int listener, unsigned) {
  const int fd = accept_all(listener, 1).front();
  std::array<char, kRoomBytes> room;
  while (recv(fd, room.data(), room.size(), 0) > 0) answer(fd);
}

void serve_epoll(int listener, unsigned count) {
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : accept_all(listener, count)) {
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = fd}};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  }
  std::array<epoll_event, 512> events;
  std::array<char, kRoomBytes> room;
  for (unsigned left = count; left != 0;) {
    const int found = epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < found; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      const ssize_t got = recv(fd, room.data(), room.size(), MSG_DONTWAIT);
      if (got > 0) {
        answer(fd);
      } else if (got == 0) {
        close(fd);
        --left;
      }
    }
  }
}

// --- io_uring -----------------------------------------------------------------------------------

enum class Receive : std::uint8_t { kOne, kPollFirst, kMultishotPoll, kMultishot };

struct RingServer {
  struct Connection {
    int fd;
    bool ended = false;
    std::array<char, kRoomBytes> room;
  };
  static constexpr unsigned kBuffers = 256;
  static constexpr int kGroup = 1;

  RingServer(Receive receive, bool send_in_ring) : receive_(receive), send_in_ring_(send_in_ring) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
    params.cq_entries = 8192;
    if (io_uring_queue_init_params(1024, &ring_, &params) != 0) give_up("io_uring");
    io_uring_register_ring_fd(&ring_);
    if (receive == Receive::kMultishot) make_buffers();
  }

  void make_buffers() {
    const std::size_t size = kBuffers * sizeof(io_uring_buf);
    buffers_ = static_cast<io_uring_buf_ring*>(std::aligned_alloc(4096, size));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(buffers_);
    registration.ring_entries = kBuffers;
    registration.bgid = kGroup;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) != 0) give_up("buffers");
    io_uring_buf_ring_init(buffers_);
    memory_.resize(kBuffers * kRoomBytes);
    for (unsigned i = 0; i < kBuffers; ++i) give_back(i);
  }

  void give_back(unsigned id) {
    io_uring_buf_ring_add(buffers_, memory_.data() + id * kRoomBytes, kRoomBytes,
                          static_cast<unsigned short>(id), io_uring_buf_ring_mask(kBuffers), 0);
    io_uring_buf_ring_advance(buffers_, 1);
  }

  io_uring_sqe* entry(void* data) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (!sqe) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    sqe->user_data = reinterpret_cast<std::uint64_t>(data);
    return sqe;
  }

  void arm(Connection& connection) {
    io_uring_sqe* sqe = entry(&connection);
    switch (receive_) {
      case Receive::kOne:
      case Receive::kPollFirst:
        io_uring_prep_recv(sqe, connection.fd, connection.room.data(), kRoomBytes, 0);
        if (receive_ == Receive::kPollFirst) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
        break;
      case Receive::kMultishotPoll:
        io_uring_prep_poll_multishot(sqe, connection.fd, POLLIN | POLLRDHUP);
        break;
      case Receive::kMultishot:
        io_uring_prep_recv_multishot(sqe, connection.fd, nullptr, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = kGroup;
        break;
    }
  }

  void reply(const Connection& connection) {
    if (!send_in_ring_) return answer(connection.fd);
    io_uring_prep_send(entry(nullptr), connection.fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
  }

  // False when the connection ends with it.
  bool take(Connection& connection, const io_uring_cqe& cqe) {
    if (connection.ended) return true;
    const bool armed = (cqe.flags & IORING_CQE_F_MORE) != 0;
    ssize_t got = cqe.res;
    if (receive_ == Receive::kMultishotPoll) {
      got = recv(connection.fd, connection.room.data(), kRoomBytes, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return true;
    }  // all is answered before the client ends, so bytes and the end never come together
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) give_back(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    if (got == 0) return !(connection.ended = true);
    if (got > 0) reply(connection);
    if (!armed) arm(connection);
    return true;
  }

  void serve(int listener, unsigned count) {
    for (const int fd : accept_all(listener, count)) {
      connections_.push_back(std::make_unique<Connection>());
      connections_.back()->fd = fd;
      arm(*connections_.back());
    }
    for (unsigned left = count; left != 0;) {
      io_uring_submit_and_wait(&ring_, 1);
      unsigned head = 0, seen = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        auto* connection = reinterpret_cast<Connection*>(cqe->user_data);
        if (connection && !take(*connection, *cqe)) --left;
      }
      io_uring_cq_advance(&ring_, seen);
    }
  }

  Receive receive_;
  bool send_in_ring_;
  io_uring ring_{};
  io_uring_buf_ring* buffers_ = nullptr;
  std::vector<char> memory_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

template <Receive kReceive, bool kSendInRing>
void serve_ring(int listener, unsigned count) {
  RingServer(kReceive, kSendInRing).serve(listener, count);
}

// --- the reactor --------------------------------------------------------------------------------

core::Task<void> talk(std::unique_ptr<core::Stream> stream) {
  std::array<std::uint8_t, kRoomBytes> room;
  const ByteView reply(reinterpret_cast<const std::uint8_t*>(kAnswer.data()), kAnswer.size());
  while (true) {
    const auto got = co_await stream->read(room);
    if (!got || *got == 0) co_return;
    const auto sent = co_await stream->write(reply);
    if (!sent) co_return;
  }
}

core::Task<void> serve_streams(core::Env& env, unsigned count, int port_to, bool at_once) {
  auto listener = env.network().listen(core::Address::tcp("127.0.0.1", 0));
  if (!listener) give_up("listen");
  const std::uint16_t port = (*listener)->local().port;
  if (write(port_to, &port, sizeof port) != sizeof port) give_up("pipe");
  core::Scope scope;
  for (unsigned i = 0; i < count; ++i) {
    auto stream = co_await (*listener)->accept();
    if (!stream) give_up("accept");
    if (at_once) core::acknowledge_at_once(**stream);
    scope.spawn(talk(*std::move(stream)));
  }
  co_await scope.join();
}

// --- one server and its load --------------------------------------------------------------------

struct Variant {
  const char* name;
  void (*serve)(int listener, unsigned count);  // null: the reactor
  int poll_us = 0;                              // of the reactor
  bool one = false;                             // for one connection only
  bool at_once = false;                         // of the reactor: core::acknowledge_at_once()
};

constexpr Variant kVariants[] = {
    {"epoll_wait, recv, send", serve_epoll},
    {"blocking recv, send", serve_blocking, 0, true},
    {"ring: recv; send(2)", serve_ring<Receive::kOne, false>},
    {"ring: recv; send in the ring", serve_ring<Receive::kOne, true>},
    {"ring: recv, polled first; send(2)", serve_ring<Receive::kPollFirst, false>},
    {"ring: multishot poll, recv(2); send(2)", serve_ring<Receive::kMultishotPoll, false>},
    {"ring: multishot recv; send(2)", serve_ring<Receive::kMultishot, false>},
    {"ring: multishot recv; send in the ring", serve_ring<Receive::kMultishot, true>},
    {"core::Stream", nullptr},
    {"core::Stream, acknowledging at once", nullptr, 0, false, true},
    {"core::Stream, --poll-us 20", nullptr, 20},
};

void serve_variant(const Variant& variant, unsigned count, int port_to) {
  if (!variant.serve) {
    auto env = core::UringEnv::create({.cores = 1, .poll_us = variant.poll_us, .on_stall = {}});
    if (!env) give_up("io_uring");
    return (*env)->run(serve_streams(**env, count, port_to, variant.at_once));
  }
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, size) != 0 || listen(listener, 1024) != 0) give_up("listen");
  getsockname(listener, generic, &size);
  const std::uint16_t port = ntohs(address.sin_port);
  if (write(port_to, &port, sizeof port) != sizeof port) give_up("pipe");
  variant.serve(listener, count);
}

int connect_to(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// Requests answered in `seconds`, one at a time on each connection.
std::uint64_t drive(const std::vector<int>& fds, double seconds) {
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  const std::array<char, kRequestBytes> request{};
  const auto ask = [&](int fd) {
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) give_up("client's send");
  };
  for (const int fd : fds) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    ask(fd);
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::array<epoll_event, 512> events;
  std::array<char, kRoomBytes> room;
  std::uint64_t answered = 0;
  bool over = false;
  for (std::size_t asked = fds.size(); asked != 0;) {
    over = over || std::chrono::steady_clock::now() >= until;
    const int found = epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < found; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (recv(fd, room.data(), room.size(), MSG_DONTWAIT) <= 0) give_up("client's recv");
      ++answered;
      over ? void(--asked) : ask(fd);
    }
  }
  close(poller);
  return answered;
}

struct Measured {
  double cpu_us, per_second;
};

Measured measure(const Variant& variant, unsigned count, int server_core, double seconds) {
  int ready[2];
  if (pipe(ready) != 0) give_up("pipe");
  const pid_t child = fork();
  if (child == 0) {
    pin(server_core);
    serve_variant(variant, count, ready[1]);
    _exit(0);
  }
  std::uint16_t port = 0;
  if (read(ready[0], &port, sizeof port) != sizeof port) give_up("no port");
  close(ready[0]);
  close(ready[1]);
  std::vector<int> fds;
  for (unsigned i = 0; i < count; ++i) fds.push_back(connect_to(port));
  const std::uint64_t answered = drive(fds, seconds);
  for (const int fd : fds) close(fd);
  rusage used{};
  if (wait4(child, nullptr, 0, &used) != child) give_up("wait for the server");
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return {(micros(used.ru_utime) + micros(used.ru_stime)) / static_cast<double>(answered),
          static_cast<double>(answered) / seconds};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void compare(unsigned count, bool shared_core, unsigned rounds, double seconds) {
  std::printf("%u connection%s, server and client on %s\n", count, count == 1 ? "" : "s",
              shared_core ? "one core" : "a core each");
  std::vector<std::vector<double>> cpu(std::size(kVariants)), rate(std::size(kVariants));
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < std::size(kVariants); ++i) {
      if (kVariants[i].one && count != 1) continue;
      const Measured found = measure(kVariants[i], count, shared_core ? 0 : 1, seconds);
      cpu[i].push_back(found.cpu_us);
      rate[i].push_back(found.per_second);
    }
  }
  for (std::size_t i = 0; i < std::size(kVariants); ++i) {
    if (cpu[i].empty()) continue;
    std::printf("  %-40s %6.2f us CPU  %5.2f of epoll's  %8.0f/s\n", kVariants[i].name,
                median(cpu[i]), median(cpu[i]) / median(cpu[0]), median(rate[i]));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 5;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.5;
  pin(0);
  compare(64, false, rounds, seconds);
  compare(1, true, rounds, seconds);
  return EXIT_SUCCESS;
}
