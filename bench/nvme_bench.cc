// Why this file exists: the NVMe/TCP target and initiator beside bare TCP in one run: the same
// bytes there and back on the same kind of sockets between the same two cores. What the protocol
// adds is the ratio. Core 0 is the host, core 1 the target; devices are memory and a pool in a
// file. With --io-core 1 core 2 runs the connections of the I/O queues, and the target's CPU time
// is told for the devices' core and for that one.
//
//   nvme_bench [--seconds N] [--file PATH] [--poll-us N] [--digests 0|1] [--io-core 0|1]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "apps/capstan_nvme/bench.h"
#include "core/uring_env.h"
#include "storage/device/file_device.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/initiator.h"
#include "storage/nvme/initiator_device.h"
#include "storage/nvme/target.h"
#include "storage/pool/pool.h"

namespace capstan {
namespace {

using core::Nanos;
using core::Task;

constexpr std::uint64_t kDeviceBytes = 256ULL << 20;
constexpr std::size_t kCommand = 72, kResponse = 24, kHeader = 24, kBlock = 4096;
constexpr std::size_t kLong = 128U << 10;

struct Settings {
  Nanos duration = 3 * core::kSecond;
  std::string file = "/var/tmp/capstan-nvme-bench.img";
  int poll_us = 20;
  bool digests = false, io_core = false;
};

void require(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "nvme_bench: %s\n", what.c_str());
  std::abort();
}
template <class T>
T required(Result<T> result, const char* what) {
  require(result.has_value(), result ? "" : std::string(what) + ": " + result.error().text());
  return *std::move(result);
}

class NoLog final : public core::LogSink {
 public:
  void write(const core::LogRecord&) override {}
};

// --- bare TCP ------------------------------------------------------------------------------------

Task<bool> read_all(core::Stream& stream, MutableBytes into) {
  while (!into.empty()) {
    const auto got = co_await stream.read(into);
    if (!got || *got == 0) co_return false;
    into = into.subspan(*got);
  }
  co_return true;
}

// What a peer on core 1 does with one connection: answers `asked` bytes with `answered`; asked 0:
// sends for ever; answered 0: takes for ever.
struct BarePeer {
  std::size_t asked = 0, answered = 0;
  std::unique_ptr<core::StreamListener> listener;
};
Task<void> serve_bare(BarePeer* peer) {
  const auto stream = co_await peer->listener->accept();
  if (!stream) co_return;
  std::vector<std::uint8_t> in(peer->asked == 0 ? kLong : peer->asked), out(peer->answered);
  while (true) {
    if (peer->asked != 0 && !co_await read_all(**stream, in)) co_return;
    if (!out.empty() && !co_await (*stream)->write(out)) co_return;
  }
}
Task<Result<std::uint16_t>> listen_bare(core::Env* env, BarePeer* peer) {
  CO_TRY_SET(peer->listener, env->network().listen(core::Address::tcp("127.0.0.1", 0)));
  co_return peer->listener->local().port;
}
Task<Result<void>> run_bare(BarePeer* peer) {
  co_await serve_bare(peer);
  peer->listener.reset();
  co_return {};
}
Task<void> bare_peer(core::Env* env, BarePeer* peer) {
  static_cast<void>(
      co_await core::on<Result<void>>(env->reactor(1), [peer] { return run_bare(peer); }));
}

// Mean time of one exchange in nanoseconds.
Task<double> ping_pong(core::Env* env, Nanos duration, std::size_t out, std::size_t in) {
  BarePeer peer{out, in, {}};
  const std::uint16_t port =
      required(co_await core::on<Result<std::uint16_t>>(
                   env->reactor(1), [env, &peer] { return listen_bare(env, &peer); }),
               "listen");
  core::Scope scope;
  scope.spawn(bare_peer(env, &peer));
  auto stream = required(co_await env->network().connect(core::Address::tcp("127.0.0.1", port), {}),
                         "connect");
  std::vector<std::uint8_t> sent(out), received(in);
  core::Reactor& reactor = *core::Reactor::current();
  const Nanos start = reactor.read_clock();
  std::uint64_t rounds = 0;
  while (reactor.read_clock() - start < duration) {
    require((co_await stream->write(sent)).has_value(), "write");
    require(co_await read_all(*stream, received), "read");
    ++rounds;
  }
  const Nanos elapsed = reactor.read_clock() - start;
  stream.reset();
  co_await scope.join();
  co_return static_cast<double>(elapsed) / static_cast<double>(rounds);
}

// Bytes a second from core 1 to core 0, or the other way round.
Task<double> stream_bytes(core::Env* env, Nanos duration, bool to_host) {
  BarePeer peer{to_host ? 0 : kLong, to_host ? kLong : 0, {}};
  const std::uint16_t port =
      required(co_await core::on<Result<std::uint16_t>>(
                   env->reactor(1), [env, &peer] { return listen_bare(env, &peer); }),
               "listen");
  core::Scope scope;
  scope.spawn(bare_peer(env, &peer));
  auto stream = required(co_await env->network().connect(core::Address::tcp("127.0.0.1", port), {}),
                         "connect");
  std::vector<std::uint8_t> buffer(kLong);
  core::Reactor& reactor = *core::Reactor::current();
  const Nanos start = reactor.read_clock();
  std::uint64_t bytes = 0;
  while (reactor.read_clock() - start < duration) {
    if (to_host) {
      require(co_await read_all(*stream, buffer), "read");
    } else {
      require((co_await stream->write(buffer)).has_value(), "write");
    }
    bytes += kLong;
  }
  const Nanos elapsed = reactor.read_clock() - start;
  stream.reset();
  co_await scope.join();
  co_return static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed);
}

