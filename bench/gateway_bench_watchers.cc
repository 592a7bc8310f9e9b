// Why this file exists: the part of gateway_bench about thousands of clients that watch replicas
// over HTTP, one process with one epoll, so that they cost little beside those who serve them. How
// long it takes from before a change is asked for until the last one of them has heard of it, and
// what they cost the gateway, the node behind it, and the node when they watch there.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bench_node.h"
#include "bench/gateway_bench.h"

namespace capstan::bench {

namespace {

constexpr double kLastMsMax = 200;
constexpr double kPatienceMs = 30'000, kPauseMs = 1000;
constexpr int kSettleMs = 500;
constexpr int kEvents = 512;
constexpr char kReplica[] = "11111111-0000-4000-8000-000000000001";

// Looks for texts in a stream that arrives in pieces.
struct Watcher {
  int socket = -1;
  std::string rest;  // of what has come, as much as a text could begin in
  int changes = 0;
  bool synced = false;
};

class Crowd {
 public:
  Crowd(std::uint16_t port, std::size_t count)
      : poller_(epoll_create1(EPOLL_CLOEXEC)), watchers_(count) {
    constexpr std::size_t kAtOnce = 100;
    for (std::size_t i = 0; i < count; ++i) {
      watchers_[i].socket = connect_port(port);
      send_all(watchers_[i].socket, "GET /monitor/replicas HTTP/1.1\r\nHost: bench\r\n\r\n");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(poller_, EPOLL_CTL_ADD, watchers_[i].socket, &event);
      if (i % kAtOnce == kAtOnce - 1 || i + 1 == count) {
        wait_until([&] { return synced_ == i + 1; }, "the state of the node");
      }
    }
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  // The next crowd needs the descriptors.
  ~Crowd() {
    for (const Watcher& watcher : watchers_) close(watcher.socket);
    close(poller_);
  }
  // Before the change is made: what it will be.
  void expect(const std::string& entity, int number) {
    entity_ = "\"entity_id\":\"" + entity + "\"";
    number_ = number;
    heard_ = 0;
  }
  // False when a client got another one.
  bool wait_for_change() {
    wait_until([&] { return heard_ == watchers_.size(); }, "a change");
    return !wrong_;
  }
  // Nothing may come that was not caused.
  bool quiet() {
    listen(0);
    return !wrong_;
  }

 private:
  template <class Condition>
  void wait_until(Condition condition, const char* what) {
    const double end = now_us() / 1000 + kPatienceMs;
    while (!condition()) {
      if (now_us() / 1000 > end) give_up(std::string("not every client got ") + what + " in time");
      listen(100);
    }
  }
  void listen(int timeout) {
    epoll_event events[kEvents];
    const int count = epoll_wait(poller_, events, kEvents, timeout);
    for (int i = 0; i < count; ++i) read(watchers_[events[i].data.u64]);
  }
  void read(Watcher& watcher) {
    char buffer[4096];
    const ssize_t got = recv(watcher.socket, buffer, sizeof buffer, 0);
    if (got <= 0) give_up("a client lost its stream");
    std::string_view text(buffer, static_cast<std::size_t>(got));
    if (!watcher.rest.empty()) {
      watcher.rest.append(text);
      text = watcher.rest;
    }
    std::size_t done = 0;
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n', done)) {
      line(watcher, text.substr(done, end - done));
      done = end + 1;
    }
    watcher.rest = std::string(text.substr(done));
  }
  void line(Watcher& watcher, std::string_view text) {
    if (!watcher.synced) {
      if (text.find("\"synced\":true") == text.npos) return;
      watcher.synced = true;
      ++synced_;
    } else if (text.find("\"event\":\"") != text.npos) {
      const bool right = ++watcher.changes == number_ && text.find(entity_) != text.npos;
      wrong_ = wrong_ || !right;
      ++heard_;
    }
  }

