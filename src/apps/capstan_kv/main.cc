// Why this file exists: capstan-kv as a program, see commands.h.
#include <cstdio>

#include "apps/capstan_kv/commands.h"
#include "core/uring_env.h"

namespace {

capstan::core::Task<void> keep(capstan::core::Env* env, std::vector<std::string> arguments,
                               int* code) {
  *code = co_await capstan::apps::kv_command(*env, std::move(arguments));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "-h" || arguments[0] == "--help") {
    std::fputs(capstan::apps::kv_help().c_str(), arguments.empty() ? stderr : stdout);
    return arguments.empty() ? capstan::apps::kKvUsage : capstan::apps::kKvDone;
  }
  auto env = capstan::core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "error: %s\n", env.error().text().c_str());
    return capstan::apps::kKvFailed;
  }
  int code = capstan::apps::kKvFailed;
  (*env)->run(keep(env->get(), arguments, &code));
  return code;
}