// --- NVMe ----------------------------------------------------------------------------------------

// Everything of core 1, made and ended there.
struct TargetSide {
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  std::unique_ptr<storage::nvme::Target> target;
  std::unique_ptr<storage::Pool> pool;
  core::Address address;
};

constexpr unsigned kIdleDevices = 10;
constexpr Nanos kIdleNanos = 20 * core::kSecond;
constexpr const char* kMemoryNqn = "nqn.2019-05.io.openebs:memory";
constexpr const char* kFileNqn = "nqn.2019-05.io.openebs:file";

Task<Result<void>> open_pool(core::Env* env, TargetSide* side, std::string path) {
  {
    CO_TRY_SET(const auto file,
               co_await env->files().open(path, {.write = true, .create = true, .truncate = true}));
    CO_TRY(co_await file->truncate(2 * kDeviceBytes));
  }
  storage::FileDeviceOptions options;
  options.path = path;
  CO_TRY_SET(const auto device, co_await storage::FileDevice::open(*env, std::move(options)));
  CO_TRY_SET(side->pool,
             co_await storage::Pool::create(*env, device, "bench", env->random_uuid(), {}));
  storage::ReplicaOptions wanted;
  wanted.name = "v";
  wanted.uuid = env->random_uuid();
  wanted.size_bytes = kDeviceBytes;
  wanted.thin = false;
  CO_TRY_SET(const auto replica, co_await side->pool->create_replica(wanted));
  std::vector<std::uint8_t> zeros(1U << 20);
  for (std::uint64_t at = 0; at < kDeviceBytes; at += zeros.size()) {
    CO_TRY(co_await replica->write(at, zeros));
  }
  CO_TRY_SET(const auto subsystem, side->target->add({.nqn = kFileNqn}));
  CO_TRY(subsystem->add_namespace(replica));
  co_return {};
}

Task<Result<void>> start_target(core::Env* env, TargetSide* side, std::string file) {
  std::vector<core::Reactor*> io_cores;
  for (unsigned core = 2; core < env->cores(); ++core) io_cores.push_back(&env->reactor(core));
  side->target = std::make_unique<storage::nvme::Target>(
      *env, side->log, storage::nvme::limits::kBufferBytes, std::move(io_cores));
  CO_TRY_SET(const std::uint16_t port, side->target->listen(core::Address::tcp("127.0.0.1", 0)));
  side->address = side->target->address(port);
  const auto memory =
      std::make_shared<storage::MemoryDevice>("m", env->random_uuid(), 512, kDeviceBytes / 512);
  std::vector<std::uint8_t> content(1U << 20, 0x5A);
  for (std::uint64_t at = 0; at < kDeviceBytes; at += content.size()) {
    CO_TRY(co_await memory->write(at, content));
  }
  CO_TRY_SET(const auto subsystem, side->target->add({.nqn = kMemoryNqn}));
  CO_TRY(subsystem->add_namespace(memory));
  for (unsigned i = 0; i < kIdleDevices; ++i) {
    CO_TRY_SET(const auto idle,
               side->target->add({.nqn = std::string(kMemoryNqn) + "-" + std::to_string(i)}));
    CO_TRY(idle->add_namespace(memory));
  }
  co_return co_await open_pool(env, side, std::move(file));
}
Task<Result<void>> stop_target(TargetSide* side) {
  co_await side->target->shutdown();
  side->target.reset();
  if (side->pool) CO_TRY(co_await side->pool->unload());
  side->pool.reset();
  co_return {};
}

