// Why this file exists: proves at configure time that the compiler gets C++ coroutines right. Each
// shape is ordinary code of this project; g++ 12 destroys temporaries twice in most of them and
// never resumes `condition_without_locals`. Prints one line per shape; exit status 0 when all hold.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

static int live = 0;  // tokens alive; must return to zero after each shape

struct Token {  // owns heap memory, so a second destruction is visible to AddressSanitizer
  int* p;
  Token() : p(new int(1)) { ++live; }
  Token(const Token& o) : p(new int(*o.p)) { ++live; }
  Token(Token&& o) noexcept : p(std::exchange(o.p, nullptr)) { ++live; }
  ~Token() {
    --live;
    delete p;
  }
};

template <class T>
struct Task {  // lazy, single owner, symmetric transfer: the shape proposed for core/task.h
  struct promise_type {
    std::optional<T> value;
    std::coroutine_handle<> caller;
    Task get_return_object() {
      return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        return h.promise().caller ? h.promise().caller : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void unhandled_exception() { std::terminate(); }
    template <class U>
    void return_value(U&& u) {
      value.emplace(std::forward<U>(u));
    }
  };
  std::coroutine_handle<promise_type> h;
  explicit Task(std::coroutine_handle<promise_type> handle) : h(handle) {}
  Task(Task&& o) noexcept : h(std::exchange(o.h, {})) {}
  ~Task() {
    if (h) h.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> c) {
    h.promise().caller = c;
    return h;
  }
  T await_resume() { return std::move(*h.promise().value); }
  T run() {
    h.resume();
    if (!h.done()) return T();
    return std::move(*h.promise().value);
  }
};

#define LONG "a string long enough to live on the heap"
struct Request {
  std::string name;
  std::vector<std::string> disks;
  std::optional<std::string> uuid;
  Token token;
};

template <class F>
Task<int> call(F f) {
  co_return f();
}
Task<int> call_erased(std::function<int()> f) {
  co_return f();
}
Task<int> create(Request r) {
  co_return static_cast<int>(r.disks.size()) + *r.token.p;
}
Task<std::string> text() {
  co_return std::string(LONG);
}
Task<bool> yes() {
  co_return true;
}
Task<std::pair<Token, Token>> pair() {
  co_return std::pair<Token, Token>();
}
Task<std::optional<std::string>> maybe() {
  co_return std::optional<std::string>(LONG);
}
Task<std::vector<std::string>> list() {
  co_return std::vector<std::string>(3, LONG);
}

Task<int> closure_copy() {
  Token t;
  int r = co_await call([t] { return *t.p; });
  co_return r;
}
Task<int> closure_erased() {
  Token t;
  int r = co_await call_erased([t] { return *t.p; });
  co_return r;
}
Task<int> closure_moved() {
  Token t;
  int r = co_await call([t = std::move(t)] { return *t.p; });
  co_return r;
}
Task<int> aggregate_plain() {
  int r = co_await create(Request{});
  co_return r;
}
Task<int> await_in_braces() {
  Request r{.name = co_await text(), .disks = {}, .uuid = {}, .token = {}};
  co_return static_cast<int>(r.name.size()) > 9;
}
Task<int> await_and() {
  Token t;
  int r = (co_await yes() && co_await yes()) ? co_await call([t] { return *t.p; }) : 0;
  co_return r;
}
Task<int> bindings_in_loop() {
  int n = 0;
  for (int i = 0; i < 3; i++) {
    auto [a, b] = co_await pair();
    n += *a.p + *b.p;
  }
  co_return n == 6;
}
Task<int> await_in_if() {
  if (auto x = co_await maybe(); x) co_return 1;
  co_return 0;
}
Task<int> range_for() {
  int n = 0;
  for (auto& x : co_await list()) n += !x.empty();
  co_return n == 3;
}
Task<int> immediate_lambda() {
  Token t;
  int r = co_await [&]() -> Task<int> { co_return *t.p; }();
  co_return r;
}
Task<int> condition_without_locals() {
  if (co_await yes()) co_return 1;
  co_return 0;
}
#ifndef SKIP_BRACES
Task<int> aggregate_braced() {
  int r = co_await create(
      Request{.name = LONG, .disks = {LONG, LONG}, .uuid = std::nullopt, .token = {}});
  co_return r == 3;
}
Task<int> braced_argument() {
  int r = co_await create({.name = LONG, .disks = {LONG}, .uuid = std::string(LONG), .token = {}});
  co_return r == 2;
}
Task<int> awaits_in_list() {
  std::vector<std::string> v{co_await text(), co_await text()};
  co_return v.size() == 2;
}
#endif
#ifndef SKIP_STMT_EXPR
#define UNWRAP(e)          \
  ({                       \
    auto r_ = (e);         \
    if (!r_) co_return -1; \
    std::move(*r_);        \
  })
Task<int> statement_expression() {
  auto x = UNWRAP(co_await maybe());
  co_return !x.empty();
}
#endif

static bool all_right = true;
static void check(const char* name, Task<int> (*shape)()) {
  int value = 0;
  {
    Task<int> t = shape();
    value = t.run();
  }
  const bool right = value == 1 && live == 0;
  all_right = all_right && right;
  std::printf("%-22s %s (value %d, live %d)\n", name, right ? "ok" : "WRONG", value, live);
  std::fflush(stdout);
}

int main() {
#define CHECK(shape) check(#shape, shape)
  CHECK(closure_copy);
  CHECK(closure_erased);
  CHECK(closure_moved);
  CHECK(aggregate_plain);
  CHECK(await_in_braces);
  CHECK(await_and);
  CHECK(bindings_in_loop);
  CHECK(await_in_if);
  CHECK(range_for);
  CHECK(immediate_lambda);
  CHECK(condition_without_locals);
#ifndef SKIP_BRACES
  CHECK(aggregate_braced);
  CHECK(braced_argument);
  CHECK(awaits_in_list);
#endif
#ifndef SKIP_STMT_EXPR
  CHECK(statement_expression);
#endif
  return all_right ? 0 : 1;
}
