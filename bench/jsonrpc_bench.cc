// Why this file exists: what a JSON-RPC call costs over the bare socket. A client sends
// spdk_get_version and bdev_get_bdevs (four devices) to a real node, on a kept connection and with
// a connection for each call; in turns in the same run it throws texts of the same sizes back and
// forth with a process that does nothing but blocking reads and writes on the same kind of socket.
// Prints medians, their ratio, and the node's CPU time for a call. Exit code: targets missed.
//   jsonrpc_bench [CALLS]
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/bench_node.h"

using namespace capstan::bench;

namespace {

constexpr int kRounds = 9;
constexpr double kRatioMax = 3, kCpuMax = 15;

std::string request_of(const std::string& method) {
  return R"({"jsonrpc":"2.0","method":")" + method + R"(","id":1})";
}

// A process that answers `question` bytes with `answer` bytes on every connection, one at a time.
class Floor {
 public:
  Floor(const std::string& path, std::size_t question, std::size_t answer) : path_(path) {
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 512) != 0) {
      std::abort();
    }
    child_ = fork();
    if (child_ == 0) serve(listener, question, answer);
    close(listener);
  }
  ~Floor() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    unlink(path_.c_str());
  }

 private:
  [[noreturn]] static void serve(int listener, std::size_t question, std::size_t answer) {
    std::string in(question, ' '), out(answer, 'a');
    out.back() = '\n';
    while (true) {
      const int peer = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      for (std::size_t got = 0; peer >= 0;) {
        const ssize_t more = recv(peer, in.data(), in.size(), 0);
        if (more <= 0) break;
        got += static_cast<std::size_t>(more);
        if (got % question == 0) send(peer, out.data(), out.size(), MSG_NOSIGNAL);
      }
      close(peer);
    }
  }
  std::string path_;
  pid_t child_ = 0;
};

// Median of a call in microseconds.
double round(const std::string& path, const std::string& request, bool keep, int calls) {
  std::vector<double> times;
  std::string answer;
  int socket = connect_stream(path);
  for (int i = 0; i < calls; ++i) {
    const double start = now_us();
    if (!keep) {
      close(socket);
      socket = connect_stream(path);
    }
    if (socket < 0 || !ask(socket, request, answer)) {
      std::fprintf(stderr, "a call was lost\n");
      std::exit(100);
    }
    times.push_back(now_us() - start);
  }
  close(socket);
  return median(std::move(times));
}

int measure(BenchNode& node, const std::string& method, bool keep, int calls) {
  const std::string request = request_of(method);
  std::string answer;
  const int probe = connect_stream(node.rpc_socket());
  if (!ask(probe, request, answer) || answer.find("\"result\"") == std::string::npos) {
    std::fprintf(stderr, "%s: %s\n", method.c_str(), answer.c_str());
    std::exit(100);
  }
  close(probe);
  const Floor floor(node.path("floor.sock"), request.size(), answer.size());
  std::vector<double> bare, ours, cpu;
  for (int i = 0; i < kRounds; ++i) {
    bare.push_back(round(node.path("floor.sock"), request, keep, calls));
    const double before = node.cpu_us();
    ours.push_back(round(node.rpc_socket(), request, keep, calls));
    cpu.push_back((node.cpu_us() - before) / calls);
  }
  const double ratio = median(ours) / median(bare);
  std::printf("%-17s %-13s %6zu %9.1f %9.1f %7.2f %10.1f\n", method.c_str(),
              keep ? "kept" : "for each call", answer.size(), median(bare), median(ours), ratio,
              median(cpu));
  return keep ? (ratio > kRatioMax) + (median(cpu) > kCpuMax) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : 3000;
  BenchNode node;
  std::string answer;
  const int socket = connect_stream(node.rpc_socket());
  for (int i = 0; i < 4; ++i) {
    ask(socket,
        R"({"method":"bdev_malloc_create","params":{"num_blocks":2048,"block_size":512},"id":1})",
        answer);
  }
  close(socket);
  std::printf("%-17s %-13s %6s %9s %9s %7s %10s\n", "method", "connection", "bytes", "bare us",
              "call us", "ratio", "node CPU us");
  int missed = 0;
  for (const char* method : {"spdk_get_version", "bdev_get_bdevs"}) {
    missed += measure(node, method, true, calls);
    missed += measure(node, method, false, calls);
  }
  std::printf("targets: kept connections at most %.0fx and %.0f us; missed: %d\n", kRatioMax,
              kCpuMax, missed);
  return missed;
}
