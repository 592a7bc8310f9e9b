// Why this file exists: the NVMe/TCP target and initiator beside bare TCP in one run: the same
// bytes there and back on the same kind of sockets between the same two cores. What the protocol
// adds is the ratio. Core 0 is the host, core 1 the target; devices are memory, the same with
// digests, and a pool in a file. Ends with the targets and whether they were met. With --io-core 1
// core 2 runs the connections of the I/O queues, and the target's CPU time is told for the
// devices' core and for that one.
//
//   nvme_bench [--seconds N] [--file PATH] [--poll-us N] [--only memory|digests|file]
//              [--io-core 0|1]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "apps/capstan_nvme/bench.h"
#include "core/log_sinks.h"
#include "core/uring_env.h"
#include "nvme_bench_floor.h"
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

using bench::kBlockBytes, bench::kDeviceBytes, bench::kLongBytes, bench::kLongDepth;

constexpr std::size_t kCommand = 72, kResponse = 24, kHeader = 24;  // bytes of PDUs
constexpr std::uint64_t kDepth = 32;                                // of random requests

struct Settings {
  Nanos duration = 3 * core::kSecond;
  std::string file = "/var/tmp/capstan-nvme-bench.img";
  int poll_us = 20;
  std::string only;  // one of the three devices
  bool io_core = false;
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

using core::NoLog;

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
// What one request takes of the target's core and how busy that is; of both with one for the
// connections.
std::string cpu_text(const TargetCpu& used, double requests, double rate, bool io_core) {
  const auto of_core = [&](std::uint64_t nanos) {
    const double each = static_cast<double>(nanos) / 1000 / requests;
    char text[64];
    std::snprintf(text, sizeof text, "%.2f us (%.0f %% busy)", each, each * rate / 1e4);
    return std::string(text);
  };
  if (!io_core) return of_core(used.devices);
  return of_core(used.devices) + " + " + of_core(used.connections);
}

// Targets as they were met; printed at the end.
class Verdict {
 public:
  void add(std::string what, double value, bool good, std::string target) {
    char text[160];
    std::snprintf(text, sizeof text, "%-58s %10.2f  %-12s %s", what.c_str(), value, target.c_str(),
                  good ? "met" : "MISSED");
    lines_.emplace_back(text);
  }
  void at_most(std::string what, double value, double limit, const char* text) {
    add(std::move(what), value, value <= limit, text);
  }
  void at_least(std::string what, double value, double limit, const char* text) {
    add(std::move(what), value, value >= limit, text);
  }
  void print() const {
    std::printf("targets:\n");
    for (const std::string& line : lines_) std::printf("  %s\n", line.c_str());
  }

