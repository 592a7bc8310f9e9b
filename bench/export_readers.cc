// Why this file exists: see export_readers.h.
#include "bench/export_readers.h"

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

#include "client/channel.h"
#include "core/uring_env.h"
#include "node/image.pb.h"

namespace capstan::bench {

namespace api = capstan::node::v1;

namespace {

constexpr int kSettleMs = 200, kWindowMs = 1500;
constexpr int kClientsNice = 15;

constexpr std::uint64_t kImageBytes = 128U << 20, kPartBytes = 1U << 20;

// Zeros would not travel.
core::Task<void> fill(core::Env* env, std::uint16_t port) {
  client::Channel channel(*env, {.address = core::Address::tcp("127.0.0.1", port)});
  auto call = co_await channel.stream<api::ImportImageRequest, api::ImportImageResponse>(
      "capstan.node.v1.ImageRpc/ImportImage", {});
  if (!call) give_up(call.error().text());
  api::ImportImageRequest part;
  part.mutable_header()->set_replica("r");
  part.mutable_header()->set_size_bytes(kImageBytes);
  auto sent = co_await call->send(part);
  for (std::uint64_t at = 0; sent && at < kImageBytes; at += kPartBytes) {
    part.mutable_data()->set_offset(at);
    part.mutable_data()->set_data(std::string(kPartBytes, 'd'));
    sent = co_await call->send(part);
  }
  const auto answer = co_await call->answer();
  if (!sent || !answer) give_up("the replica cannot be filled");
  co_await channel.close();
}

// --- the readers: processes of their own ---------------------------------------------------------

// ExportImage as the bytes of a client that takes as much as comes: everything fits its windows.
std::string export_request() {
  const auto frame = [](char type, char flags, char stream, const std::string& payload) {
    const auto size = payload.size();
    const char head[] = {static_cast<char>(size >> 16),
                         static_cast<char>(size >> 8),
                         static_cast<char>(size),
                         type,
                         flags,
                         0,
                         0,
                         0,
                         stream};
    return std::string(head, sizeof head) + payload;
  };
  const auto text = [](const std::string& value) { return char(value.size()) + value; };
  const std::string window("\x7f\xff\x00\x00", 4);
  std::string headers = "\x83\x86";  // POST, http
  headers += "\x04" + text("/capstan.node.v1.ImageRpc/ExportImage");
  headers += "\x01" + text("bench");
  headers += std::string(1, '\0') + text("content-type") + text("application/grpc");
  headers += std::string(1, '\0') + text("te") + text("trailers");
  api::ExportImageRequest request;
  request.set_replica("r");
  const std::string message = request.SerializeAsString();
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, std::string("\0\x04", 2) + window) +
         frame(8, 0, 0, window) + frame(1, 4, 1, headers) +
         frame(0, 1, 1, std::string(4, '\0') + text(message));
}

bool take(int socket, std::uint8_t* into, std::size_t size, int flags) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = recv(socket, into ? into + done : nullptr, size - done, flags);
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

// One export on a connection of its own; `bytes` counts what arrives while it does.
void export_once(std::uint16_t port, const std::string& request,
                 std::atomic<std::uint64_t>& bytes) {
  constexpr std::uint8_t kData = 0, kHeaders = 1, kSettings = 4, kEnd = 1, kAck = 1;
  const int socket = connect_port(port);
  if (send(socket, request.data(), request.size(), MSG_NOSIGNAL) < 0) give_up("no request");
  std::uint64_t sum = 0;
  std::uint8_t head[9], payload[1U << 14];
  while (take(socket, head, sizeof head, 0)) {
    const std::size_t size = static_cast<std::size_t>(head[0]) << 16U |
                             static_cast<std::size_t>(head[1]) << 8U | head[2];
    if (head[3] == kData) {
      if (!take(socket, nullptr, size, MSG_TRUNC)) break;
      sum += size;
      bytes += size;
      continue;
    }
    if (size > sizeof payload || !take(socket, payload, size, 0)) break;
    if (head[3] == kSettings && (head[4] & kAck) == 0) {
      send(socket, "\0\0\0\x04\x01\0\0\0\0", 9, MSG_NOSIGNAL);
    }
    if (head[3] == kHeaders && (head[4] & kEnd) != 0) {
      close(socket);
      if (sum < kImageBytes) give_up("an export was not complete");
      return;
    }
  }
  give_up("a reader lost its connection");
}

}  // namespace

void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) give_up("this benchmark needs two cores");
}

void be_nice() {
  const int policy = sched_getscheduler(0);
  errno = 0;
  if (policy == SCHED_RR || policy == SCHED_FIFO) {
    sched_param lowest{};
    lowest.sched_priority = sched_get_priority_min(policy);
    if (sched_setscheduler(0, policy, &lowest) == 0) return;
  } else if (nice(kClientsNice) != -1 || errno == 0) {
    return;
  }
  give_up("the clients cannot be nice");
}

void make_export(const BenchNode& node) {
  make_pool(node, "p", 320);
  make_replica(node, "p", "11111111-0000-4000-8000-000000000001", kImageBytes, false);
  const auto env = core::UringEnv::create({});
  if (!env) give_up(env.error().text());
  (*env)->run(fill(env->get(), node.port()));
}

// --- Readers -------------------------------------------------------------------------------------

Readers::Readers(std::uint16_t port) {
  void* shared =
      mmap(nullptr, sizeof *bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) give_up("no shared memory");
  bytes_ = new (shared) std::atomic<std::uint64_t>(0);
  const std::string request = export_request();
  for (auto& child : children_) {
    child = fork();
    if (child != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) export_once(port, request, *bytes_);
  }
}
Readers::~Readers() {
  for (const pid_t child : children_) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
}
void Readers::check() {
  for (const pid_t child : children_) {
    if (waitpid(child, nullptr, WNOHANG) != 0) give_up("a reader is gone");
  }
}

Window measure_window(const BenchNode& node, Readers& readers) {
  poll(nullptr, 0, kSettleMs);
  const double start = now_us(), cpu = node.cpu_us();
  const auto bytes = static_cast<double>(readers.bytes());
  poll(nullptr, 0, kWindowMs);
  const double megabytes = (static_cast<double>(readers.bytes()) - bytes) / 1e6;
  const double used = node.cpu_us() - cpu, elapsed = now_us() - start;
  readers.check();
  return {megabytes / elapsed * 1e6, used / megabytes, used / elapsed};
}

void Series::add(const Window& window) {
  rates.push_back(window.rate);
  cpu.push_back(window.cpu);
  busy.push_back(window.busy);
}
void Series::print(const char* what) const {
  std::printf("%-36s %6.0f %14.0f %11.2f", what, median(rates), median(cpu), median(busy));
}

}  // namespace capstan::bench
