// Why this file exists: what the chain of interceptors adds to a call (that it allocates nothing
// when nothing is configured is src/rpc/allocation_test.cc's). One run calls a handler that does
// nothing: without interceptors, with the chain of a node that was started without flags, and with
// everything on (a token that was verified before, four access rules, a list that looks at the
// arguments, rate limits by class and client, every call a span). Prints nanoseconds and
// allocations of a call, and the difference to the bare call.
//   interceptors_bench [CALLS]
#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "core/log_sinks.h"
#include "core/uring_env.h"
#include "pool.pb.h"
#include "rpc/directory.h"
#include "rpc/interceptors/access.h"
#include "rpc/interceptors/authenticate.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/interceptors/trace.h"
#include "rpc/jwt_testing.h"

using namespace capstan;
using namespace capstan::rpc;

namespace {
std::size_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

namespace v1 = ::mayastor::v1;
constexpr char kOperation[] = "mayastor.v1.PoolRpc/ExportPool";
constexpr int kRounds = 7;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(100);
}

struct Service {
  core::Task<Result<google::protobuf::Empty>> run(Call&, const v1::ExportPoolRequest&) {
    co_return google::protobuf::Empty();
  }
};

using core::NoLog;

// One node's parts, as far as calls meet them.
struct Bench {
  Service service;
  core::Metrics metrics;
  NoLog records;
  SpanQueue spans;
  Acl acl;
  Directory directory;
  std::string token;

  Bench() {
    const auto* declared = v1::Pool::descriptor()->file()->FindServiceByName("PoolRpc");
    std::set<std::string> absent;
    for (int i = 0; i < declared->method_count(); ++i) absent.insert(declared->method(i)->name());
    absent.erase("ExportPool");
    if (!directory.declare(declared, absent)) give_up("declare");
    if (!bind_unary(directory, kOperation, service, &Service::run)) give_up("bind");
  }
  void add(bool everything) {
    const auto clock = [] { return core::UringEnv::wall_clock(nullptr); };
    std::optional<JwkSet> keys;
    std::vector<AccessRule> rules;
    RateLimits limits;
    if (everything) {
      const testing::KeyPair pair("RS256");
      keys = JwkSet::parse(pair.jwk()).value();
      token = "Bearer " + pair.sign(R"({"sub":"operator","exp":9999999999})");
      rules =
          AccessRule::parse_list("uid:0=all,gid:44=read,tls:CN=x=read,jwt:operator=all").value();
      acl.replace(
          {AclTable::parse(
               R"([{"address":"10.0.0.1","whitelist":["GET /pools/**","POST /pools/p1/*"]}])")
               .value(),
           false});
      limits.client = Rate::parse("1000000000").value();
      if (!limits.add_class("write=1000000000")) give_up("limits");
    }
    directory.add_interceptor(std::make_unique<LogInterceptor>(
        core::Log(records, core::LogLevel::kWarn, core::UringEnv::wall_clock, nullptr)));
    directory.add_interceptor(everything ? std::make_unique<TraceInterceptor>(spans, 1.0, clock, 7)
                                         : std::make_unique<TraceInterceptor>());
    directory.add_interceptor(std::make_unique<MetricsInterceptor>(metrics));
    directory.add_interceptor(std::make_unique<AuthenticateInterceptor>(std::move(keys), clock));
    directory.add_interceptor(std::make_unique<AccessInterceptor>(std::move(rules), &acl));
    if (everything) directory.add_interceptor(std::make_unique<RateLimitInterceptor>(limits));
    directory.add_interceptor(std::make_unique<DeadlineInterceptor>());
    directory.add_interceptor(std::make_unique<ConcurrencyInterceptor>());
  }

  core::Task<void> call(int calls, double& nanos, double& allocated) {
    const auto& entry = *directory.find(kOperation);
    auto& reactor = *core::Reactor::current();
    Call one;
    v1::ExportPoolRequest request;
    google::protobuf::Empty response;
    request.set_name("p1");
    one.wire = "grpc";
    one.peer.address = "10.0.0.7:5000";
    one.peer.listener = "10.0.0.1:10124";
    const std::size_t before = allocations;
    const core::Nanos started = reactor.read_clock();
    for (int i = 0; i < calls; ++i) {
      one.metadata.request.clear();
      one.trace_id.clear();
      if (!token.empty()) one.metadata.request.emplace_back("authorization", token);
      const auto done = co_await directory.run(entry, one, request, response);
      if (!done) give_up(done.error().text());
      if (spans.size() > 256) (void)spans.take().size();
    }
    nanos = static_cast<double>(reactor.read_clock() - started) / calls;
    allocated = static_cast<double>(allocations - before) / calls;
  }
};

core::Task<void> measure(int calls) {
  Bench bare, idle, full;
  idle.add(false);
  full.add(true);
  struct Row {
    const char* name;
    Bench* bench;
    std::vector<double> nanos;
    double allocated = 0;
  };
  Row rows[] = {{"no interceptors", &bare, {}},
                {"nothing configured", &idle, {}},
                {"everything configured", &full, {}}};
  for (int round = 0; round < kRounds; ++round) {
    for (Row& row : rows) {
      double nanos = 0;
      co_await row.bench->call(calls, nanos, row.allocated);
      row.nanos.push_back(nanos);
    }
  }
  double floor = 0;
  for (Row& row : rows) {
    std::ranges::sort(row.nanos);
    const double median = row.nanos[kRounds / 2];
    if (floor == 0) floor = median;
    std::printf("%-22s %8.0f ns a call  %+8.0f ns  %6.2f allocations\n", row.name, median,
                median - floor, row.allocated);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : 200'000;
  auto env = core::UringEnv::create({1, 20, {}});
  if (!env) give_up(env.error().text());
  (*env)->run(measure(calls));
}