// CPU time of the calling thread, and of the target's cores: where the devices are, and the other.
std::uint64_t thread_cpu() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * core::kSecond +
         static_cast<std::uint64_t>(time.tv_nsec);
}
Task<Result<std::uint64_t>> cpu_here() {
  co_return thread_cpu();
}
struct TargetCpu {
  std::uint64_t devices = 0, connections = 0;
  TargetCpu operator-(const TargetCpu& before) const {
    return {devices - before.devices, connections - before.connections};
  }
};
Task<TargetCpu> cpu_of_target(core::Env* env) {
  const auto of = [env](unsigned core) {
    return core::on<Result<std::uint64_t>>(env->reactor(core), [] { return cpu_here(); });
  };
  TargetCpu out{*co_await of(1), 0};
  if (env->cores() > 2) out.connections = *co_await of(2);
  co_return out;
}
// "1.23" or, with a core for the connections, "0.45 + 1.23"; microseconds of one request.
std::string cpu_text(const TargetCpu& used, std::uint64_t requests, bool io_core) {
  const auto each = [requests](std::uint64_t nanos) {
    return static_cast<double>(nanos) / 1000 / static_cast<double>(requests);
  };
  char text[64];
  if (io_core) {
    std::snprintf(text, sizeof text, "%.2f + %.2f", each(used.devices), each(used.connections));
  } else {
    std::snprintf(text, sizeof text, "%.2f", each(used.devices));
  }
  return text;
}

struct Bare {
  double read_ns = 0, write_ns = 0, down = 0, up = 0;
};

Task<void> measure(core::Env* env, storage::Device* device, Nanos duration, const char* name,
                   Bare bare) {
  const auto run = [&](const char* pattern, std::uint64_t bytes, std::uint64_t depth) {
    return apps::run_device_bench(*env, *device, {pattern, bytes, depth, duration});
  };
  for (const char* pattern : {"randread", "randwrite"}) {
    const bool read = std::strcmp(pattern, "randread") == 0;
    const auto one = required(co_await run(pattern, kBlock, 1), pattern);
    const double floor = read ? bare.read_ns : bare.write_ns;
    std::printf("%-7s %-9s 4 KiB QD1    %8.1f us mean, %6.1f p50, %6.1f p99; %.2f x bare TCP\n",
                name, pattern, static_cast<double>(one.mean) / 1000,
                static_cast<double>(one.p50) / 1000, static_cast<double>(one.p99) / 1000,
                static_cast<double>(one.mean) / floor);
    const std::uint64_t host_before = thread_cpu();
    const TargetCpu target_before = co_await cpu_of_target(env);
    const auto many = required(co_await run(pattern, kBlock, 32), pattern);
    const double host_us =
        static_cast<double>(thread_cpu() - host_before) / 1000 / static_cast<double>(many.requests);
    const TargetCpu used = co_await cpu_of_target(env) - target_before;
    std::printf(
        "%-7s %-9s 4 KiB QD32   %8.0f a second, %6.1f us p50, %6.1f p99; CPU of one: host "
        "%.2f us, target %s us\n",
        name, pattern, many.per_second(), static_cast<double>(many.p50) / 1000,
        static_cast<double>(many.p99) / 1000, host_us,
        cpu_text(used, many.requests, env->cores() > 2).c_str());
  }
  for (const char* pattern : {"read", "write"}) {
    const bool read = std::strcmp(pattern, "read") == 0;
    const TargetCpu before = co_await cpu_of_target(env);
    const auto long_ones = required(co_await run(pattern, kLong, 8), pattern);
    const TargetCpu used = co_await cpu_of_target(env) - before;
    const double rate = long_ones.per_second() * kLong;
    std::printf("%-7s %-9s 128 KiB QD8  %8.0f MiB/s; %.2f x bare TCP; CPU of one: target %s us\n",
                name, pattern, rate / (1 << 20), rate / (read ? bare.down : bare.up),
                cpu_text(used, long_ones.requests, env->cores() > 2).c_str());
  }
  std::fflush(stdout);
}