 private:
  std::vector<std::string> lines_;
};

struct Floor {
  double read_ns = 0, write_ns = 0;
  struct Stream {
    double one_buffer = 0, device = 0;  // bytes a second
  } down, up;
};

struct Bench {
  core::Env* env;
  Nanos duration;
  Floor floor;
  Verdict verdict;
};

Task<void> measure_single(Bench* bench, storage::Device* device, std::string name, bool read) {
  const char* pattern = read ? "randread" : "randwrite";
  const auto one = required(co_await apps::run_device_bench(
                                *bench->env, *device, {pattern, kBlockBytes, 1, bench->duration}),
                            pattern);
  const double ratio =
      static_cast<double>(one.mean) / (read ? bench->floor.read_ns : bench->floor.write_ns);
  std::printf("%-7s %-9s 4 KiB QD1    %8.1f us mean, %6.1f p50, %6.1f p99; %.2f x bare TCP\n",
              name.c_str(), pattern, static_cast<double>(one.mean) / 1000,
              static_cast<double>(one.p50) / 1000, static_cast<double>(one.p99) / 1000, ratio);
  if (name == "memory") {
    bench->verdict.at_most(std::string(pattern) + " QD1, mean against the bare exchange", ratio, 2,
                           "<= 2");
  }
}

Task<void> measure_many(Bench* bench, storage::Device* device, std::string name, bool read) {
  const char* pattern = read ? "randread" : "randwrite";
  const std::uint64_t host_before = thread_cpu();
  const TargetCpu target_before = co_await cpu_of_target(bench->env);
  const auto many =
      required(co_await apps::run_device_bench(*bench->env, *device,
                                               {pattern, kBlockBytes, kDepth, bench->duration}),
               pattern);
  const double rate = many.per_second(), requests = static_cast<double>(many.requests);
  const double host_us = static_cast<double>(thread_cpu() - host_before) / 1000 / requests;
  const TargetCpu used = co_await cpu_of_target(bench->env) - target_before;
  std::printf(
      "%-7s %-9s 4 KiB QD32   %8.0f a second, %6.1f us p50, %6.1f p99; CPU of one: host "
      "%.2f us (%.0f %% busy), target %s\n",
      name.c_str(), pattern, rate, static_cast<double>(many.p50) / 1000,
      static_cast<double>(many.p99) / 1000, host_us, host_us * rate / 1e4,
      cpu_text(used, requests, rate, bench->env->cores() > 2).c_str());
  if (name == "memory" && read) {
    bench->verdict.at_least("randread QD32, a second", rate, 300'000, ">= 300 000");
    bench->verdict.at_least("the same beside SPDK polling", rate, 421'000, "> 421 000");
  }
}

Task<void> measure_long(Bench* bench, storage::Device* device, std::string name, bool read) {
  const char* pattern = read ? "read" : "write";
  const TargetCpu before = co_await cpu_of_target(bench->env);
  const auto result =
      required(co_await apps::run_device_bench(*bench->env, *device,
                                               {pattern, kLongBytes, kLongDepth, bench->duration}),
               pattern);
  const TargetCpu used = co_await cpu_of_target(bench->env) - before;
  const double rate = result.per_second() * static_cast<double>(kLongBytes);
  const Floor::Stream& floor = read ? bench->floor.down : bench->floor.up;
  std::printf(
      "%-7s %-9s 128 KiB QD8  %8.0f MiB/s; %.2f x bare TCP through as much memory, %.2f x bare TCP "
      "from one buffer into one; CPU of one: target %s\n",
      name.c_str(), pattern, rate / (1 << 20), rate / floor.device, rate / floor.one_buffer,
      cpu_text(used, static_cast<double>(result.requests), result.per_second(),
               bench->env->cores() > 2)
          .c_str());
  if (name != "memory") co_return;
  const std::string what = "sequential " + std::string(pattern) + " against the bare stream, ";
  bench->verdict.at_least(what + "as much memory", rate / floor.device, 0.8, ">= 0.80");
  bench->verdict.at_least(what + "one buffer", rate / floor.one_buffer, 0.8, ">= 0.80");
}

Task<void> measure(Bench* bench, storage::Device* device, std::string name) {
  for (const bool read : {true, false}) {
    co_await measure_single(bench, device, name, read);
    co_await measure_many(bench, device, name, read);
  }
  for (const bool read : {true, false}) co_await measure_long(bench, device, name, read);
  std::fflush(stdout);
}

Task<void> measure_floor(Bench* bench) {
  core::Env* env = bench->env;
  Floor& floor = bench->floor;
  floor.read_ns = co_await bench::exchange_nanos(env, bench->duration, kCommand,
                                                 kHeader + kBlockBytes + kResponse);
  floor.write_ns =
      co_await bench::exchange_nanos(env, bench->duration, kCommand + kBlockBytes, kResponse);
  for (const bool down : {true, false}) {
    Floor::Stream& stream = down ? floor.down : floor.up;
    stream.one_buffer =
        co_await bench::stream_rate(env, bench->duration, down, bench::Memory::kOneBuffer);
    stream.device = co_await bench::stream_rate(env, bench->duration, down, bench::Memory::kDevice);
  }
  const auto mib = [](double bytes) { return bytes / (1 << 20); };
  std::printf("bare TCP: read exchange %.1f us, write exchange %.1f us\n", floor.read_ns / 1000,
              floor.write_ns / 1000);
  std::printf(
      "bare TCP in writes of 128 KiB, from one buffer into one: %.0f MiB/s to the host, "
      "%.0f from it; through as much memory as NVMe: %.0f to the host, %.0f from it\n",
      mib(floor.down.one_buffer), mib(floor.up.one_buffer), mib(floor.down.device),
      mib(floor.up.device));
  std::fflush(stdout);
}

// What ten shared devices with two I/O queues each cost while nobody uses them.
Task<void> measure_idle(Bench* bench, storage::nvme::Initiator* initiator,
                        storage::nvme::HostOptions options) {
  std::vector<std::shared_ptr<storage::nvme::HostController>> controllers;
  options.io_queues = 2;
  for (unsigned i = 0; i < kIdleDevices; ++i) {
    options.subsystem = std::string(kMemoryNqn) + "-" + std::to_string(i);
    controllers.push_back(required(co_await initiator->connect(options), "connect"));
  }
  static_cast<void>(co_await core::sleep_for(core::kSecond));
  const std::uint64_t host_before = thread_cpu();
  const TargetCpu target_before = co_await cpu_of_target(bench->env);
  static_cast<void>(co_await core::sleep_for(kIdleNanos));
  const auto percent = [](std::uint64_t nanos) {
    return 100 * static_cast<double>(nanos) / static_cast<double>(kIdleNanos);
  };
  const double host = percent(thread_cpu() - host_before);
  const TargetCpu used = co_await cpu_of_target(bench->env) - target_before;
  const double target = percent(used.devices + used.connections);
  std::printf("idle, 10 devices, 20 I/O queues: host %.3f %% of a core, target %.3f %%\n", host,
              target);
  bench->verdict.at_most("idle with 20 I/O queues, % of a core, target", target, 1, "< 1");
}

Task<void> whole(core::Env* env, Settings settings) {
  Bench bench{env, settings.duration, {}, {}};
  co_await measure_floor(&bench);
  TargetSide side;
  required(co_await core::on<Result<void>>(
               env->reactor(1),
               [env, &side, file = settings.file] { return start_target(env, &side, file); }),
           "target");
  storage::nvme::Initiator initiator(*env, side.log);
  storage::nvme::HostOptions options;
  options.address = side.address;
  options.host = "nqn.2019-05.io.openebs:bench";
  for (const std::string name : {"memory", "digests", "file"}) {
    if (!settings.only.empty() && settings.only != name) continue;
    auto mine = options;
    mine.subsystem = name == "file" ? kFileNqn : kMemoryNqn;
    mine.flow_control = false;
    if (name == "digests") mine.digests = {true, true};
    auto device =
        required(storage::nvme::RemoteDevice::make(
                     required(co_await initiator.connect(mine), "connect"), 1, name, Uuid()),
                 "device");
    co_await measure(&bench, device.get(), name);
  }
  if (settings.only.empty()) co_await measure_idle(&bench, &initiator, options);
  co_await initiator.shutdown();
  required(co_await core::on<Result<void>>(env->reactor(1), [&] { return stop_target(&side); }),
           "stop");
  static_cast<void>(co_await env->files().remove(settings.file));
  bench.verdict.print();
}

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--seconds")
      settings.duration = std::strtoull(argv[i + 1], nullptr, 10) * core::kSecond;
    if (flag == "--file") settings.file = argv[i + 1];
    if (flag == "--poll-us") settings.poll_us = std::atoi(argv[i + 1]);
    if (flag == "--only") settings.only = argv[i + 1];
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
