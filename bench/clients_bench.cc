// Why this file exists: what a thousand management clients on each Unix socket take from the I/O of
// replicas. A real node with one core serves ExportImage of a thick replica over gRPC, whole reads
// of the pool's device that the client checks for completeness; the pool is in memory, so that the
// node and not a disk is what limits. Rounds with and without the clients alternate in one run.
//
// The machine's cores are divided: the node has the first one for itself; the reader of images and
// the clients share the second, where the reader goes first (the clients are nice): what is
// measured is the node, not what its clients cost the one who reads. A client keeps its connection
// and calls at a steady rate, because clients that call as fast as they can measure how a core is
// shared.
//   clients_bench [CALLS_PER_SECOND_AND_SOCKET]
// Prints throughput with and without, calls made and lost. Exit code: targets missed.
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/bench_node.h"
#include "client/channel.h"
#include "core/uring_env.h"
#include "node/image.pb.h"
#include "wire/drpc/drpc_codec.h"

using namespace capstan;
using namespace capstan::bench;
namespace api = capstan::node::v1;
namespace drpc = capstan::wire::drpc;

namespace {

constexpr std::size_t kClients = 1000;
constexpr int kRounds = 10, kExports = 3;
constexpr double kRatioMin = 0.95;
constexpr int kClientsNice = 15;
constexpr int kBatch = 10;  // calls under way at a time, on each socket
constexpr std::int32_t kNodeModule = 100, kGetVersion = 10001;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(100);
}

void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) give_up("this benchmark needs two cores");
}

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
  Clients(const BenchNode& node, int rate)
      : pause_us_(1e6 * kBatch / rate), rpc_(node.rpc_socket()), drpc_(node.drpc_socket()) {}

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
    const timespec pause{0, static_cast<long>(std::max(microseconds, 0.0) * 1000)};
    pollfd entry{orders, POLLIN, 0};
    return ppoll(&entry, 1, &pause, nullptr) > 0;
  }
  void connect_all() {
    for (std::size_t i = 0; i < kClients; ++i) {
      streams_.push_back(connect_stream(rpc_));
      packets_.push_back(connect_packets(drpc_));
      if (streams_.back() < 0 || packets_.back() < 0) give_up("a client cannot connect");
    }
  }
  void close_all() {
    for (const int socket : streams_) close(socket);
    for (const int socket : packets_) close(socket);
    streams_.clear();
    packets_.clear();
  }
  void call_some() {
    const std::string text = R"({"jsonrpc":"2.0","method":"spdk_get_version","id":)";
    const std::string packet = drpc_call();
    for (std::size_t i = 0; i < kBatch; ++i) {
      const std::size_t at = (next_ + i) % kClients;
      const std::string request = text + std::to_string(at) + "}";
      send(streams_[at], request.data(), request.size(), MSG_NOSIGNAL);
      send(packets_[at], packet.data(), packet.size(), MSG_NOSIGNAL);
    }
    for (std::size_t i = 0; i < kBatch; ++i) take_answers((next_ + i) % kClients);
    next_ = (next_ + kBatch) % kClients;
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
  std::vector<int> streams_, packets_;
  std::size_t next_ = 0;
  Tally tally_;
};

