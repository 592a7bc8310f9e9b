// Why this file exists: a store in memory behind the node's own door, so that the released
// DataStore clients try our wire and nothing else. It keeps the rules that clients can see: what
// may not be written, offsets that grow as the file of a real store would, missing keys. Prints
// "port N".
#include "memory_store.h"
#include <csignal>
#include <cstdio>
#include "apps/serving/door.h"
#include "core/os_signal.h"
#include "core/uring_env.h"

namespace capstan::interop {
namespace {

Task<void> serve(core::Env* env, core::SignalSet* signals, const rpc::Directory* directory,
                 const wire::muxio::MethodTable* methods, const core::Log* log) {
  wire::GrpcServer grpc(*env, *directory, *log, {});
  wire::muxio::Server muxio(*env, *directory, *methods, *log, {});
  auto rest = wire::rest::Server::create(*directory, *log, {});
  if (!rest) {
    std::fprintf(stderr, "%s\n", rest.error().text().c_str());
    co_return;
  }
  apps::Door door(*env, *log, grpc, muxio, **rest);
  const auto address = door.listen(core::Address::tcp("127.0.0.1", 0));
  if (!address) {
    std::fprintf(stderr, "%s\n", address.error().text().c_str());
    co_return;
  }
  core::Scope scope;
  scope.spawn(grpc.run());
  scope.spawn(muxio.run());
  scope.spawn((*rest)->run());
  scope.spawn(door.run());
  std::printf("port %u\n", address->port);
  std::fflush(stdout);
  (void)co_await signals->wait();
  door.stop();
  grpc.stop(core::kSecond);
  muxio.stop(core::kSecond);
  (*rest)->stop(core::kSecond);
  co_await scope.join();
}

int main() {
  auto signals = core::SignalSet::create();
  auto env = core::UringEnv::create({});
  if (!signals || !env) {
    std::fprintf(stderr, "no signals or no io_uring here\n");
    return 1;
  }
  Store store;
  rpc::Directory directory;
  const auto bound = store.bind(directory);
  auto methods = wire::muxio::MethodTable::make(directory);
  if (!bound || !methods) {
    std::fprintf(stderr, "%s\n", (bound ? methods.error() : bound.error()).text().c_str());
    return 1;
  }
  const auto sink = core::make_stderr_sink({}, "memory-store");
  core::Log log(*sink, core::LogLevel::kWarn, &core::UringEnv::wall_clock, nullptr);
  (*env)->run(serve(env->get(), signals->get(), &directory, &*methods, &log));
  return 0;
}

}  // namespace
}  // namespace capstan::interop

int main() {
  return capstan::interop::main();
}
