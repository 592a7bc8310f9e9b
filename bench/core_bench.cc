// Why this file exists: what it costs that a task keeps its name over its waits (core::Suspended,
// for the stall detector): the ready queue carries a second word, and a resume puts the name back.
// Two bare ready queues, one with names and one without, resume the same coroutines in turns in one
// run, beside the real reactor, which also reads the clock for each. Prints the lowest of all
// rounds: what others on the machine add is never negative.
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/scope.h"
#include "core/uring_env.h"

using namespace capstan;

namespace {

constexpr int kRounds = 15;
constexpr int kTasks = 64;
constexpr int kYields = 20'000;  // of each task

double now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::nano>(now).count();
}

double lowest(const std::vector<double>& values) {
  return *std::ranges::min_element(values);
}

struct Plain {
  std::coroutine_handle<> handle;
};
struct Named {
  std::coroutine_handle<> handle;
  const char* name;
};

// The reactor's ready queue, and nothing else of it.
template <class Entry>
struct Loop {
  std::vector<Entry> ready, running;
  const char* name = nullptr;

  void push(std::coroutine_handle<> handle) {
    if constexpr (requires(Entry entry) { entry.name; }) {
      ready.push_back({handle, name});
    } else {
      ready.push_back({handle});
    }
  }
  void run() {
    while (!ready.empty()) {
      running.swap(ready);
      for (const Entry& entry : running) {
        if constexpr (requires { entry.name; }) name = entry.name;
        entry.handle.resume();
        if constexpr (requires { entry.name; }) name = nullptr;
      }
      running.clear();
    }
  }
};

struct Driver {
  struct promise_type {
    Driver get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

template <class Entry>
struct Again {
  Loop<Entry>& loop;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { loop.push(handle); }
  void await_resume() const noexcept {}
};

template <class Entry>
Driver yields(Loop<Entry>& loop) {
  loop.name = "bench";
  for (int i = 0; i < kYields; ++i) co_await Again<Entry>{loop};
}

// Nanoseconds of one wait and resume.
template <class Entry>
double bare() {
  Loop<Entry> loop;
  for (int i = 0; i < kTasks; ++i) loop.push(yields(loop).handle);
  const double begun = now_ns();
  loop.run();
  return (now_ns() - begun) / kTasks / kYields;
}

core::Task<void> yields_in_reactor() {
  core::name_task("bench");
  for (int i = 0; i < kYields; ++i) co_await core::yield();
}
core::Task<void> in_reactor(double& each) {
  core::Scope scope;
  const double begun = now_ns();
  for (int i = 0; i < kTasks; ++i) scope.spawn(yields_in_reactor());
  co_await scope.join();
  each = (now_ns() - begun) / kTasks / kYields;
}

}  // namespace

int main() {
  auto env = core::UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    return EXIT_FAILURE;
  }
  std::vector<double> plain, named, real;
  for (int round = 0; round < kRounds; ++round) {
    plain.push_back(bare<Plain>());
    named.push_back(bare<Named>());
    (*env)->run(in_reactor(real.emplace_back()));
  }
  const double floor = lowest(plain);
  std::printf("one wait and resume, lowest of %d rounds\n", kRounds);
  std::printf("  queue without names  %6.2f ns\n", floor);
  std::printf("  queue with names     %6.2f ns  ratio %.2f\n", lowest(named),
              lowest(named) / floor);
  std::printf("  reactor              %6.2f ns  the names are %.1f %% of it\n", lowest(real),
              100 * (lowest(named) - floor) / lowest(real));
  return EXIT_SUCCESS;
}
