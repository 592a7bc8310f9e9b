// Why this file exists: see spdk_framework.h.
#include "services/spdk_framework.h"

#include <array>
#include <csignal>

#include "core/os_thread.h"
#include "rpc/json_call.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

using Empty = google::protobuf::Empty;

constexpr std::uint64_t kTickRate = core::kSecond;
constexpr std::uint64_t kJiffy = 10'000'000;  // hundredths of a second, as /proc/stat counts

struct CoreUsage {
  core::ThreadUsage thread;
  core::Nanos busy = 0;
};

core::Task<CoreUsage> read_here() {
  co_return CoreUsage{core::thread_usage(), core::Reactor::current()->counters().busy_ns};
}

// A reactor's counters belong to its own core.
core::Task<CoreUsage> usage_of(core::Env& env, unsigned number) {
  core::Reactor& reactor = env.reactor(number);
  if (&reactor == core::Reactor::current()) co_return co_await read_here();
  co_return co_await core::on<CoreUsage>(reactor, [] { return read_here(); });
}

std::string thread_name(unsigned number) {
  return number == 0 ? "app_thread" : "reactor_" + std::to_string(number);
}

// "1", "2", "4" … "10": one bit in hex.
std::string core_mask(unsigned number) {
  static constexpr std::array kDigits = {'1', '2', '4', '8'};
  return kDigits[number % 4] + std::string(number / 4, '0');
}

// SPDK's name of a core is its CPU; reactors that run anywhere are counted instead.
unsigned cpu_of(const NodeInfo& info, unsigned reactor) {
  return reactor < info.cpus.size() ? info.cpus[reactor] : reactor;
}

core::Nanos idle(core::Nanos elapsed, core::Nanos busy) {
  return elapsed > busy ? elapsed - busy : 0;
}

}  // namespace

SpdkFrameworkService::SpdkFrameworkService(SpdkDevices& devices, const NodeInfo& info,
                                           Signal signal)
    : devices_(devices), info_(info), signal_(std::move(signal)) {}

SpdkFrameworkService::Answer<spdk::Version> SpdkFrameworkService::get_version(rpc::Call&,
                                                                              const Empty&) {
  spdk::Version out;
  out.set_version("Capstan " + info_.version);
  // The level of SPDK whose methods and shapes these are.
  auto& fields = *out.mutable_fields();
  fields.set_major(26);
  fields.set_minor(5);
  fields.set_patch(0);
  co_return out;
}

SpdkFrameworkService::Answer<spdk::Subsystems> SpdkFrameworkService::get_subsystems(rpc::Call&,
                                                                                    const Empty&) {
  spdk::Subsystems out;
  out.add_subsystems()->set_subsystem("scheduler");
  out.add_subsystems()->set_subsystem("bdev");
  auto& nvmf = *out.add_subsystems();
  nvmf.set_subsystem("nvmf");
  nvmf.add_depends_on("bdev");
  co_return out;
}

SpdkFrameworkService::Answer<spdk::SubsystemConfig> SpdkFrameworkService::get_config(
    rpc::Call& call, const spdk::GetConfigRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  spdk::SubsystemConfig out;
  if (request.name() == "bdev") {
    *out.mutable_config()->mutable_list_value() = saved_devices(devices_);
  } else if (request.name() == "nvmf") {
    *out.mutable_config()->mutable_list_value() = saved_subsystems(devices_.engine().shares());
  } else if (request.name() == "scheduler") {
    out.mutable_config()->set_null_value(google::protobuf::NULL_VALUE);
  } else {
    co_return rpc::json_invalid_params("Subsystem '" + request.name() + "' not found");
  }
  co_return out;
}

SpdkFrameworkService::Answer<spdk::Reactors> SpdkFrameworkService::get_reactors(rpc::Call&,
                                                                                const Empty&) {
  core::Env& env = devices_.engine().env();
  spdk::Reactors out;
  out.set_tick_rate(kTickRate);
  out.set_pid(core::process_id());
  for (unsigned i = 0; i < env.cores(); ++i) {
    const CoreUsage usage = co_await usage_of(env, i);
    const core::Nanos elapsed = core::Reactor::current()->read_clock() - info_.started;
    auto& reactor = *out.add_reactors();
    reactor.set_lcore(cpu_of(info_, i));
    reactor.set_tid(usage.thread.id);
    reactor.set_busy(usage.busy);
    reactor.set_idle(idle(elapsed, usage.busy));
    // A reactor that sleeps until something happens is what SPDK calls interrupt mode.
    reactor.set_in_interrupt(true);
    reactor.set_sys(usage.thread.system_ns / kJiffy);
    reactor.set_usr(usage.thread.user_ns / kJiffy);
    auto& thread = *reactor.add_lw_threads();
    thread.set_name(thread_name(i));
    thread.set_id(i + 1);
    thread.set_cpumask(core_mask(cpu_of(info_, i)));
    thread.set_elapsed(elapsed);
  }
  co_return out;
}

SpdkFrameworkService::Answer<spdk::Scheduler> SpdkFrameworkService::get_scheduler(rpc::Call&,
                                                                                  const Empty&) {
  spdk::Scheduler out;
  out.set_scheduler_name("static");
  out.set_isolated_core_mask("0");
  co_return out;
}

