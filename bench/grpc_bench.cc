// Why this file exists: what our gRPC server costs beside grpc++'s callback server, and beside
// grpc-go's and tonic's where their programs are there: a unary echo of several sizes and a list of
// pools with 1, 64 and 128 calls outstanding on one connection, over TCP and a Unix socket, a
// stream of a million messages, an idle connection, and TLS. The client is ours and always the
// same, but for one line with grpc++'s; each server is a process of its own; rounds alternate in
// one run, so a busy machine is busy for all. Prints medians.
//
// With one call outstanding server and client share a core: nothing but the work is measured, not
// how long a sleeping core takes to wake up. Otherwise each has one. What that costs at least is
// told by two bare processes that do nothing but send 64 bytes back and forth, round by round.
//
//     grpc_bench [TEXT]                    the whole, or the lines with TEXT in their names;
//                                          "their client", "stream" and "idle" are the other parts
//     grpc_bench --serve ADDRESS [FOLDER]  the server: HOST:PORT or unix:PATH; certificates for TLS
#include "bench/grpc_bench.h"
#include "bench/bench_node.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/os_heap.h"
#include "core/scope.h"
#include "core/uring_env.h"
#include "grpc_testing.pb.h"
#include "pool.pb.h"
#include "wire/grpc/client_session.h"
#include "wire/grpc/tls_stream.h"
#include "wire/tls/tls_testing.h"

using namespace capstan;
using namespace capstan::bench;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;

namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 5;
constexpr int kStreamMessages = 1'000'000;
constexpr int kIdleConnections = 500;

