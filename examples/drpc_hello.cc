// Why this file exists: a whole dRPC server and a whole client, as small as they get. The server
// has the greeting of DAOS's test tools (module 0) and a module of its own (77) whose one method
// answers its request backwards; both end on SIGINT or SIGTERM.
//
//     ninja -C build/asan drpc_hello
//     build/asan/bin/drpc_hello serve /tmp/hello.sock &
//     build/asan/bin/drpc_hello greet /tmp/hello.sock Friend     prints: Hello Friend
//     build/asan/bin/drpc_hello reverse /tmp/hello.sock abc      prints: cba
#include <cstdio>
#include <string>

#include "core/os_signal.h"
#include "core/uring_env.h"
#include "drpc/hello.pb.h"
#include "wire/drpc/client.h"
#include "wire/drpc/hello.h"
#include "wire/drpc/server.h"

using namespace capstan;
namespace drpc = capstan::wire::drpc;

namespace {

// A module is a number and its methods. A handler is a coroutine: where this one answers at once, a
// real one may co_await files, timers or other servers while other sessions go on.
class ReverseModule final : public drpc::Module {
 public:
  static constexpr std::int32_t kModule = 77, kReverse = 7701;

  std::int32_t id() const override { return kModule; }
  std::string_view name() const override { return "reverse"; }
  std::optional<drpc::Method> method(std::int32_t id) const override {
    if (id != kReverse) return std::nullopt;
    return drpc::Method{id, kModule, "reverse"};
  }
  core::Task<drpc::Answer> handle(drpc::Session& session, const drpc::Method&,
                                  ByteView body) override {
    std::printf("a call of process %u\n", session.peer().pid.value_or(0));
    std::string text(as_text(body));
    co_return drpc::Body::copy(as_bytes(std::string(text.rbegin(), text.rend())));
  }
};

core::Task<Result<void>> serve(core::Env& env, core::SignalSet& signals, core::Log& log,
                               std::string path) {
  drpc::ServerOptions options;
  options.listen.existing = core::ExistingPath::kReplaceStale;
  drpc::DomainSocketServer server(env, log, std::move(path), options);
  CO_TRY(server.register_module(drpc::make_hello_module()));
  CO_TRY(server.register_module(std::make_unique<ReverseModule>()));
  CO_TRY(server.start());
  const auto signal = co_await signals.wait();
  co_await server.shutdown();  // always, before the server goes
  if (!signal) co_return std::unexpected(signal.error());
  co_return Result<void>();
}

// Messages in and out.
core::Task<Result<void>> greet(core::Env& env, std::string path, std::string name) {
  drpc::Client client(env, std::move(path));
  CO_TRY(co_await client.connect());
  hello::Hello request;
  hello::HelloResponse response;
  request.set_name(name);
  CO_TRY(co_await client.call_messages(0, 0, request, response, {}));
  std::puts(response.greeting().c_str());
  co_return Result<void>();
}

// Bytes in and out, and a deadline.
core::Task<Result<void>> reverse(core::Env& env, std::string path, std::string text) {
  drpc::Client client(env, std::move(path));
  CO_TRY(co_await client.connect());
  drpc::CallOptions options;
  options.timeout = 5 * core::kSecond;
  CO_TRY_SET(const drpc::Response response,
             co_await client.call(ReverseModule::kModule, ReverseModule::kReverse, as_bytes(text),
                                  options));
  if (response.status != drpc::Status::kSuccess) {
    co_return fail(Code::kUnknown, "the server answered " + drpc::to_string(response.status));
  }
  std::puts(std::string(as_text(response.body.view())).c_str());
  co_return Result<void>();
}

core::Task<void> keep(core::Task<Result<void>> task, Result<void>& result) {
  result = co_await std::move(task);
}

int run(const std::string& what, const std::string& path, const std::string& text) {
  const auto signals = core::SignalSet::create();
  const auto env = core::UringEnv::create({});
  const auto sink = core::make_stderr_sink({}, "");
  core::Log log(*sink, core::LogLevel::kInfo, &core::UringEnv::wall_clock, nullptr);
  Result<void> result;
  if (!signals || !env) {
    result = std::unexpected(signals ? env.error() : signals.error());
  } else if (what == "serve") {
    (*env)->run(keep(serve(**env, **signals, log, path), result));
  } else if (what == "greet") {
    (*env)->run(keep(greet(**env, path, text), result));
  } else {
    (*env)->run(keep(reverse(**env, path, text), result));
  }
  if (result) return 0;
  std::fprintf(stderr, "%s\n", result.error().text().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const bool complete = what == "serve" ? argc == 3 : argc == 4;
  if (!complete || (what != "serve" && what != "greet" && what != "reverse")) {
    std::fputs("usage: drpc_hello serve PATH | greet PATH NAME | reverse PATH TEXT\n", stderr);
    return 2;
  }
  return run(what, argv[2], argc > 3 ? argv[3] : "");
}
