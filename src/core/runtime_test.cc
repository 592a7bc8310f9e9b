// Why this file exists: the runtime on the real io_uring: tasks, scopes, cancellation, timers,
// messages between cores, files and sockets.
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "core/buffer.h"
#include "core/os_thread.h"
#include "core/reactor_metrics.h"
#include "core/scope.h"
#include "core/sync.h"
#include "core/uring_env.h"

namespace capstan::core {
namespace {

class Runtime : public testing::Test {
 protected:
  void SetUp() override { start(1); }
  void start(unsigned cores) {
    UringOptions options;
    options.cores = cores;
    options.poll_us = 0;
    options.on_stall = [this](const Reactor::Stall& stall) {
      const std::lock_guard lock(stalled_mutex_);
      if (!stall.preempted) stalled_.emplace_back(stall.task);
    };
    env_.reset();
    auto env = UringEnv::create(options);
    ASSERT_TRUE(env) << env.error().text();
    env_ = std::move(*env);
    path_ = testing::TempDir() + "capstan_runtime_" + std::to_string(getpid());
  }
  std::unique_ptr<UringEnv> env_;
  std::mutex stalled_mutex_;  // every core reports its own
  std::vector<std::string> stalled_;
  std::string path_;
};

Task<int> value(int v) {
  co_return v;
}
Task<int> sum(int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += co_await value(1);
  co_return total;
}

Task<void> deep(int& out) {
  out = co_await sum(1'000'000);
}
TEST_F(Runtime, AMillionNestedCallsNeedNoStack) {
  int out = 0;
  env_->run(deep(out));
  EXPECT_EQ(out, 1'000'000);
}

Task<void> append_after(Nanos delay, int mark, std::vector<int>& order) {
  EXPECT_TRUE(co_await sleep_for(delay));
  order.push_back(mark);
}
Task<void> timers(std::vector<int>& order) {
  Scope scope;
  scope.spawn(append_after(3 * kMillisecond, 3, order));
  scope.spawn(append_after(1 * kMillisecond, 1, order));
  scope.spawn(append_after(2 * kMillisecond, 2, order));
  co_await scope.join();
}
TEST_F(Runtime, TimersFireInOrder) {
  std::vector<int> order;
  env_->run(timers(order));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

Task<void> sleep_long(CancelToken token, Code& ended) {
  const auto slept = co_await sleep_for(3600 * kSecond, token);
  ended = slept ? Code::kOk : slept.error().code;
}
Task<void> cancel_sleep(Code& ended) {
  Scope scope;
  scope.spawn(sleep_long(scope.token(), ended));
  co_await yield();
  scope.cancel(Code::kDeadlineExceeded);
  co_await scope.join();
}
TEST_F(Runtime, CancellingASleepEndsItWithTheReason) {
  Code ended = Code::kOk;
  env_->run(cancel_sleep(ended));
  EXPECT_EQ(ended, Code::kDeadlineExceeded);
}

Task<std::thread::id> where() {
  co_return std::this_thread::get_id();
}
Task<void> cross(UringEnv& env, std::vector<std::thread::id>& seen) {
  for (int i = 0; i < 1000; ++i) {
    for (unsigned core = 0; core < env.cores(); ++core) {
      seen.push_back(co_await on<std::thread::id>(env.reactor(core), [] { return where(); }));
      EXPECT_EQ(Reactor::current(), &env.reactor(0));
    }
  }
}
TEST_F(Runtime, MessagesCrossCoresAndComeBack) {
  start(3);
  std::vector<std::thread::id> seen;
  env_->run(cross(*env_, seen));
  ASSERT_EQ(seen.size(), 3000U);
  EXPECT_EQ(seen[0], std::this_thread::get_id());
  EXPECT_NE(seen[1], seen[0]);
  EXPECT_NE(seen[2], seen[1]);
}

// On the CPU, so that a busy machine does not decide what is a stall.
void hold() {
  const auto used = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<Nanos>(now.tv_sec) * kSecond + static_cast<Nanos>(now.tv_nsec);
  };
  const Nanos until = used() + 60 * kMillisecond;
  while (used() < until) {
  }
}
Task<void> hold_core() {
  name_task("hold_core");
  hold();
  co_return;
}
Task<std::vector<unsigned>> own_cpus() {
  co_return thread_cpus();
}
Task<void> where_a_core_runs(UringEnv& env, unsigned core, std::vector<unsigned>& cpus) {
  cpus = co_await on<std::vector<unsigned>>(env.reactor(core), [] { return own_cpus(); });
}

TEST_F(Runtime, CoresStayOnTheCpusTheyAreGiven) {
  const auto allowed = thread_cpus();
  ASSERT_FALSE(allowed.empty());
  UringOptions options;
  options.cores = 2;
  options.cpus = {allowed.back(), allowed.front()};
  std::vector<unsigned> first, second;
  {
    auto env = UringEnv::create(options);
    ASSERT_TRUE(env) << env.error().text();
    (*env)->run(where_a_core_runs(**env, 0, first));
    (*env)->run(where_a_core_runs(**env, 1, second));
  }
  EXPECT_EQ(first, std::vector<unsigned>{allowed.back()});
  EXPECT_EQ(second, std::vector<unsigned>{allowed.front()});
  ASSERT_TRUE(keep_thread_on(allowed));
  EXPECT_EQ(thread_cpus(), allowed);
  const auto refused = keep_thread_on(std::vector<unsigned>{8191});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("CPU 8191"), std::string::npos) << refused.error().text();
}

TEST_F(Runtime, TheStallDetectorNamesWhoHeldTheCore) {
  env_->run(hold_core());
  EXPECT_EQ(stalled_, std::vector<std::string>{"hold_core"});
}

Task<void> hold_in_child() {
  co_await yield();
  hold();
}
Task<int> hold_elsewhere() {
  co_await yield();
  hold();
  co_return 7;
}
Task<void> hold_after_waits(Env& env, std::string path, Event& event) {
  name_task("waits");
  EXPECT_TRUE(co_await sleep_for(kMillisecond));
  hold();
  co_await event.wait();
  hold();
  OpenOptions options;
  options.write = options.create = true;
  auto file = co_await env.files().open(path, options);
  hold();
  EXPECT_EQ(co_await on<int>(env.reactor(1), hold_elsewhere), 7);
  hold();
  EXPECT_TRUE(co_await env.files().remove(path));
}
Task<void> others_hold(Env& env, std::string path) {
  Event event;
  Scope scope;
  scope.spawn(hold_after_waits(env, std::move(path), event));
  name_task("other");
  EXPECT_TRUE(co_await sleep_for(200 * kMillisecond));
  event.set();
  scope.spawn(hold_in_child());
  co_await scope.join();
}
TEST_F(Runtime, NamesOutliveWaitingAndPassToChildrenAndOtherCores) {
  start(2);
  env_->run(others_hold(*env_, path_));
  // After the sleep, then the event and the child (in this order of spawning), then the file; on
  // the other core and back from it.
  std::vector<std::string> sorted = stalled_;
  std::ranges::sort(sorted);
  EXPECT_EQ(sorted,
            (std::vector<std::string>{"other", "waits", "waits", "waits", "waits", "waits"}));
}

Task<void> timer_and_message() {
  Event both;
  Timer timer([] { hold(); });
  timer.arm_at(*Reactor::current(), Reactor::current()->now() + kMillisecond);
  EXPECT_TRUE(co_await sleep_for(5 * kMillisecond));
  Reactor::current()->post([&both] {
    hold();
    both.set();
  });
  co_await both.wait();
}
TEST_F(Runtime, TimersAndMessagesAreMeasuredToo) {
  env_->run(timer_and_message());
  EXPECT_EQ(stalled_, (std::vector<std::string>{"unnamed", "unnamed"}));
  EXPECT_GE(env_->reactor(0).counters().busy_ns, 100 * kMillisecond);
}

Task<void> all_cores(Env& env, Metrics& metrics, std::vector<Reactor::Counters>& seen) {
  ReactorMetrics reactors(env, metrics);
  co_await reactors.refresh();
  seen = reactors.counters();
  EXPECT_NE(metrics.prometheus_text().find("capstan_reactor_turns_total{core=\"2\"} "),
            std::string::npos);
}
TEST_F(Runtime, EveryCoreHasMetrics) {
  start(3);
  Metrics metrics;
  std::vector<Reactor::Counters> seen;
  env_->run(all_cores(*env_, metrics, seen));
  ASSERT_EQ(seen.size(), 3U);
  for (const auto& counters : seen) EXPECT_GT(counters.turns, 0U);
  EXPECT_TRUE(metrics.entries().empty());
}

Task<void> files(Env& env, std::string path) {
  OpenOptions options;
  options.write = options.create = options.truncate = options.direct = true;
  auto file = co_await env.files().open(path, options);
  CAPSTAN_ASSERT(file);
  EXPECT_TRUE(co_await (*file)->truncate(1 << 20));
  Buffer block(8192);
  std::memset(block.data(), 0xAB, block.size());
  EXPECT_TRUE(co_await (*file)->write(4096, block.view()));
  EXPECT_TRUE(co_await (*file)->sync_data());
  EXPECT_TRUE(co_await (*file)->write_zeroes(8192, 4096));
  Buffer back(16384);
  const auto got = co_await (*file)->read(0, back.bytes());
  EXPECT_EQ(*got, back.size());
  EXPECT_TRUE(all_zero(back.view().first(4096)));
  EXPECT_EQ(back.data()[4096], 0xAB);
  EXPECT_EQ(back.data()[8191], 0xAB);
  EXPECT_TRUE(all_zero(back.view().subspan(8192)));
  EXPECT_EQ(*co_await (*file)->read(1 << 20, back.bytes()), 0U);  // end of file
  EXPECT_TRUE(co_await env.files().remove(path));
  EXPECT_EQ((co_await env.files().remove(path)).error().code, Code::kNotFound);
  const std::string folder = path + ".d";
  EXPECT_TRUE(co_await env.files().make_directories(folder + "/inner"));
  EXPECT_EQ((co_await env.files().remove(folder)).error().sys_errno, ENOTEMPTY);
  EXPECT_TRUE(co_await env.files().remove(folder + "/inner"));
  EXPECT_TRUE(co_await env.files().remove(folder));
  EXPECT_EQ((co_await env.files().list(folder)).error().code, Code::kNotFound);
  EXPECT_EQ((co_await env.files().open(path, {})).error().code, Code::kNotFound);
}
TEST_F(Runtime, FilesKeepWhatIsWritten) {
  env_->run(files(*env_, path_));
}

Task<void> exclusive(Env& env, std::string path) {
  EXPECT_TRUE(co_await env.files().replace_file(path, "x"));
  OpenOptions options;
  options.write = options.exclusive = true;
  auto first = co_await env.files().open(path, options);
  CAPSTAN_ASSERT(first);
  EXPECT_EQ((co_await env.files().open(path, options)).error().sys_errno, EBUSY);
  first->reset();
  EXPECT_TRUE(co_await env.files().open(path, options));
  EXPECT_TRUE(co_await env.files().remove(path));
}
TEST_F(Runtime, AFileOpenedExclusivelyHasOneUser) {
  env_->run(exclusive(*env_, path_));
}

Task<void> replace(Env& env, std::string path) {
  EXPECT_TRUE(co_await env.files().replace_file(path, "first"));
  EXPECT_TRUE(co_await env.files().replace_file(path, "second"));
  EXPECT_EQ(*co_await env.files().read_file(path, 100), "second");
  EXPECT_EQ((co_await env.files().read_file(path, 3)).error().code, Code::kOutOfRange);
  EXPECT_TRUE(co_await env.files().remove(path));
}
TEST_F(Runtime, ReplaceFileSwapsTheWholeContent) {
  env_->run(replace(*env_, path_));
}

Task<void> echo(StreamListener& listener) {
  auto stream = co_await listener.accept();
  CAPSTAN_ASSERT(stream);
  std::vector<std::uint8_t> buffer(64 << 10);
  for (;;) {
    const auto got = co_await (*stream)->read(buffer);
    CAPSTAN_ASSERT(got);
    if (*got == 0) break;
    EXPECT_TRUE(co_await (*stream)->write(ByteView(buffer).first(*got)));
  }
}
Task<void> talk(Stream& stream, std::size_t total, std::size_t& received) {
  std::vector<std::uint8_t> buffer(100'000);
  while (received < total) {
    const auto got = co_await stream.read(buffer);
    CAPSTAN_ASSERT(got && *got > 0);
    for (std::size_t i = 0; i < *got; ++i) {
      CAPSTAN_ASSERT(buffer[i] == static_cast<std::uint8_t>((received + i) * 7));
    }
    received += *got;
  }
}
Task<void> sockets(Env& env, Address address, std::size_t total, std::size_t& received) {
  auto listener = env.network().listen(address);
  CAPSTAN_ASSERT(listener);
  Scope scope;
  scope.spawn(echo(**listener));
  auto stream = co_await env.network().connect((*listener)->local(), {});
  CAPSTAN_ASSERT(stream);
  if (address.kind == Address::Kind::kUnix) EXPECT_EQ((*stream)->peer().uid, getuid());
  scope.spawn(talk(**stream, total, received));
  std::vector<std::uint8_t> data(total);
  for (std::size_t i = 0; i < total; ++i) data[i] = static_cast<std::uint8_t>(i * 7);
  EXPECT_TRUE(co_await (*stream)->write(data));
  (*stream)->shutdown_write();
  co_await scope.join();
}
TEST_F(Runtime, TcpCarriesMegabytesBothWays) {
  std::size_t received = 0;
  env_->run(sockets(*env_, Address::tcp("127.0.0.1", 0), 8 << 20, received));
  EXPECT_EQ(received, 8U << 20);
}
TEST_F(Runtime, UnixStreamsKnowTheirPeer) {
  std::size_t received = 0;
  env_->run(sockets(*env_, Address::unix_path(path_), 1 << 20, received));
  EXPECT_EQ(received, 1U << 20);
  EXPECT_NE(access(path_.c_str(), F_OK), 0);  // the listener removed it
}

Task<void> accept_until_cancelled(StreamListener& listener, Code& code) {
  const auto stream = co_await listener.accept();
  code = stream ? Code::kOk : stream.error().code;
}
Task<void> read_until_cancelled(Stream& stream, Code& code) {
  std::vector<std::uint8_t> buffer(16);
  const auto got = co_await stream.read(buffer);
  code = got ? Code::kOk : got.error().code;
}
Task<void> cancel_sockets(Env& env, Code& accepted, Code& read) {
  auto listener = env.network().listen(Address::tcp("127.0.0.1", 0));
  CAPSTAN_ASSERT(listener);
  auto stream = co_await env.network().connect((*listener)->local(), {});
  CAPSTAN_ASSERT(stream);
  auto served = co_await (*listener)->accept();
  Scope scope;
  scope.spawn(accept_until_cancelled(**listener, accepted));
  scope.spawn(read_until_cancelled(**stream, read));
  for (int i = 0; i < 3; ++i) co_await yield();
  (*listener)->cancel();
  (*stream)->cancel();
  co_await scope.join();
}
TEST_F(Runtime, CancelEndsWaitingSocketOperations) {
  Code accepted = Code::kOk, read = Code::kOk;
  env_->run(cancel_sockets(*env_, accepted, read));
  EXPECT_EQ(accepted, Code::kCancelled);
  EXPECT_EQ(read, Code::kCancelled);
}

Task<void> taken(Env& env) {
  auto first = env.network().listen(Address::tcp("127.0.0.1", 0));
  CAPSTAN_ASSERT(first);
  const auto second = env.network().listen((*first)->local());
  CAPSTAN_ASSERT(!second);
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  EXPECT_EQ(env.network().listen(Address::tcp("localhost", 1)).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ((co_await env.network().connect(Address::unix_path("/nonexistent/x"), {})).error().code,
            Code::kNotFound);
}
TEST_F(Runtime, AddressesInUseAreNamed) {
  env_->run(taken(*env_));
}

Task<void> packets(Env& env, std::string path) {
  auto listener = env.network().listen_packets(Address::unix_path(path));
  CAPSTAN_ASSERT(listener);
  auto client = co_await env.network().connect_packets(Address::unix_path(path), {});
  CAPSTAN_ASSERT(client);
  auto server = co_await (*listener)->accept();
  CAPSTAN_ASSERT(server);
  std::vector<ByteView> parts = {as_bytes("abc"), as_bytes("defg")};
  EXPECT_TRUE(co_await (*client)->send(parts));
  EXPECT_TRUE(co_await (*client)->send(parts));
  std::vector<std::uint8_t> buffer(16);
  const auto size = co_await (*server)->receive(buffer);
  CAPSTAN_ASSERT(size);
  EXPECT_EQ(as_text(ByteView(buffer).first(**size)), "abcdefg");
  const auto cut = co_await (*server)->receive(MutableBytes(buffer).first(5));
  EXPECT_EQ(cut.error().code, Code::kOutOfRange);
  client->reset();
  const auto end = co_await (*server)->receive(buffer);
  CAPSTAN_ASSERT(end);
  EXPECT_FALSE(end->has_value());
}
TEST_F(Runtime, PacketsKeepTheirBoundaries) {
  env_->run(packets(*env_, path_));
}

Task<void> hold(SharedMutex& mutex, bool shared, std::vector<std::string>& order,
                std::string name) {
  auto guard = shared ? co_await mutex.lock_shared() : co_await mutex.lock();
  order.push_back(name + "+");
  co_await yield();
  co_await yield();
  order.push_back(name + "-");
}
Task<void> locks(std::vector<std::string>& order) {
  SharedMutex mutex;
  Scope scope;
  scope.spawn(hold(mutex, true, order, "r1"));
  scope.spawn(hold(mutex, true, order, "r2"));
  scope.spawn(hold(mutex, false, order, "w"));
  scope.spawn(hold(mutex, true, order, "r3"));
  co_await scope.join();
  EXPECT_FALSE(mutex.busy());
  EXPECT_TRUE(mutex.try_lock().has_value());
}
TEST_F(Runtime, ReadersShareAndWritersWaitTheirTurn) {
  std::vector<std::string> order;
  env_->run(locks(order));
  EXPECT_EQ(order,
            (std::vector<std::string>{"r1+", "r2+", "r1-", "r2-", "w+", "w-", "r3+", "r3-"}));
}

Task<void> produce(Queue<int>& queue, std::size_t& high) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(co_await queue.push(i));
    high = std::max(high, queue.size());
  }
  queue.close();
  EXPECT_FALSE(co_await queue.push(0));
}
Task<void> consume(std::vector<int>& out, std::size_t& high) {
  Queue<int> queue(4);
  Scope scope;
  scope.spawn(produce(queue, high));
  while (auto item = co_await queue.pop()) out.push_back(*item);
  co_await scope.join();
}
TEST_F(Runtime, QueuesAreBoundedAndDrainAfterClose) {
  std::vector<int> out;
  std::size_t high = 0;
  env_->run(consume(out, high));
  ASSERT_EQ(out.size(), 100U);
  EXPECT_EQ(out.back(), 99);
  EXPECT_LE(high, 4U);
}

TEST(Cancel, FiresOnceInFormOfItsFirstReason) {
  CancelSource parent;
  CancelSource child(parent.token());
  int calls = 0;
  CancelCallback callback(child.token(), [&] { ++calls; });
  {
    CancelCallback gone(child.token(), [&] { calls += 100; });
  }
  parent.fire(Code::kDeadlineExceeded);
  parent.fire(Code::kCancelled);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(child.token().reason(), Code::kDeadlineExceeded);
  CancelCallback late(child.token(), [&] { ++calls; });
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace capstan::core