  int poller_;
  std::vector<Watcher> watchers_;
  std::size_t synced_ = 0, heard_ = 0;
  std::string entity_;
  int number_ = 0;
  bool wrong_ = false;
};

// Returns when it was answered.
void change(int socket, const std::string& entity) {
  const std::string body = "{\"entity_id\":\"" + entity + "\"}";
  send_all(socket, std::string("PUT /replicas/") + kReplica +
                       "/entity_id HTTP/1.1\r\nHost: bench\r\ncontent-type: application/json\r\n"
                       "content-length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
  char buffer[4096];
  const ssize_t got = recv(socket, buffer, sizeof buffer, 0);
  if (got <= 0 || std::string_view(buffer, static_cast<std::size_t>(got)).find(" 200 ") != 8) {
    give_up("the change was refused: " + std::string(buffer, got > 0 ? std::size_t(got) : 0));
  }
}

struct Cost {
  double memory = 0, cpu_us = 0;
};

// Of a process while something goes on.
class Meter {
 public:
  explicit Meter(const BenchProcess& process)
      : process_(process), memory_(process.resident_bytes()), cpu_(process.cpu_us()) {}
  void restart_cpu() { cpu_ = process_.cpu_us(); }
  Cost read() const { return {process_.resident_bytes() - memory_, process_.cpu_us() - cpu_}; }

 private:
  const BenchProcess& process_;
  double memory_, cpu_;
};

struct Seen {
  std::vector<double> last_ms;
  bool right = true;
};

Seen make_changes(Crowd& crowd, int writer, int changes) {
  Seen seen;
  double next = now_us();
  for (int i = 1; i <= changes; ++i) {
    for (double left; (left = next - now_us()) > 0;)
      poll(nullptr, 0, static_cast<int>(left / 1000) + 1);
    next += kPauseMs * 1000;
    const std::string entity = "e" + std::to_string(writer) + "-" + std::to_string(i);
    crowd.expect(entity, i);
    const double begun = now_us();
    change(writer, entity);
    seen.right = crowd.wait_for_change() && seen.right;
    seen.last_ms.push_back((now_us() - begun) / 1000);
  }
  seen.right = crowd.quiet() && seen.right;
  return seen;
}

// `server` is what the crowd watches, `other` stands behind or before it.
int measure(const char* what, const GatewayBench& bench, std::uint16_t port,
            const BenchProcess& server, const BenchProcess& other, int writer) {
  Meter meter(server), others(other);
  Crowd crowd(port, bench.watchers);
  poll(nullptr, 0, kSettleMs);
  const double connecting = meter.read().cpu_us;
  meter.restart_cpu();
  others.restart_cpu();
  const Seen seen = make_changes(crowd, writer, bench.changes);
  const Cost cost = meter.read();
  const auto clients = static_cast<double>(bench.watchers);
  const double changes = bench.changes, last = median(seen.last_ms);
  const bool missed = last > kLastMsMax || !seen.right;
  std::printf("%-12s %9.1f %9.1f %12.2f %12.2f %9.1f %9.1f %9.0f  %s\n", what, last,
              *std::ranges::max_element(seen.last_ms), cost.cpu_us / changes / clients,
              others.read().cpu_us / changes / 1000, cost.memory / clients / 1024,
              connecting / clients, cost.cpu_us / changes / 1000,
              missed ? (seen.right ? "missed" : "missed: changes lost or out of order") : "met");
  return missed;
}

}  // namespace

int measure_watchers(const GatewayBench& bench) {
  const std::string streams = std::to_string(bench.watchers + 10);
  const std::vector<std::string> flags = {"--max-streams", streams, "--rest-max-connections",
                                          "unlimited"};
  std::printf("\n%zu watchers of replicas over HTTP, one change in a second (%d)\n", bench.watchers,
              bench.changes);
  std::printf("%-12s %9s %9s %12s %12s %9s %9s %9s\n", "served by", "last ms", "at most",
              "us/client", "other ms", "KiB each", "us each", "ms");
  int missed = 0;
  for (const bool by_gateway : {true, false}) {
    const BenchNode node(flags);
    make_pool(node, "p", 64);
    make_replica(node, "p", kReplica, 16U << 20, true);
    const BenchGateway gateway(node, flags);
    const int writer = connect_port(node.port());
    missed +=
        by_gateway
            ? measure("gateway", bench, gateway.port(), gateway.process(), node.process(), writer)
            : measure("node", bench, node.port(), node.process(), gateway.process(), writer);
    close(writer);
  }
  std::printf(
      "last: from before a change until the last client has it (at most %.0f ms); us/client: "
      "CPU of who serves them for a change and client; other: of the other of the two, for "
      "a change; each: memory of a client, CPU to take it in; ms: CPU for a change\n",
      kLastMsMax);
  return missed;
}

}  // namespace capstan::bench
