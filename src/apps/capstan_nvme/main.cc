// Why this file exists: capstan-nvme, and `initiator`, as programs (see commands.h): which of the
// two it is, and what goes where in the end.
#include <cstdio>
#include <cstdlib>

#include "apps/capstan_nvme/commands.h"
#include "core/os_resolve.h"
#include "core/uring_env.h"

namespace {

namespace apps = capstan::apps;

capstan::core::Task<void> keep(capstan::core::Env* env, apps::NvmeInvocation call,
                               apps::NvmeAnswer* answer) {
  *answer = co_await apps::nvme_command(*env, &capstan::core::resolve_all, std::move(call));
}

// The name it was called by, or the first word of `capstan` when that was called so.
bool takes_initiator(const char* program, std::vector<std::string>& arguments) {
  const std::string_view path(program);
  if (path.substr(path.find_last_of('/') + 1) == "initiator") return true;
  if (arguments.empty() || arguments[0] != "--as-initiator") return false;
  arguments.erase(arguments.begin());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool initiator = takes_initiator(argv[0], arguments);
  if (!initiator && (arguments.empty() || arguments[0] == "-h" || arguments[0] == "--help")) {
    std::fputs(apps::nvme_help().c_str(), arguments.empty() ? stderr : stdout);
    return arguments.empty() ? apps::kNvmeUsage : apps::kNvmeDone;
  }
  auto call = initiator ? apps::parse_initiator_arguments(arguments)
                        : apps::parse_nvme_arguments(arguments);
  if (!call) {
    std::fprintf(stderr, "error: %s\n", call.error().text().c_str());
    return initiator ? apps::kInitiatorFailed : apps::kNvmeUsage;
  }
  if (const char* nqn = std::getenv("HOSTNQN"); nqn && call->host_nqn.empty()) call->host_nqn = nqn;
  auto env = capstan::core::UringEnv::create({});
  if (!env) {
    std::fprintf(stderr, "error: %s\n", env.error().text().c_str());
    return initiator ? apps::kInitiatorFailed : apps::kNvmeFailed;
  }
  apps::NvmeAnswer answer;
  (*env)->run(keep(env->get(), *std::move(call), &answer));
  std::fputs(answer.out.c_str(), stdout);
  std::fputs(answer.err.c_str(), stderr);
  return answer.code;
}
