// Why this file exists: what dRPC costs over the bare socket: round trips of 0 B, 1 KiB, 64 KiB and
// 1 MiB through our client and server, each in a process of its own, against two processes that
// throw the same packets back and forth with blocking calls and nothing else. Rounds of both
// alternate in one run, so that a busy machine is busy for both. Prints medians and their ratio.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/log_sinks.h"
#include "core/uring_env.h"
#include "wire/drpc/client.h"
#include "wire/drpc/server.h"

using namespace capstan;
namespace drpc = capstan::wire::drpc;

namespace {

constexpr int kRounds = 7;
constexpr std::size_t kFrame = 30;  // what Call and Response add to a payload, about

struct Size {
  const char* name;
  std::size_t bytes;
  int calls;
  double target;  // ratio to the floor; 0: none
};
constexpr Size kSizes[] = {{"0 B", 0, 4000, 2.0},
                           {"1 KiB", 1024, 4000, 0},
                           {"64 KiB", 65536, 1000, 0},
                           {"1 MiB", 1U << 20, 200, 1.5}};

double now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(now).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// --- the floor ---------------------------------------------------------------------------------

bool send_all(int fd, const std::vector<std::uint8_t>& message) {
  for (std::size_t at = 0; at < message.size(); at += drpc::kPacketBytesMax) {
    const auto part = std::min(drpc::kPacketBytesMax, message.size() - at);
    if (send(fd, message.data() + at, part, MSG_NOSIGNAL) != static_cast<ssize_t>(part)) {
      return false;
    }
  }
  return true;
}
bool receive_all(int fd, std::vector<std::uint8_t>& message) {
  for (std::size_t at = 0; at < message.size();) {
    const ssize_t got = recv(fd, message.data() + at, message.size() - at, 0);
    if (got <= 0) return false;
    at += static_cast<std::size_t>(got);
  }
  return true;
}

// One process that echoes messages of each size until its socket closes.
class Floor {
 public:
  explicit Floor(std::size_t bytes) : message_(bytes + kFrame) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    child_ = fork();
    if (child_ == 0) {
      close(fds[0]);
      while (receive_all(fds[1], message_) && send_all(fds[1], message_)) {
      }
      _exit(0);
    }
    close(fds[1]);
    fd_ = fds[0];
  }
  ~Floor() {
    close(fd_);
    waitpid(child_, nullptr, 0);
  }
  double round(int calls) {
    std::vector<double> times;
    for (int i = 0; i < calls; ++i) {
      const double start = now_us();
      if (!send_all(fd_, message_) || !receive_all(fd_, message_)) std::abort();
      times.push_back(now_us() - start);
    }
    return median(std::move(times));
  }

 private:
  std::vector<std::uint8_t> message_;
  pid_t child_ = 0;
  int fd_ = -1;
};

// --- ours --------------------------------------------------------------------------------------

using core::NoLog;

core::Task<void> serve(core::Env& env, core::Log& log, std::string path, int ready) {
  drpc::DomainSocketServer server(env, log, path, {});
  auto echo = std::make_unique<drpc::FunctionModule>(77, "echo");
  echo->add(1, "echo",
            [](drpc::Session&, ByteView body) -> drpc::Answer { return drpc::Body::borrow(body); });
  if (!server.register_module(std::move(echo)) || !server.start()) std::abort();
  if (write(ready, "", 1) != 1) std::abort();
  (void)co_await core::sleep_for(3600 * core::kSecond);  // killed when the measurement is over
  co_await server.shutdown();
}

pid_t start_server(const std::string& path) {
  int ready[2];
  if (pipe(ready) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    NoLog sink;
    core::Log log(sink, core::LogLevel::kError, &core::UringEnv::wall_clock, nullptr);
    auto env = core::UringEnv::create({});
    if (!env) std::abort();
    (*env)->run(serve(**env, log, path, ready[1]));
    _exit(0);
  }
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) std::abort();
  return child;
}

core::Task<double> round(drpc::Client& client, ByteView body, int calls) {
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const double start = now_us();
    const auto reply = co_await client.call(77, 1, body, {});
    times.push_back(now_us() - start);
    if (!reply || reply->body.view().size() != body.size()) std::abort();
  }
  co_return median(std::move(times));
}

core::Task<void> measure(core::Env& env, std::string path, int& failed) {
  drpc::Client client(env, path);
  if (!co_await client.connect()) std::abort();
  std::printf("%-8s %12s %12s %7s %7s\n", "payload", "bare us", "dRPC us", "ratio", "target");
  for (const Size& size : kSizes) {
    const std::string body(size.bytes, 'b');
    Floor floor(size.bytes);
    std::vector<double> bare, ours;
    for (int i = 0; i < kRounds; ++i) {
      bare.push_back(floor.round(size.calls));
      ours.push_back(co_await round(client, as_bytes(body), size.calls));
    }
    const double ratio = median(ours) / median(bare);
    std::printf("%-8s %12.1f %12.1f %7.2f %7s\n", size.name, median(bare), median(ours), ratio,
                size.target == 0 ? "" : std::to_string(size.target).substr(0, 3).c_str());
    if (size.target != 0 && ratio > size.target) ++failed;
  }
}

}  // namespace

// Exit code: how many targets were missed.
int main() {
  const std::string path = "/tmp/capstan-drpc-bench-" + std::to_string(getpid()) + ".sock";
  const pid_t server = start_server(path);
  int failed = 0;
  auto env = core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    failed = 100;
  } else {
    (*env)->run(measure(**env, path, failed));
  }
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  unlink(path.c_str());
  return failed;
}
