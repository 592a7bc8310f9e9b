// Why this file exists: what goes wrong on the real ring only at bad moments, made to happen: more
// completions than the kernel has room for, interrupted operations, a core that cannot start, and
// the promise by which a starting core says that it runs.
//
// For the last one this file stands between libstdc++ and the system call that wakes a waiter:
// until it returns, the starting thread uses the promise's state, and whoever waited may be gone.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <filesystem>

#include "base/limits.h"
#include "core/buffer.h"
#include "core/scope.h"
#include "core/uring_env.h"

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define CAPSTAN_TEST_SEES_FREED_MEMORY 1
#endif

namespace {
std::atomic<bool> watching{false};  // wake-ups are held up
std::atomic<bool> returned{false};  // UringEnv::create() has returned
std::atomic<int> held_up{0}, freed{0};

void look_at(void* address) {
  returned.wait(false);
#ifdef CAPSTAN_TEST_SEES_FREED_MEMORY
  if (__asan_address_is_poisoned(address)) ++freed;
#endif
  (void)address;
  ++held_up;
}
}  // namespace

// NOLINTNEXTLINE: the C library's name, which libstdc++ calls
extern "C" long syscall(long number, ...) noexcept {
  using Call = long (*)(long, ...);
  static const auto next = reinterpret_cast<Call>(dlsym(RTLD_NEXT, "syscall"));
  long a[6];
  va_list list;
  va_start(list, number);
  for (long& one : a) one = va_arg(list, long);
  va_end(list);
  const long result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const bool wakes = number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;
  if (wakes && watching.exchange(false)) look_at(reinterpret_cast<void*>(a[0]));
  return result;
}

namespace capstan::core {
namespace {

TEST(StartingCore, ItsPromiseOutlivesWhoWaitedForIt) {
#ifndef CAPSTAN_TEST_SEES_FREED_MEMORY
  GTEST_SKIP() << "only the address sanitizer sees freed memory";
#endif
  // Nobody is woken when the core was quicker than the waiter; then the next one is looked at.
  for (int i = 0; i < 1000 && held_up == 0; ++i) {
    returned = false;
    watching = true;
    const auto env = UringEnv::create({.cores = 2, .poll_us = 0, .on_stall = {}});
    watching = false;
    returned = true;
    returned.notify_all();
    ASSERT_TRUE(env) << env.error().text();
  }
  EXPECT_GT(held_up, 0);
  EXPECT_EQ(freed, 0);
}

TEST(StartingCore, OneThatIsRefusedIsAnErrorAndEndsTheOthers) {
  struct rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Room for a few rings of sixteen: how many descriptors a ring takes is liburing's business.
  const int next = fcntl(0, F_DUPFD, 0);
  ASSERT_GE(next, 0);
  close(next);
  struct rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(next) + 5;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto env = UringEnv::create({.cores = 16, .poll_us = 0, .on_stall = {}});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(env);
  EXPECT_EQ(env.error().sys_errno, EMFILE) << env.error().text();
  EXPECT_TRUE(UringEnv::create({.cores = 4, .poll_us = 0, .on_stall = {}}));
}

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

Task<void> nop(unsigned& left) {
  UringOp op;
  io_uring_prep_nop(ring().prepare(op));
  EXPECT_EQ(co_await op, 0);
  --left;
}
// Keeps the core busy, so that it never sleeps in the ring, where the kernel would help by itself.
Task<void> stay_busy(const unsigned& left, unsigned& turns) {
  while (left != 0 && ++turns < 10'000) co_await yield();
}
Task<void> overflow(unsigned operations, unsigned& left, unsigned& turns) {
  Scope scope;
  left = operations;
  for (unsigned i = 0; i < operations; ++i) scope.spawn(nop(left));
  co_await stay_busy(left, turns);
  co_await scope.join();
}
TEST(UringOverflow, CompletionsWithoutRoomArriveOnABusyCoreToo) {
  unsigned left = 1, turns = 0;
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(overflow(3 * limits::kRingCompletionEntries, left, turns));
  EXPECT_EQ(left, 0U);
  EXPECT_LT(turns, 10'000U);
}

Task<void> interrupted(Env& env, std::string path) {
  OpenOptions options;
  options.write = options.create = options.truncate = true;
  auto file = co_await env.files().open(path, options);
  CAPSTAN_ASSERT(file);
  Buffer block(64 << 10);
  std::memset(block.data(), 0xAB, block.size());
  int interruptions = 0, seen = 0;
  // Done, but said to be interrupted: as if it had been before it was done.
  const auto faults = [&](int result) {
    ++seen;
    return interruptions > 0 && interruptions-- > 0 ? -EINTR : result;
  };
  ring().inject_results(faults);
  interruptions = 2;
  EXPECT_TRUE(co_await (*file)->write(0, block.view()));
  interruptions = 2;
  EXPECT_TRUE(co_await (*file)->deallocate(0, 4096));
  interruptions = 2;
  EXPECT_TRUE(co_await (*file)->write_zeroes(8192, 4096));
  interruptions = 2;
  Buffer back(64 << 10);
  EXPECT_EQ((co_await (*file)->read(0, back.bytes())).value_or(0), back.size());
  ring().inject_results({});
  EXPECT_EQ(interruptions, 0);
  EXPECT_EQ(seen, 12);
  EXPECT_TRUE(all_zero(back.view().first(4096)));
  EXPECT_EQ(back.data()[4096], 0xAB);
  EXPECT_TRUE(all_zero(back.view().subspan(8192, 4096)));
  EXPECT_EQ(back.data()[12288], 0xAB);
  EXPECT_TRUE(co_await env.files().remove(path));
}
TEST(UringInterrupted, FileOperationsAreRepeated) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(interrupted(*env, testing::TempDir() + "capstan_eintr_" + std::to_string(getpid())));
}

}  // namespace
}  // namespace capstan::core
