// Why this file exists: what a unary call costs our gRPC server beside grpc++'s: an echo of 8 bytes
// and of 64 KiB over TCP and over a Unix socket, with 1 and with 64 calls outstanding, by one
// client (ours) on one connection. Each server is a process of its own; rounds alternate in one
// run, so a busy machine is busy for both. Prints medians: calls per second of server CPU, CPU of
// one call, p50 and p99 as the client sees them, and ratios.
//
//     grpc_bench [TEXT]              the whole, or the lines with TEXT in their names; grpc++'s
//     part
//                                    only if grpc-bench-peer was built
//     grpc_bench --serve ADDRESS     the server: HOST:PORT or unix:PATH
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
#include <string>
#include <vector>

#include "core/os_signal.h"
#include "core/uring_env.h"
#include "grpc_testing.pb.h"
#include "wire/grpc/client_session.h"
#include "wire/grpc/server.h"

using namespace capstan;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;

namespace {

constexpr int kRounds = 5;
constexpr char kEcho[] = "grpc.testing.TestService/UnaryCall";

struct Shape {
  const char* name;
  std::size_t bytes;
  int outstanding;
  int calls;
};
constexpr Shape kShapes[] = {{"8 B, 1 outstanding", 8, 1, 10'000},
                             {"8 B, 64 outstanding", 8, 64, 60'000},
                             {"64 KiB, 1 outstanding", 65536, 1, 2'000}};

double now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::micro>(now).count();
}
double at_share(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}
[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(EXIT_FAILURE);
}

core::Address address_of(const std::string& text) {
  if (text.starts_with("unix:")) return core::Address::unix_path(text.substr(5));
  const auto colon = text.rfind(':');
  return core::Address::tcp(text.substr(0, colon),
                            static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
}

// --- our server --------------------------------------------------------------------------------

class EchoService {
 public:
  core::Task<Result<SimpleResponse>> echo(rpc::Call&, const SimpleRequest& request) {
    SimpleResponse response;
    response.mutable_payload()->set_body(request.payload().body());
    co_return response;
  }
};

core::Task<void> serve(core::Env* env, core::SignalSet* signals, rpc::Directory* directory,
                       core::Log* log, core::Address address) {
  wire::GrpcServer server(*env, *directory, *log, {});
  if (auto listening = server.listen(address); !listening) give_up(listening.error().text());
  core::Scope scope;
  scope.spawn(server.run());
  std::puts("ready");
  std::fflush(stdout);
  (void)co_await signals->wait();
  server.stop(core::kSecond);
  co_await scope.join();
}

int serve_on(const std::string& address) {
  auto signals = core::SignalSet::create();
  auto env = core::UringEnv::create({});
  if (!signals || !env) give_up("no signals or no io_uring here");
  EchoService service;
  rpc::Directory directory;
  const auto* file = SimpleRequest::descriptor()->file();
  auto bound = directory.declare(file->FindServiceByName("TestService"));
  if (bound) bound = rpc::bind_unary(directory, kEcho, service, &EchoService::echo);
  if (!bound) give_up(bound.error().text());
  const auto sink = core::make_stderr_sink({}, "bench");
  core::Log log(*sink, core::LogLevel::kWarn, &core::UringEnv::wall_clock, nullptr);
  (*env)->run(serve(env->get(), signals->get(), &directory, &log, address_of(address)));
  return EXIT_SUCCESS;
}

// --- a server as a child -----------------------------------------------------------------------

class Child {
 public:
  Child(const std::vector<std::string>& command) {
    int fds[2];
    if (pipe(fds) != 0) give_up("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(fds[1], STDOUT_FILENO);
      std::vector<char*> arguments;
      for (const auto& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
      arguments.push_back(nullptr);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(fds[1]);
    char ready[6];
    if (read(fds[0], ready, sizeof ready) != sizeof ready) give_up(command[0] + " did not start");
    close(fds[0]);
  }
  ~Child() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Of all its threads, as the scheduler counts it.
  double cpu_us() const {
    double total = 0;
    const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      double ran_ns = 0;
      std::ifstream(task.path() / "schedstat") >> ran_ns;
      total += ran_ns / 1000;
    }
    return total;
  }

 private:
  pid_t pid_;
};

// --- the client --------------------------------------------------------------------------------

struct Figures {
  std::vector<double> cpu_us, p50, p99, per_second;
};

core::Task<void> caller(std::shared_ptr<wire::ClientSession> session, const SimpleRequest& request,
                        int calls, std::vector<double>& times) {
  SimpleResponse response;
  for (int i = 0; i < calls; ++i) {
    const double begun = now_us();
    wire::ClientCall call(session);
    Result<void> done = call.begin(kEcho, {}, &request);
    if (done) {
      const auto got = co_await call.next(response);
      done = got ? co_await call.finish() : std::unexpected(got.error());
    }
    if (!done || response.payload().body().size() != request.payload().body().size()) {
      give_up(done ? "the echo is another one" : done.error().text());
    }
    times.push_back(now_us() - begun);
  }
}

core::Task<void> all_calls(std::shared_ptr<wire::ClientSession> session, const Shape& shape,
                           int calls, std::vector<double>& times) {
  SimpleRequest request;
  request.mutable_payload()->set_body(std::string(shape.bytes, 'x'));
  core::Scope scope;
  for (int i = 0; i < shape.outstanding; ++i) {
    scope.spawn(caller(session, request, calls / shape.outstanding, times));
  }
  co_await scope.join();
}

core::Task<void> measure(core::Env* env, core::Address address, const Child& server,
                         const Shape& shape, Figures& figures) {
  auto stream = co_await env->network().connect(address, {});
  if (!stream) give_up(stream.error().text());
  auto session = std::make_shared<wire::ClientSession>(*core::Reactor::current(),
                                                       *std::move(stream), wire::ClientOptions());
  core::Scope scope;
  scope.spawn(session->run());
  std::vector<double> times;
  co_await all_calls(session, shape, shape.calls / 10, times);  // warm
  times.clear();
  const double cpu = server.cpu_us(), begun = now_us();
  co_await all_calls(session, shape, shape.calls, times);
  const auto count = static_cast<double>(times.size());
  figures.per_second.push_back(count / (now_us() - begun) * 1e6);
  figures.cpu_us.push_back((server.cpu_us() - cpu) / count);
  figures.p50.push_back(at_share(times, 0.5));
  figures.p99.push_back(at_share(times, 0.99));
  session->abort("done");
  co_await scope.join();
}

double print(const char* who, const Figures& figures) {
  const double cpu = at_share(figures.cpu_us, 0.5);
  std::printf(
      "    %-8s %8.2f us CPU a call  %8.0f calls per CPU second  %8.0f calls/s  p50 %7.1f us"
      "  p99 %7.1f us\n",
      who, cpu, 1e6 / cpu, at_share(figures.per_second, 0.5), at_share(figures.p50, 0.5),
      at_share(figures.p99, 0.5));
  return cpu;
}

void compare(core::UringEnv& env, const std::string& folder, const char* kind,
             const std::string& ours, const std::string& theirs, const char* wanted) {
  const std::string peer = folder + "/grpc-bench-peer";
  const bool both = std::filesystem::exists(peer);
  Child mine({folder + "/grpc_bench", "--serve", ours});
  std::unique_ptr<Child> other;
  if (both) other = std::make_unique<Child>(std::vector<std::string>{peer, theirs});
  for (const Shape& shape : kShapes) {
    if (!std::strstr(shape.name, wanted)) continue;
    Figures capstan, grpc;
    for (int round = 0; round < kRounds; ++round) {
      env.run(measure(&env, address_of(ours), mine, shape, capstan));
      if (both) env.run(measure(&env, address_of(theirs), *other, shape, grpc));
    }
    std::printf("  %s, %s\n", kind, shape.name);
    const double cpu = print("capstan", capstan);
    if (both) std::printf("    ratio of CPU %.1f\n", print("grpc++", grpc) / cpu);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--serve") == 0) return serve_on(argv[2]);
  const std::string folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  auto env = core::UringEnv::create({});
  if (!env) give_up(env.error().text());
  const std::string sockets = "/tmp/capstan-grpc-bench-" + std::to_string(getpid());
  std::printf("unary echo, one connection, median of %d rounds\n", kRounds);
  const char* wanted = argc > 1 ? argv[1] : "";
  compare(**env, folder, "TCP", "127.0.0.1:47301", "127.0.0.1:47302", wanted);
  compare(**env, folder, "Unix", "unix:" + sockets + ".a", "unix:" + sockets + ".b", wanted);
  return EXIT_SUCCESS;
}
