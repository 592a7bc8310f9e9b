// Why this file exists: starts and stops the cores. A reactor is made on the thread that runs it,
// so every other core makes its own and hands its address back before create() returns.
#include "core/uring_env.h"

#include <sys/random.h>
#include <time.h>

#include <cerrno>
#include <future>

#include "base/limits.h"
#include "core/os_thread.h"
#include "core/sync.h"
#include "core/uring_file.h"
#include "core/uring_socket.h"

namespace capstan::core {

struct UringEnv::Core {
  UringReactor* reactor = nullptr;
  Event* stop = nullptr;  // lives on the core's thread while it runs
  // Set once nobody posts any more: post() touches the reactor after its message may have run.
  std::promise<void> released;
  std::thread thread;
};

static Task<void> wait_for(Event& stop) {
  co_await stop.wait();
}

UringEnv::UringEnv() = default;

// On the thread of the core, before its ring exists: the kernel's threads for a ring run where the
// one that made them did.
static Result<std::unique_ptr<UringReactor>> make_reactor(unsigned core,
                                                          const UringOptions& options) {
  if (!options.cpus.empty()) TRY(keep_thread_on({&options.cpus.at(core), 1}));
  TRY_SET(auto reactor, UringReactor::create(options.poll_us));
  reactor->on_stall(options.on_stall);
  return reactor;
}

Result<void> UringEnv::start(Core& core, unsigned number, const UringOptions& options) {
  std::promise<Result<void>> ready;
  auto started = ready.get_future();
  core.thread = std::thread([&core, ready = std::move(ready), number, options]() mutable {
    auto released = core.released.get_future();
    auto made = make_reactor(number, options);
    if (!made) {
      ready.set_value(std::unexpected(made.error()));
      return;
    }
    Event stop_event;
    core.reactor = made->get();
    core.stop = &stop_event;
    ready.set_value({});
    (*made)->run(wait_for(stop_event));
    released.wait();
  });
  return started.get();
}

Result<std::unique_ptr<UringEnv>> UringEnv::create(UringOptions options) {
  CAPSTAN_ASSERT(options.cores >= 1 && options.cores <= limits::kReactorsMax);
  std::unique_ptr<UringEnv> env(new UringEnv());
  CAPSTAN_ASSERT(options.cpus.empty() || options.cpus.size() == options.cores);
  TRY_SET(env->main_, make_reactor(0, options));
  env->files_ = make_uring_files();
  env->network_ = make_uring_network(options.zero_copy_bytes);
  for (unsigned i = 1; i < options.cores; ++i) {
    auto core = std::make_unique<Core>();
    auto started = start(*core, i, options);
    if (!started) {
      core->thread.join();
      return std::unexpected(started.error());
    }
    env->others_.push_back(std::move(core));
  }
  return env;
}

UringEnv::~UringEnv() {
  for (auto& core : others_) {
    core->reactor->post([stop = core->stop] { stop->set(); });
    core->released.set_value();
    core->thread.join();
  }
}

void UringEnv::run(Task<void> task) {
  main_->run(std::move(task));
}

Reactor& UringEnv::reactor(unsigned core) {
  CAPSTAN_ASSERT(core < cores());
  return core == 0 ? *main_ : *others_[core - 1]->reactor;
}

std::uint64_t UringEnv::wall_clock(const void*) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t UringEnv::wall_clock_ns() const {
  return wall_clock(nullptr);
}

void UringEnv::fill_random(MutableBytes out) {
  while (!out.empty()) {
    const auto got = getrandom(out.data(), out.size(), 0);
    CAPSTAN_ASSERT(got > 0 || errno == EINTR);
    if (got > 0) out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace capstan::core