SpdkFrameworkService::Answer<Empty> SpdkFrameworkService::set_scheduler(
    rpc::Call& call, const spdk::SetSchedulerRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  if (request.name() == "static") co_return Empty();
  co_return rpc::json_error(Code::kInvalidArgument, rpc::json_code::kInternalError,
                            "Unknown error -22",
                            "scheduler '" + request.name() + "' is unknown; there is 'static'");
}

SpdkFrameworkService::Answer<spdk::Governor> SpdkFrameworkService::get_governor(rpc::Call&,
                                                                                const Empty&) {
  co_return spdk::Governor();
}

SpdkFrameworkService::Answer<spdk::PciDevices> SpdkFrameworkService::get_pci_devices(rpc::Call&,
                                                                                     const Empty&) {
  co_return spdk::PciDevices();
}

SpdkFrameworkService::Answer<spdk::ThreadStats> SpdkFrameworkService::get_thread_stats(
    rpc::Call&, const Empty&) {
  core::Env& env = devices_.engine().env();
  spdk::ThreadStats out;
  out.set_tick_rate(kTickRate);
  for (unsigned i = 0; i < env.cores(); ++i) {
    const CoreUsage usage = co_await usage_of(env, i);
    const core::Nanos elapsed = core::Reactor::current()->read_clock() - info_.started;
    auto& thread = *out.add_threads();
    thread.set_name(thread_name(i));
    thread.set_id(i + 1);
    thread.set_cpumask(core_mask(cpu_of(info_, i)));
    thread.set_busy(usage.busy);
    thread.set_idle(idle(elapsed, usage.busy));
  }
  co_return out;
}

SpdkFrameworkService::Answer<spdk::ThreadPollers> SpdkFrameworkService::get_thread_pollers(
    rpc::Call&, const Empty&) {
  spdk::ThreadPollers out;
  out.set_tick_rate(kTickRate);
  for (unsigned i = 0; i < devices_.engine().env().cores(); ++i) {
    auto& thread = *out.add_threads();
    thread.set_name(thread_name(i));
    thread.set_id(i + 1);
  }
  co_return out;
}

// Devices belong to core 0; one channel for each, held by its user.
SpdkFrameworkService::Answer<spdk::IoChannels> SpdkFrameworkService::get_io_channels(rpc::Call&,
                                                                                     const Empty&) {
  spdk::IoChannels out;
  out.set_tick_rate(kTickRate);
  for (unsigned i = 0; i < devices_.engine().env().cores(); ++i) {
    auto& thread = *out.add_threads();
    thread.set_name(thread_name(i));
    if (i != 0) continue;
    for (const auto* entry : devices_.engine().devices().list()) {
      if (!entry->device->claimed()) continue;
      auto& channel = *thread.add_io_channels();
      channel.set_name("bdev_" + spdk_name(*entry->device));
      channel.set_ref(1);
    }
  }
  co_return out;
}

SpdkFrameworkService::Answer<Empty> SpdkFrameworkService::kill_instance(
    rpc::Call& call, const spdk::KillInstanceRequest& request) {
  struct Row {
    std::string_view name;
    int signal;
  };
  static constexpr std::array kSignals = std::to_array<Row>({{"SIGINT", SIGINT},
                                                             {"SIGTERM", SIGTERM},
                                                             {"SIGQUIT", SIGQUIT},
                                                             {"SIGHUP", SIGHUP},
                                                             {"SIGKILL", SIGKILL},
                                                             {"SIGUSR1", SIGUSR1}});
  CO_TRY(require(call, request, {"sig_name"}));
  for (const auto& [name, signal] : kSignals) {
    if (name != request.sig_name()) continue;
    devices_.engine().log().info("signal_asked_for", {{"signal", name}});
    CO_TRY(signal_(signal));
    co_return Empty();
  }
  co_return rpc::json_invalid_params("spdk_kill_instance: sig_name: '" + request.sig_name() +
                                     "' is none of SIGINT SIGTERM SIGQUIT SIGHUP SIGKILL SIGUSR1");
}

Result<void> bind_spdk_framework(rpc::Directory& directory, SpdkFrameworkService& service) {
  using S = SpdkFrameworkService;
  TRY(directory.declare(spdk::Version::descriptor()->file()->service(0)));
  const auto bind = [&](const char* method, auto handler) {
    return rpc::bind_unary(directory, std::string("spdk.Framework/") + method, service, handler);
  };
  TRY(bind("GetVersion", &S::get_version));
  TRY(bind("GetSubsystems", &S::get_subsystems));
  TRY(bind("GetConfig", &S::get_config));
  TRY(bind("GetReactors", &S::get_reactors));
  TRY(bind("GetScheduler", &S::get_scheduler));
  TRY(bind("SetScheduler", &S::set_scheduler));
  TRY(bind("GetGovernor", &S::get_governor));
  TRY(bind("GetPciDevices", &S::get_pci_devices));
  TRY(bind("GetThreadStats", &S::get_thread_stats));
  TRY(bind("GetThreadPollers", &S::get_thread_pollers));
  TRY(bind("GetIoChannels", &S::get_io_channels));
  return bind("KillInstance", &S::kill_instance);
}

}  // namespace capstan::services
