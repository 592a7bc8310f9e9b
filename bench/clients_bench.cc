// Why this file exists: what a thousand management clients on each Unix socket take from the I/O of
// replicas. A real node with one core serves ExportImage of a thick replica over gRPC to several
// readers at once; the pool is in memory, so that the node and not a disk is what limits. Windows
// of time with and without the clients alternate in one run.
//
// The machine's cores are divided: the node has the first one for itself and is busy with I/O all
// the time, in both cases. The readers and the clients share the second, so the readers must cost
// next to nothing, or one measures them instead of the node: they look at the heads of HTTP/2
// frames and let the kernel throw the data away. A client keeps its connection and calls at a
// steady rate, because clients that call as fast as they can measure how a core is shared.
//   clients_bench [CALLS_PER_SECOND_AND_SOCKET [ROUNDS]]
// Prints throughput with and without, calls made and lost. Exit code: targets missed.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

#include "bench/bench_node.h"
#include "bench/export_readers.h"
#include "wire/drpc/drpc_codec.h"

using namespace capstan;
using namespace capstan::bench;
namespace drpc = capstan::wire::drpc;

namespace {

constexpr std::size_t kClients = 1000;
constexpr int kRounds = 10;
constexpr double kRatioMin = 0.95;
constexpr int kBatch = 10;  // calls under way at a time, on each socket
constexpr std::int32_t kNodeModule = 100, kGetVersion = 10001;

int connect_packets(const std::string& path) {
  const int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return made;
  close(made);
  return -1;
}

std::string drpc_call() {
  const auto message = drpc::MessagePrefix::call(kNodeModule, kGetVersion, 1, 0);
  const auto header = drpc::encode_header(drpc::chunk_header(message.view().size(), 0));
  std::string packet(as_text(header));
  return packet += as_text(message.view());
}

// --- the clients: a process of their own -------------------------------------------------------

struct Tally {
  std::uint64_t calls = 0, lost = 0;
};

class Clients {
 public:
  Clients(std::string rpc, std::string drpc, int rate)
      : pause_us_(1e6 * kBatch / rate), rpc_(std::move(rpc)), drpc_(std::move(drpc)) {}

  // 'g': connect, answer 'r', call until 's': close, answer the tally; anything else: end.
  [[noreturn]] void obey(int orders, int reports) {
    for (char order = 0; read(orders, &order, 1) == 1 && order == 'g';) {
      connect_all();
      if (write(reports, "r", 1) != 1) break;
      tally_ = {};
      double next = now_us();
      while (!told(orders, next - now_us())) {
        call_some();
        // What could not be kept up is not made up for.
        next = std::max(next + pause_us_, now_us() - pause_us_);
      }
      char stop = 0;
      if (read(orders, &stop, 1) != 1) break;
      close_all();
      if (write(reports, &tally_, sizeof tally_) != sizeof tally_) break;
    }
    _exit(0);
  }

