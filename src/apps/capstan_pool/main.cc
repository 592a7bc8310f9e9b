// Why this file exists: capstan-pool as a program, see commands.h.
#include <cstdio>

#include "apps/capstan_pool/commands.h"
#include "core/uring_env.h"

namespace {

capstan::core::Task<void> keep(capstan::core::Env* env, capstan::apps::PoolInvocation call,
                               capstan::apps::PoolAnswer* answer) {
  *answer = co_await capstan::apps::pool_command(*env, std::move(call));
}

}  // namespace

int main(int argc, char** argv) {
  namespace apps = capstan::apps;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "-h" || arguments[0] == "--help") {
    std::fputs(apps::pool_help().c_str(), arguments.empty() ? stderr : stdout);
    return arguments.empty() ? apps::kPoolUsage : apps::kPoolSound;
  }
  auto call = apps::parse_pool_arguments(arguments);
  if (!call) {
    std::fprintf(stderr, "error: %s\n%s", call.error().text().c_str(), apps::pool_help().c_str());
    return apps::kPoolUsage;
  }
  auto env = capstan::core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "error: %s\n", env.error().text().c_str());
    return apps::kPoolFailed;
  }
  apps::PoolAnswer answer;
  (*env)->run(keep(env->get(), *std::move(call), &answer));
  std::fputs(answer.out.c_str(), stdout);
  std::fputs(answer.err.c_str(), stderr);
  return answer.code;
}
