// Why this file exists: see bench_node.h.
#include "bench/bench_node.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace capstan::bench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(100);
}

}  // namespace

std::uint16_t free_port() {
  std::random_device random;
  std::uniform_int_distribution<int> ports(12'000, 31'999);
  for (int tries = 0; tries < 1000; ++tries) {
    const auto port = static_cast<std::uint16_t>(ports(random));
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(probe);
    if (free) return port;
  }
  give_up("no free port");
}

double now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(now).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int connect_stream(const std::string& path) {
  const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return made;
  close(made);
  return -1;
}

bool ask(int socket, const std::string& request, std::string& into) {
  if (send(socket, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return false;
  }
  // Small, so that the caches that a node on the same core uses are not cleared for every call.
  char piece[1U << 14];
  into.clear();
  while (true) {
    const ssize_t got = recv(socket, piece, sizeof piece, 0);
    if (got <= 0) return false;
    into.append(piece, static_cast<std::size_t>(got));
    if (into.back() == '\n') return true;
  }
}

BenchNode::BenchNode(const std::vector<std::string>& flags) : port_(free_port()) {
  std::string pattern = (fs::temp_directory_path() / "capstan-bench-XXXXXX").string();
  if (!mkdtemp(pattern.data())) give_up("no folder for the node: " + pattern);
  folder_ = pattern;
  const std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "io-engine");
  std::vector<std::string> command = {
      program,       "--grpc-ip",           "127.0.0.1", "--grpc-port",       std::to_string(port_),
      "--state-dir", path("state"),         "-r",        rpc_socket(),        "--drpc-socket",
      drpc_socket(), "--nvmf-replica-port", "0",         "--nvmf-nexus-port", "0"};
  command.insert(command.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (auto& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  child_ = fork();
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // also when the benchmark gives up
    const int log = open(path("log").c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execv(program.c_str(), arguments.data());
    _exit(127);
  }
  for (int i = 0; i < 2000; ++i) {
    const int socket = connect_stream(rpc_socket());
    if (socket >= 0) {
      close(socket);
      return;
    }
    if (waitpid(child_, nullptr, WNOHANG) == child_) break;
    poll(nullptr, 0, 10);
  }
  give_up(program + " does not start (build io-engine beside this benchmark); see " + path("log"));
}

BenchNode::~BenchNode() {
  kill(child_, SIGTERM);
  waitpid(child_, nullptr, 0);
  fs::remove_all(folder_);
}

double BenchNode::cpu_us() const {
  double total = 0;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(child_) + "/task")) {
    std::ifstream file(task.path() / "schedstat");
    double nanoseconds = 0;
    file >> nanoseconds;
    total += nanoseconds;
  }
  return total / 1000;
}

}  // namespace capstan::bench