// The orders' side.
class ClientsProcess {
 public:
  ClientsProcess(const BenchNode& node, int rate) {
    int orders[2], reports[2];
    if (pipe(orders) != 0 || pipe(reports) != 0) give_up("no pipe");
    child_ = fork();
    if (child_ == 0) {
      close(orders[1]);
      if (nice(kClientsNice) == -1) give_up("the clients cannot be nice");
      Clients(node, rate).obey(orders[0], reports[1]);
    }
    close(orders[0]);
    close(reports[1]);
    orders_ = orders[1];
    reports_ = reports[0];
  }
  ~ClientsProcess() {
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

// --- the I/O -----------------------------------------------------------------------------------

constexpr std::uint64_t kImageBytes = 128U << 20, kPartBytes = 1U << 20;
constexpr double kImageMegabytes = kImageBytes / 1e6;

// Zeros would not travel.
core::Task<void> fill(client::Channel& channel) {
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
}

core::Task<double> export_once(client::Channel& channel) {
  api::ExportImageRequest request;
  request.set_replica("r");
  const double start = now_us();
  auto call = co_await channel.server_stream<api::ExportImageRequest, api::ExportImageResponse>(
      "capstan.node.v1.ImageRpc/ExportImage", request, {});
  if (!call) give_up(call.error().text());
  api::ExportImageResponse part;
  std::uint64_t bytes = 0;
  bool whole = false;
  while (true) {
    const auto got = co_await call->next(part);
    if (!got) give_up(got.error().text());
    if (!*got) break;
    bytes += part.data().data().size();
    whole = part.has_trailer();
  }
  if (!whole || bytes != kImageBytes) give_up("an export was not complete");
  co_return static_cast<double>(bytes) / (now_us() - start);
}

struct Round {
  double rate = 0;  // megabytes per second
  double cpu = 0;   // of the node, in microseconds for each megabyte, calls of clients included
};

core::Task<Round> measure_round(client::Channel& channel, const BenchNode& bench) {
  std::vector<double> rates;
  const double before = bench.cpu_us();
  for (int i = 0; i < kExports; ++i) rates.push_back(co_await export_once(channel));
  const double cpu = bench.cpu_us() - before;
  co_return Round{median(std::move(rates)), cpu / kExports / kImageMegabytes};
}

struct Series {
  std::vector<double> rates, cpu;
  void add(const Round& round) {
    rates.push_back(round.rate);
    cpu.push_back(round.cpu);
  }
};

// One round with the clients.
core::Task<Round> crowded(client::Channel& channel, const BenchNode& bench, ClientsProcess& clients,
                          Tally& all, double& elapsed) {
  clients.start();
  const double start = now_us();
  const Round round = co_await measure_round(channel, bench);
  elapsed += now_us() - start;
  const Tally tally = clients.stop();
  all.calls += tally.calls;
  all.lost += tally.lost;
  co_return round;
}

core::Task<void> measure(core::Env& env, const BenchNode& bench, ClientsProcess& clients,
                         int& missed) {
  client::Channel channel(env, {.address = core::Address::tcp("127.0.0.1", bench.port())});
  Series without, with;
  std::vector<double> ratios;
  Tally all;
  double elapsed = 0;
  co_await fill(channel);
  (void)co_await export_once(channel);
  for (int i = 0; i < kRounds; ++i) {  // each comes first in every second pair
    if (i % 2 == 0) without.add(co_await measure_round(channel, bench));
    with.add(co_await crowded(channel, bench, clients, all, elapsed));
    if (i % 2 != 0) without.add(co_await measure_round(channel, bench));
    ratios.push_back(with.rates.back() / without.rates.back());
  }
  co_await channel.close();
  const double ratio = median(ratios);
  const double alone = median(without.cpu), crowd = median(with.cpu);
  const double calls = static_cast<double>(all.calls);
  std::printf("%-20s %8s %18s\n", "", "MB/s", "node CPU us/MB");
  std::printf("%-20s %8.0f %18.0f\n", "without clients", median(without.rates), alone);
  std::printf("%-20s %8.0f %18.0f\n", "1000 on each socket", median(with.rates), crowd);
  std::printf("ratio of throughputs: %.3f\n", ratio);
  std::printf("calls: %.0f, %.0f in a second, %.1f us of the node's CPU each; lost: %llu\n", calls,
              calls / elapsed * 1e6, (crowd - alone) * kImageMegabytes * kExports * kRounds / calls,
              static_cast<unsigned long long>(all.lost));
  missed = (ratio < kRatioMin) + (all.lost != 0);
  std::printf("target: ratio of at least %.2f, none lost; missed: %d\n", kRatioMin, missed);
}

void set_up(const BenchNode& bench) {
  const int socket = connect_stream(bench.rpc_socket());
  std::string answer;
  for (const char* call : {R"("mayastor_v1_pool_create_pool","params":{"name":"p","disks":)"
                           R"(["malloc:///m?size_mb=320&blk_size=512"]})",
                           R"("mayastor_v1_replica_create_replica","params":{"name":"r","uuid":)"
                           R"("11111111-0000-4000-8000-000000000001","pooluuid":"p","size":)"
                           R"(134217728,"thin":false})"}) {
    if (!ask(socket, std::string(R"({"id":1,"method":)") + call + "}", answer) ||
        answer.find("\"result\"") == std::string::npos) {
      give_up(answer);
    }
  }
  close(socket);
}

}  // namespace

int main(int argc, char** argv) {
  const int rate = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(kClients);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  stay_on(0);
  const BenchNode bench({"--rpc-connections", std::to_string(kClients + 10)});
  stay_on(1);
  set_up(bench);
  int missed = 100;
  ClientsProcess clients(bench, rate);
  const auto env = core::UringEnv::create({});
  if (!env) give_up(env.error().text());
  (*env)->run(measure(**env, bench, clients, missed));
  return missed;
}