 private:
  // Waits; true as soon as there is an order.
  static bool told(int orders, double microseconds) {
    const auto whole = static_cast<long>(std::max(microseconds, 0.0) * 1000);
    const timespec pause{whole / 1'000'000'000, whole % 1'000'000'000};
    pollfd entry{orders, POLLIN, 0};
    return ppoll(&entry, 1, &pause, nullptr) > 0;
  }
  void connect_all() {
    for (std::size_t i = 0; i < kClients; ++i) {
      streams_.push_back(connect_stream(rpc_));
      packets_.push_back(connect_packets(drpc_));
      if (streams_.back() < 0 || packets_.back() < 0) give_up("a client cannot connect");
    }
    // The node has taken a connection when it has answered on it.
    for (std::size_t i = 0; i < kClients; ++i) call(i);
    for (std::size_t i = 0; i < kClients; ++i) take_answers(i);
  }
  void close_all() {
    for (const int socket : streams_) close(socket);
    for (const int socket : packets_) close(socket);
    streams_.clear();
    packets_.clear();
  }
  void call_some() {
    for (std::size_t i = 0; i < kBatch; ++i) call((next_ + i) % kClients);
    for (std::size_t i = 0; i < kBatch; ++i) take_answers((next_ + i) % kClients);
    next_ = (next_ + kBatch) % kClients;
  }
  void call(std::size_t at) const {
    const std::string request =
        R"({"jsonrpc":"2.0","method":"spdk_get_version","id":)" + std::to_string(at) + "}";
    send(streams_[at], request.data(), request.size(), MSG_NOSIGNAL);
    send(packets_[at], packet_.data(), packet_.size(), MSG_NOSIGNAL);
  }
  void take_answers(std::size_t at) {
    char buffer[4096];
    tally_.calls += 2;
    ssize_t got = recv(streams_[at], buffer, sizeof buffer, 0);
    const std::string id = "\"id\":" + std::to_string(at) + ",\"result\"";
    const std::string_view answer(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    if (!answer.ends_with('\n') || answer.find(id) == answer.npos) ++tally_.lost;
    got = recv(packets_[at], buffer, sizeof buffer, 0);
    if (got <= static_cast<ssize_t>(drpc::kHeaderBytes)) ++tally_.lost;
  }

  double pause_us_;
  std::string rpc_, drpc_;
  const std::string packet_ = drpc_call();
  std::vector<int> streams_, packets_;
  std::size_t next_ = 0;
  Tally tally_;
};

// The orders' side.
class ClientsProcess {
 public:
  ClientsProcess(const std::string& rpc, const std::string& drpc, int rate) {
    int orders[2], reports[2];
    if (pipe(orders) != 0 || pipe(reports) != 0) give_up("no pipe");
    child_ = fork();
    if (child_ == 0) {
      close(orders[1]);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      be_nice();
      Clients(rpc, drpc, rate).obey(orders[0], reports[1]);
    }
    close(orders[0]);
    close(reports[1]);
    orders_ = orders[1];
    reports_ = reports[0];
  }
  ~ClientsProcess() {
    // Closing alone would not do: processes that were made later have this end, too.
    if (write(orders_, "e", 1) != 1) std::fprintf(stderr, "the clients were gone already\n");
    close(orders_);
    waitpid(child_, nullptr, 0);
  }
  void start() {
    char ready = 0;
    if (write(orders_, "g", 1) != 1 || read(reports_, &ready, 1) != 1) give_up("no clients");
  }
  Tally stop() {
    Tally tally;
    if (write(orders_, "s", 1) != 1 || read(reports_, &tally, sizeof tally) != sizeof tally) {
      give_up("the clients are gone");
    }
    return tally;
  }

 private:
  pid_t child_ = 0;
  int orders_ = -1, reports_ = -1;
};

// --- a server that is not the node -------------------------------------------------------------

// Two controls tell the node's part from what such clients cost whoever serves them: the same
// clients call a process that does nothing but answer, once on their own core (what is lost then,
// the clients took from the readers) and once on the node's (what is lost then, the sockets and
// wake-ups of any server cost, and a change of process for each burst of calls, which the node does
// without).
// Answers every text with its id and every packet with itself, as few system calls as there can be.
class Control {
 public:
  Control(const BenchNode& node, int core)
      : rpc(node.path("control-" + std::to_string(core))), drpc(rpc + "-drpc") {
    const int streams = listen_on(rpc, SOCK_STREAM), packets = listen_on(drpc, SOCK_SEQPACKET);
    child_ = fork();
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      stay_on(core);
      if (core == kClientsCore) be_nice();
      serve(streams, packets);
    }
    close(streams);
    close(packets);
  }
  ~Control() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  double cpu_us() const {
    clockid_t clock{};
    timespec used{};
    if (clock_getcpuclockid(child_, &clock) != 0 || clock_gettime(clock, &used) != 0) {
      give_up("the control is gone");
    }
    return static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) / 1e3;
  }
  const std::string rpc, drpc;

 private:
  static int listen_on(const std::string& path, int type) {
    const int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(made, SOMAXCONN) != 0) {
      give_up("the control cannot listen on " + path);
    }
    return made;
  }
  static void watch(int poller, int socket) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = socket;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) != 0) give_up("epoll_ctl");
  }
  static void answer(int socket) {
    char buffer[4096];
    const ssize_t got = recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) {
      close(socket);
      return;
    }
    const std::string_view request(buffer, static_cast<std::size_t>(got));
    const auto id = request.find("\"id\":");
    if (id == request.npos) {
      send(socket, request.data(), request.size(), MSG_NOSIGNAL);
      return;
    }
    std::string text = R"({"jsonrpc":"2.0",)" + std::string(request.substr(id));
    text.back() = ',';
    text += R"("result":{"version":"SPDK v26.01"}})";
    text += '\n';
    send(socket, text.data(), text.size(), MSG_NOSIGNAL);
  }
  [[noreturn]] static void serve(int streams, int packets) {
    const int poller = epoll_create1(EPOLL_CLOEXEC);
    watch(poller, streams);
    watch(poller, packets);
    while (true) {
      epoll_event events[2 * kBatch];
      const int count = epoll_wait(poller, events, 2 * kBatch, -1);
      for (int i = 0; i < count; ++i) {
        const int socket = events[i].data.fd;
        if (socket != streams && socket != packets) {
          answer(socket);
        } else if (const int peer = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC); peer >= 0) {
          watch(poller, peer);
        }
      }
    }
  }
  pid_t child_ = 0;
};