struct Shape {
  const char* name;
  const char* operation;
  std::size_t bytes;
  int outstanding;
  int calls;
};
constexpr Shape kShapes[] = {{"echo 0 B, 1 outstanding", kEcho, 0, 1, 10'000},
                             {"echo 0 B, 64 outstanding", kEcho, 0, 64, 60'000},
                             {"echo 0 B, 128 outstanding", kEcho, 0, 128, 60'000},
                             {"echo 64 KiB, 1 outstanding", kEcho, 65'536, 1, 2'000},
                             {"echo 64 KiB, 64 outstanding", kEcho, 65'536, 64, 4'000},
                             {"echo 1 MiB, 1 outstanding", kEcho, 1U << 20, 1, 200},
                             {"ListPools, 1 outstanding", kListPools, 0, 1, 10'000},
                             {"ListPools, 64 outstanding", kListPools, 0, 64, 30'000},
                             {"ListPools, 128 outstanding", kListPools, 0, 128, 30'000}};

double at_share(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

void pin(pid_t thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(thread, sizeof set, &set);
}

// Of all threads of a process, as the scheduler counts it.
double cpu_us_of(pid_t process) {
  double total = 0;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    double ran_ns = 0;
    std::ifstream(task.path() / "schedstat") >> ran_ns;
    total += ran_ns / 1000;
  }
  return total;
}

// --- servers as children ------------------------------------------------------------------------

class Child {
 public:
  Child(std::string name, const std::vector<std::string>& command, std::string address,
        std::shared_ptr<const wire::TlsContext> tls = nullptr)
      : name_(std::move(name)), address_(std::move(address)), tls_(std::move(tls)) {
    std::fflush(stdout);  // else the child says it again
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (!std::freopen("/dev/null", "w", stdout)) _exit(127);
      std::vector<char*> arguments;
      for (const auto& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
      arguments.push_back(nullptr);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
  }
  ~Child() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& name() const { return name_; }
  core::Address address() const { return address_of(address_); }
  const std::shared_ptr<const wire::TlsContext>& tls() const { return tls_; }
  double cpu_us() const { return cpu_us_of(pid_); }
  double resident_kib() const {
    std::ifstream file(folder() + "/status");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmRSS:")) return std::stod(line.substr(6));
    }
    return 0;
  }
  void pin_to(int core) const {
    for (const auto& task : fs::directory_iterator(folder() + "/task")) {
      pin(std::stoi(task.path().filename()), core);
    }
  }

 private:
  std::string folder() const { return "/proc/" + std::to_string(pid_); }
  std::string name_, address_;
  std::shared_ptr<const wire::TlsContext> tls_;
  pid_t pid_;
};

// --- the client ---------------------------------------------------------------------------------

using Session = std::shared_ptr<wire::ClientSession>;

core::Task<Session> connect(core::Env* env, const Child* server, core::Scope* scope) {
  for (int i = 0;; ++i) {
    auto stream = co_await env->network().connect(server->address(), {});
    if (!stream && i < 1000) {
      (void)co_await core::sleep_for(10 * core::kMillisecond);
      continue;
    }
    if (!stream) give_up(server->name() + " does not start: " + stream.error().text());
    if (server->tls()) {
      *stream = wire::make_tls_stream(*std::move(stream), *server->tls(), "localhost");
    }
    auto session = std::make_shared<wire::ClientSession>(*core::Reactor::current(),
                                                         *std::move(stream), wire::ClientOptions());
    scope->spawn(session->run());
    co_return session;
  }
}

core::Task<void> caller(Session session, const Shape* shape, int calls,
                        std::vector<double>* times) {
  SimpleRequest request;
  if (shape->bytes != 0) {
    request.mutable_payload()->set_body(std::string(shape->bytes, 'x'));
    request.set_response_size(static_cast<int>(shape->bytes));
  }
  const bool echo = std::strcmp(shape->operation, kEcho) == 0;
  SimpleResponse echoed;
  mayastor::v1::ListPoolsResponse listed;
  for (int i = 0; i < calls; ++i) {
    const double begun = now_us();
    wire::ClientCall call(session);
    Result<void> done = call.begin(shape->operation, {}, &request);
    if (done) {
      const auto got = co_await call.next(echo ? static_cast<rpc::Message&>(echoed) : listed);
      done = got ? co_await call.finish() : std::unexpected(got.error());
    }
    if (!done ||
        (echo ? echoed.payload().body().size() != shape->bytes : listed.pools_size() != 8)) {
      give_up(done ? "the answer is another one" : done.error().text());
    }
    times->push_back(now_us() - begun);
  }
}

core::Task<void> all_calls(Session session, const Shape* shape, int calls,
                           std::vector<double>* times) {
  core::Scope scope;
  for (int i = 0; i < shape->outstanding; ++i) {
    scope.spawn(caller(session, shape, std::max(calls / shape->outstanding, 1), times));
  }
  co_await scope.join();
}

struct Figures {
  std::vector<double> cpu_us, p50, p99, per_second;
};

core::Task<void> measure(core::Env* env, const Child* server, const Shape* shape,
                         Figures* figures) {
  core::Scope scope;
  const auto session = co_await connect(env, server, &scope);
  const bool share = shape->outstanding == 1;
  server->pin_to(0);
  pin(0, share || sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 0 : 1);
  std::vector<double> times;
  co_await all_calls(session, shape, shape->calls / 10, &times);  // warm
  times.clear();
  const double cpu = server->cpu_us(), begun = now_us();
  co_await all_calls(session, shape, shape->calls, &times);
  const auto count = static_cast<double>(times.size());
  figures->per_second.push_back(count / (now_us() - begun) * 1e6);
  figures->cpu_us.push_back((server->cpu_us() - cpu) / count);
  figures->p50.push_back(at_share(times, 0.5));
  figures->p99.push_back(at_share(times, 0.99));
  session->abort("done");
  co_await scope.join();
}

core::Task<void> stream(core::Env* env, const Child* server, Figures* figures) {
  core::Scope scope;
  const auto session = co_await connect(env, server, &scope);
  server->pin_to(0);
  pin(0, sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 0 : 1);
  grpc::testing::StreamingOutputCallRequest request;
  grpc::testing::StreamingOutputCallResponse response;
  request.add_response_parameters()->set_size(8);
  request.mutable_response_parameters(0)->set_interval_us(kStreamMessages);
  const double cpu = server->cpu_us(), begun = now_us();
  int count = 0;
  {
    wire::ClientCall call(session);
    auto good = call.begin(kStream, {}, &request);
    while (good) {
      const auto got = co_await call.next(response);
      if (!got) good = std::unexpected(got.error());
      if (!got || !*got) break;
      ++count;
    }
    if (!good || count != kStreamMessages) give_up(good ? "too few messages" : good.error().text());
  }
  figures->per_second.push_back(count / (now_us() - begun) * 1e6);
  figures->cpu_us.push_back((server->cpu_us() - cpu) / count);
  session->abort("done");
  co_await scope.join();
}

// Each connection has made a call; the second is what a server may take to see that it is idle.
core::Task<void> idle(core::Env* env, const Child* server, double* kib_each) {
  const Shape one{"", kEcho, 0, 1, 1};
  core::Scope scope;
  std::vector<Session> sessions;
  std::vector<double> times;
  sessions.push_back(co_await connect(env, server, &scope));
  co_await all_calls(sessions[0], &one, 1000, &times);
  const double before = server->resident_kib();
  for (int i = 0; i < kIdleConnections; ++i) {
    sessions.push_back(co_await connect(env, server, &scope));
    co_await all_calls(sessions.back(), &one, 1, &times);
  }
  (void)co_await core::sleep_for(3 * core::kSecond);
  *kib_each = (server->resident_kib() - before) / kIdleConnections;
  for (const auto& session : sessions) session->abort("done");
  co_await scope.join();
}

// --- the floor ----------------------------------------------------------------------------------

struct Floor {
  double p50_us;  // of a round trip
  double cpu_us;  // of the answering process for it
};

// 64 bytes there and back between two blocking processes on one core: nothing is faster.
Floor bare_ping_pong(const core::Address& address) {
  sockaddr_in tcp{};
  tcp.sin_family = AF_INET;
  tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  address.path.copy(local.sun_path, sizeof local.sun_path - 1);
  const bool is_unix = address.kind == core::Address::Kind::kUnix;
  auto* generic = is_unix ? reinterpret_cast<sockaddr*>(&local) : reinterpret_cast<sockaddr*>(&tcp);
  socklen_t size = is_unix ? sizeof local : sizeof tcp;
  const int listener = socket(generic->sa_family, SOCK_STREAM, 0);
  if (bind(listener, generic, size) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, generic, &size) != 0) {
    give_up("no address for the bare socket");
  }
  pin(0, 0);
  std::array<char, 64> bytes{};
  const pid_t child = fork();
  if (child == 0) {
    const int peer = accept(listener, nullptr, nullptr);
    while (recv(peer, bytes.data(), bytes.size(), MSG_WAITALL) == bytes.size() &&
           send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL) == bytes.size()) {
    }
    _exit(0);
  }
  const int mine = socket(generic->sa_family, SOCK_STREAM, 0);
  if (connect(mine, generic, size) != 0) give_up("no bare socket");
  std::vector<double> times;
  const double cpu = cpu_us_of(child);
  for (int i = 0; i < 20'000; ++i) {
    const double begun = now_us();
    if (send(mine, bytes.data(), bytes.size(), 0) != bytes.size() ||
        recv(mine, bytes.data(), bytes.size(), MSG_WAITALL) != bytes.size()) {
      give_up("the bare socket broke");
    }
    times.push_back(now_us() - begun);
  }
  const double used = cpu_us_of(child) - cpu;
  close(mine);
  close(listener);
  waitpid(child, nullptr, 0);
  return {at_share(times, 0.5), used / static_cast<double>(times.size())};
}

// Beside every comparison anew: a busy machine is not equally busy all the time.
Floor bare(const Child& beside, const fs::path& scratch) {
  const auto address = beside.address();
  if (address.kind == core::Address::Kind::kTcp) return bare_ping_pong(address);
  const std::string path = scratch / "bare";
  fs::remove(path);
  return bare_ping_pong(core::Address::unix_path(path));
}

// --- comparing ----------------------------------------------------------------------------------

using Servers = std::vector<std::unique_ptr<Child>>;

// The median of the rounds' ratios: what a round meets, both of its servers met.
double times_ours(const Figures& theirs, const Figures& ours) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < theirs.cpu_us.size(); ++i) {
    ratios.push_back(theirs.cpu_us[i] / ours.cpu_us[i]);
  }
  return at_share(ratios, 0.5);
}

void compare(core::UringEnv& env, const char* kind, const Servers& servers, const char* wanted,
             const fs::path& scratch) {
  for (const Shape& shape : kShapes) {
    const std::string title = std::string(kind) + ", " + shape.name;
    if (title.find(wanted) == std::string::npos) continue;
    std::vector<Figures> figures(servers.size());
    Figures floor;
    for (int round = 0; round < kRounds; ++round) {
      if (shape.outstanding == 1) {
        const Floor measured = bare(*servers[0], scratch);
        floor.p50.push_back(measured.p50_us);
        floor.cpu_us.push_back(measured.cpu_us);
      }
      for (std::size_t i = 0; i < servers.size(); ++i) {
        const bool lists = servers[i]->name() != "grpc-go" && servers[i]->name() != "tonic";
        if (shape.operation == kListPools && !lists) continue;
        env.run(measure(&env, servers[i].get(), &shape, &figures[i]));
      }
    }
    std::printf("  %s\n", title.c_str());
    for (std::size_t i = 0; i < servers.size(); ++i) {
      if (figures[i].cpu_us.empty()) continue;
      const double cpu = at_share(figures[i].cpu_us, 0.5), p50 = at_share(figures[i].p50, 0.5);
      std::printf("    %-12s %8.2f us CPU (%4.1f x)  %7.0f calls/s  p50 %8.1f us  p99 %8.1f us",
                  servers[i]->name().c_str(), cpu, times_ours(figures[i], figures[0]),
                  at_share(figures[i].per_second, 0.5), p50, at_share(figures[i].p99, 0.5));
      if (shape.outstanding == 1) {
        std::printf("  of bare: %4.1f x CPU, %4.1f x p50", cpu / at_share(floor.cpu_us, 0.5),
                    p50 / at_share(floor.p50, 0.5));
      }
      std::printf("\n");
    }
    if (shape.outstanding == 1) {
      std::printf("    %-12s %8.2f us CPU            %7s          p50 %8.1f us\n", "bare echo",
                  at_share(floor.cpu_us, 0.5), "", at_share(floor.p50, 0.5));
    }
    std::fflush(stdout);
  }
}

// grpc++'s client, one call at a time, on one core with the server.
void compare_with_their_client(const Servers& servers, const std::string& peer,
                               const fs::path& scratch) {
  if (!fs::exists(peer)) return;
  std::printf("  TCP, echo 0 B, 1 outstanding, grpc++'s client\n");
  std::vector<Figures> figures(servers.size());
  Figures floor;
  for (int round = 0; round < kRounds; ++round) {
    floor.p50.push_back(bare(*servers[0], scratch).p50_us);
    pin(0, 0);  // and who is started from here
    for (std::size_t i = 0; i < servers.size(); ++i) {
      servers[i]->pin_to(0);
      const std::string command = peer + " --call " + servers[i]->address().text() + " 10000";
      std::FILE* said = popen(command.c_str(), "r");
      double p50 = 0, p99 = 0;
      if (!said || std::fscanf(said, "%lf %lf", &p50, &p99) != 2 || pclose(said) != 0) {
        give_up("grpc++'s client cannot call " + servers[i]->name());
      }
      figures[i].p50.push_back(p50);
      figures[i].p99.push_back(p99);
    }
  }
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const double p50 = at_share(figures[i].p50, 0.5);
    std::printf("    %-12s p50 %8.1f us  p99 %8.1f us  of bare: %4.1f x p50\n",
                servers[i]->name().c_str(), p50, at_share(figures[i].p99, 0.5),
                p50 / at_share(floor.p50, 0.5));
  }
}

void compare_streams(core::UringEnv& env, const Servers& servers) {
  std::printf("  a stream of %d messages of 8 B\n", kStreamMessages);
  double ours = 0;
  for (const auto& server : servers) {
    if (server->name() != "capstan" && server->name() != "grpc++") continue;
    Figures figures;
    for (int round = 0; round < 3; ++round) env.run(stream(&env, server.get(), &figures));
    const double cpu = at_share(figures.cpu_us, 0.5);
    if (ours == 0) ours = cpu;
    std::printf("    %-12s %8.3f us CPU a message (%4.1f x)  %9.0f messages/s\n",
                server->name().c_str(), cpu, cpu / ours, at_share(figures.per_second, 0.5));
  }
}

void compare_idle(core::UringEnv& env, const Servers& servers) {
  std::printf("  an idle connection after one call\n");
  for (const auto& server : servers) {
    double kib = 0;
    env.run(idle(&env, server.get(), &kib));
    std::printf("    %-12s %6.1f KiB\n", server->name().c_str(), kib);
  }
}

void add(Servers& servers, const char* name, const std::vector<std::string>& command,
         const std::string& address) {
  if (!fs::exists(command[0])) return;
  servers.push_back(std::make_unique<Child>(name, command, address));
}

std::shared_ptr<const wire::TlsContext> write_certificates(const fs::path& folder) {
  const wire::testing::TestAuthority authority("bench");
  const auto identity = authority.issue("localhost");
  std::ofstream(folder / "cert.pem") << identity.certificate_pem;
  std::ofstream(folder / "key.pem") << identity.key_pem;
  wire::TlsClientConfig config;
  config.ca_pem = authority.pem();
  auto made = wire::TlsContext::client(config);
  if (!made) give_up(made.error().text());
  return *std::move(made);
}

void run(core::UringEnv& env, const fs::path& here, const fs::path& scratch, const char* wanted) {
  const std::string self = here / "grpc_bench", peer = here / "grpc-bench-peer";
  const fs::path tools = here.parent_path().parent_path() / "tools";
  const std::string sockets = scratch / "grpc";
  std::printf("medians of %d rounds\n", kRounds);
  const auto at = [](int port) { return "127.0.0.1:" + std::to_string(port); };
  {
    Servers tcp;
    const auto add_tcp = [&](const char* name, std::vector<std::string> command, bool whole) {
      const int port = free_port();
      command.push_back(whole ? at(port) : std::to_string(port));
      add(tcp, name, command, at(port));
    };
    add_tcp("capstan", {self, "--serve"}, true);
    add_tcp("grpc++", {peer}, true);
    add_tcp("grpc-go", {tools / "grpc-go-v1.67.1/server", "-port"}, false);
    add_tcp("tonic", {tools / "tonic-client/target/release/capstan-tonic-peer"}, true);
    // First: memory that a server has kept of other work would hide what a connection takes.
    if (std::strstr("idle", wanted)) compare_idle(env, tcp);
    compare(env, "TCP", tcp, wanted, scratch);
    if (std::strstr("their client", wanted)) compare_with_their_client(tcp, peer, scratch);
    if (std::strstr("stream", wanted)) compare_streams(env, tcp);
  }
  {
    Servers unix_sockets;
    add(unix_sockets, "capstan", {self, "--serve", "unix:" + sockets + ".a"},
        "unix:" + sockets + ".a");
    add(unix_sockets, "grpc++", {peer, "unix:" + sockets + ".b"}, "unix:" + sockets + ".b");
    compare(env, "Unix", unix_sockets, wanted, scratch);
  }
  Servers tls;
  const auto trust = write_certificates(scratch);
  std::string to = at(free_port());
  add(tls, "capstan", {self, "--serve", to}, to);
  to = at(free_port());
  tls.push_back(std::make_unique<Child>(
      "with TLS", std::vector<std::string>{self, "--serve", to, scratch.string()}, to, trust));
  compare(env, "TLS", tls, wanted, scratch);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 3 && std::strcmp(argv[1], "--serve") == 0) {
    return serve_on(argv[2], argc > 3 ? argv[3] : "");
  }
  core::keep_freed_memory();  // the client's part of a large message
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  std::string pattern = (fs::temp_directory_path() / "capstan-grpc-bench-XXXXXX").string();
  if (!mkdtemp(pattern.data())) give_up("no folder for sockets");
  auto env = core::UringEnv::create({});
  if (!env) give_up(env.error().text());
  run(**env, here, pattern, argc > 1 ? argv[1] : "");
  fs::remove_all(pattern);
  return EXIT_SUCCESS;
}
