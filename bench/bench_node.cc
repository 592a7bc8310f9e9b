// Why this file exists: see bench_node.h.
#include "bench/bench_node.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

// Negative when nobody listens.
// Below 0 when nobody listens there.
int try_port(std::uint16_t port) {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made < 0) give_up(std::string("cannot make a socket: ") + strerror(errno));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return made;
  const int error = errno;
  close(made);
  errno = error;
  return -1;
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

void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(100);
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

int connect_port(std::uint16_t port) {
  const int made = try_port(port);
  if (made < 0) give_up("cannot connect to port " + std::to_string(port) + ": " + strerror(errno));
  return made;
}

void send_all(int socket, const std::string& text) {
  if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    give_up("a server takes no request");
  }
}

void raise_descriptor_limit() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
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

void must_call(const BenchNode& node, const std::string& method, const std::string& params) {
  const int socket = connect_stream(node.rpc_socket());
  std::string answer;
  if (!ask(socket, R"({"id":1,"method":")" + method + R"(","params":)" + params + "}", answer) ||
      answer.find("\"result\"") == std::string::npos) {
    give_up(method + ": " + answer);
  }
  close(socket);
}

void make_pool(const BenchNode& node, const std::string& name, int mebibytes) {
  must_call(node, "mayastor_v1_pool_create_pool",
            R"({"name":")" + name + R"(","disks":["malloc:///)" + name +
                "?size_mb=" + std::to_string(mebibytes) + R"(&blk_size=512"]})");
}

void make_replica(const BenchNode& node, const std::string& pool, const std::string& uuid,
                  std::uint64_t bytes, bool thin) {
  must_call(node, "mayastor_v1_replica_create_replica",
            R"({"name":"r","uuid":")" + uuid + R"(","pooluuid":")" + pool + R"(","size":)" +
                std::to_string(bytes) + R"(,"thin":)" + (thin ? "true" : "false") + "}");
}

BenchNode::BenchNode(const std::vector<std::string>& flags) : port_(free_port()) {
  std::string pattern = (fs::temp_directory_path() / "capstan-bench-XXXXXX").string();
  if (!mkdtemp(pattern.data())) give_up("no folder for the node: " + pattern);
  folder_ = pattern;
  std::vector<std::string> command = {"--grpc-ip",
                                      "127.0.0.1",
                                      "--grpc-port",
                                      std::to_string(port_),
                                      "--state-dir",
                                      path("state"),
                                      "-r",
                                      rpc_socket(),
                                      "--drpc-socket",
                                      drpc_socket(),
                                      "--gateway-socket",
                                      gateway_socket(),
                                      "--nvmf-replica-port",
                                      "0",
                                      "--nvmf-nexus-port",
                                      "0"};
  command.insert(command.end(), flags.begin(), flags.end());
  process_ = std::make_unique<BenchProcess>("io-engine", command, path("log"));
  for (int i = 0; i < 2000; ++i) {
    const int socket = connect_stream(rpc_socket());
    if (socket >= 0) {
      close(socket);
      return;
    }
    if (process_->ended()) break;
    poll(nullptr, 0, 10);
  }
  give_up("io-engine does not start (build it beside this benchmark); see " + path("log"));
}

BenchNode::~BenchNode() {
  process_.reset();
  fs::remove_all(folder_);
}

// --- BenchProcess --------------------------------------------------------------------------------

BenchProcess::BenchProcess(const std::string& program, const std::vector<std::string>& arguments,
                           const std::string& log, void (*prepare)()) {
  std::string path = fs::read_symlink("/proc/self/exe").parent_path() / program;
  std::vector<std::string> words = arguments;
  std::vector<char*> command{path.data()};
  for (auto& word : words) command.push_back(word.data());
  command.push_back(nullptr);
  child_ = fork();
  if (child_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // also when the benchmark gives up
  const int file = open(log.c_str(), O_WRONLY | O_CREAT, 0600);
  dup2(file, 1);
  dup2(file, 2);
  if (prepare) prepare();
  execv(path.c_str(), command.data());
  _exit(127);
}

BenchProcess::~BenchProcess() {
  kill(child_, SIGTERM);
  waitpid(child_, nullptr, 0);
}

bool BenchProcess::ended() const {
  siginfo_t found{};
  return waitid(P_PID, static_cast<id_t>(child_), &found, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         found.si_pid == child_;
}

double BenchProcess::cpu_us() const {
  double total = 0;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(child_) + "/task")) {
    std::ifstream file(task.path() / "schedstat");
    double nanoseconds = 0;
    file >> nanoseconds;
    total += nanoseconds;
  }
  return total / 1000;
}

double BenchProcess::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(child_) + "/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// --- BenchGateway --------------------------------------------------------------------------------

namespace {

std::vector<std::string> gateway_arguments(const BenchNode& node, std::uint16_t port,
                                           const std::vector<std::string>& flags) {
  std::vector<std::string> all = {"--node", "unix:" + node.gateway_socket(), "--listen",
                                  "127.0.0.1:" + std::to_string(port)};
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

bool is_ready(std::uint16_t port) {
  const int made = try_port(port);
  if (made < 0) return false;
  send_all(made, "GET /health/ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
  char answer[4096];
  std::string all;
  for (ssize_t got = 0; (got = recv(made, answer, sizeof answer, 0)) > 0;) {
    all.append(answer, static_cast<std::size_t>(got));
  }
  close(made);
  return all.find("\"ready\":true") != std::string::npos;
}

}  // namespace

BenchGateway::BenchGateway(const BenchNode& node, const std::vector<std::string>& flags,
                           void (*prepare)())
    : port_(free_port()),
      process_("capstan-gateway", gateway_arguments(node, port_, flags), node.path("gateway.log"),
               prepare) {
  for (int i = 0; i < 2000 && !process_.ended(); ++i) {
    if (is_ready(port_)) return;
    poll(nullptr, 0, 10);
  }
  give_up("capstan-gateway does not start (build it beside this benchmark); see " +
          node.path("gateway.log"));
}

}  // namespace capstan::bench