// The clients of one server, and what the windows with them gave.
struct Crowd {
  Crowd(const std::string& called, const std::string& rpc, const std::string& drpc, int rate)
      : name(called), clients(rpc, drpc, rate) {}

  void add_window(const BenchNode& bench, Readers& readers, const Control* server, double without) {
    clients.start();
    const double start = now_us(), server_cpu = server ? server->cpu_us() : 0;
    series.add(measure_window(bench, readers));
    const double took = now_us() - start;
    if (server) server_us += server->cpu_us() - server_cpu;
    const Tally tally = clients.stop();
    elapsed_us += took;
    calls += tally.calls;
    lost += tally.lost;
    ratios.push_back(series.rates.back() / without);
  }
  double rate() const { return static_cast<double>(calls) / elapsed_us * 1e6; }

  std::string name;
  ClientsProcess clients;
  Series series;
  std::vector<double> ratios;  // to the window before without clients
  std::uint64_t calls = 0, lost = 0;
  double elapsed_us = 0, server_us = 0;
};

int report(const Series& without, const std::vector<std::unique_ptr<Crowd>>& crowds) {
  std::printf("%-36s %6s %14s %11s %6s %8s %5s\n", "", "MB/s", "node us/MB", "node's core", "ratio",
              "calls/s", "lost");
  without.print("without clients");
  std::printf("\n");
  std::uint64_t lost = 0;
  for (const auto& crowd : crowds) {
    crowd->series.print(crowd->name.c_str());
    std::printf(" %6.3f %8.0f %5llu\n", median(crowd->ratios), crowd->rate(),
                static_cast<unsigned long long>(crowd->lost));
    lost += crowd->lost;
  }
  const Crowd &node = *crowds[0], &beside = *crowds[1], &control = *crowds[2];
  const double more = median(node.series.cpu) - median(without.cpu);
  std::printf("a call takes %.1f us of the node's core; of a bare server's there %.1f\n",
              more * median(node.series.rates) / node.rate(),
              control.server_us / static_cast<double>(control.calls));
  std::vector<double> to_clients, to_control;
  for (std::size_t i = 0; i < node.ratios.size(); ++i) {
    to_clients.push_back(node.ratios[i] / beside.ratios[i]);
    to_control.push_back(node.ratios[i] / control.ratios[i]);
  }
  const double ratio = median(node.ratios);
  std::printf(
      "throughput with clients of the node: %.3f of that without clients, %.3f of that with "
      "the clients alone, %.3f of that with a bare server on the node's core\n",
      ratio, median(to_clients), median(to_control));
  const int missed = (ratio < kRatioMin) + (lost != 0);
  std::printf("target: at least %.2f of that without, no call lost; missed: %d\n", kRatioMin,
              missed);
  return missed;
}

int measure(const BenchNode& bench, const Control& beside, const Control& control,
            const std::vector<std::unique_ptr<Crowd>>& crowds, int rounds) {
  Readers readers(bench.port());
  Series without;
  for (int i = 0; i < rounds; ++i) {
    without.add(measure_window(bench, readers));
    for (int k = 0; k < 3; ++k) {  // each comes first in every third round
      const int which = (i + k) % 3;
      const Control* const servers[] = {nullptr, &beside, &control};
      crowds[which]->add_window(bench, readers, servers[which], without.rates.back());
    }
  }
  return report(without, crowds);
}

}  // namespace

int main(int argc, char** argv) {
  const int rate = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(kClients);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : kRounds;
  raise_descriptor_limit();
  stay_on(kNodesCore);
  const BenchNode bench({"--rpc-connections", std::to_string(kClients + 10)});
  stay_on(kClientsCore);
  make_export(bench);
  const Control beside(bench, kClientsCore), control(bench, kNodesCore);
  std::vector<std::unique_ptr<Crowd>> crowds;
  crowds.push_back(std::make_unique<Crowd>("1000 on each socket of the node", bench.rpc_socket(),
                                           bench.drpc_socket(), rate));
  crowds.push_back(
      std::make_unique<Crowd>("of a bare server on their core", beside.rpc, beside.drpc, rate));
  crowds.push_back(std::make_unique<Crowd>("of a bare server on the node's core", control.rpc,
                                           control.drpc, rate));
  return measure(bench, beside, control, crowds, rounds);
}