// What ten shared devices with two I/O queues each cost while nobody uses them.
Task<void> measure_idle(core::Env* env, storage::nvme::Initiator* initiator,
                        storage::nvme::HostOptions options) {
  std::vector<std::shared_ptr<storage::nvme::HostController>> controllers;
  options.io_queues = 2;
  for (unsigned i = 0; i < kIdleDevices; ++i) {
    options.subsystem = std::string(kMemoryNqn) + "-" + std::to_string(i);
    controllers.push_back(required(co_await initiator->connect(options), "connect"));
  }
  static_cast<void>(co_await core::sleep_for(core::kSecond));
  const std::uint64_t host_before = thread_cpu();
  const TargetCpu target_before = co_await cpu_of_target(env);
  static_cast<void>(co_await core::sleep_for(kIdleNanos));
  const auto percent = [](std::uint64_t nanos) {
    return 100 * static_cast<double>(nanos) / static_cast<double>(kIdleNanos);
  };
  const double host = percent(thread_cpu() - host_before);
  const TargetCpu used = co_await cpu_of_target(env) - target_before;
  const double target = percent(used.devices + used.connections);
  std::printf("idle, 10 devices, 20 I/O queues: host %.3f %% of a core, target %.3f %%\n", host,
              target);
}

Task<void> whole(core::Env* env, Settings settings) {
  Bare bare;
  bare.read_ns = co_await ping_pong(env, settings.duration, kCommand, kHeader + kBlock + kResponse);
  bare.write_ns = co_await ping_pong(env, settings.duration, kCommand + kBlock, kResponse);
  bare.down = co_await stream_bytes(env, settings.duration, true);
  bare.up = co_await stream_bytes(env, settings.duration, false);
  std::printf(
      "bare TCP: read exchange %.1f us, write exchange %.1f us, %.0f MiB/s to the host, "
      "%.0f MiB/s from it\n",
      bare.read_ns / 1000, bare.write_ns / 1000, bare.down / (1 << 20), bare.up / (1 << 20));
  TargetSide side;
  required(co_await core::on<Result<void>>(
               env->reactor(1),
               [env, &side, file = settings.file] { return start_target(env, &side, file); }),
           "target");
  storage::nvme::Initiator initiator(*env, side.log);
  for (const auto& [name, nqn] : {std::pair("memory", kMemoryNqn), std::pair("file", kFileNqn)}) {
    storage::nvme::HostOptions options;
    options.address = side.address;
    options.subsystem = nqn;
    options.host = "nqn.2019-05.io.openebs:bench";
    options.flow_control = false;
    options.digests = {settings.digests, settings.digests};
    auto device =
        required(storage::nvme::RemoteDevice::make(
                     required(co_await initiator.connect(options), "connect"), 1, name, Uuid()),
                 "device");
    co_await measure(env, device.get(), settings.duration, name, bare);
  }
  storage::nvme::HostOptions idle;
  idle.address = side.address;
  idle.host = "nqn.2019-05.io.openebs:bench";
  co_await measure_idle(env, &initiator, idle);
  co_await initiator.shutdown();
  required(co_await core::on<Result<void>>(env->reactor(1), [&] { return stop_target(&side); }),
           "stop");
  static_cast<void>(co_await env->files().remove(settings.file));
}

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--seconds")
      settings.duration = std::strtoull(argv[i + 1], nullptr, 10) * core::kSecond;
    if (flag == "--file") settings.file = argv[i + 1];
    if (flag == "--poll-us") settings.poll_us = std::atoi(argv[i + 1]);
    if (flag == "--digests") settings.digests = std::atoi(argv[i + 1]) != 0;
    if (flag == "--io-core") settings.io_core = std::atoi(argv[i + 1]) != 0;
  }
  auto env = core::UringEnv::create(
      {.cores = settings.io_core ? 3U : 2U, .poll_us = settings.poll_us, .on_stall = {}});
  require(env.has_value(), env ? "" : env.error().text());
  (*env)->run(whole(env->get(), settings));
  return 0;
}

}  // namespace
}  // namespace capstan

int main(int argc, char** argv) {
  return capstan::main(argc, argv);
}
