// Why this file exists: the command line of Capstan: parse, connect, run one command, print.
// Exit codes: 0 done, 1 the node or the system refused, 2 wrong usage, 3 the node cannot be
// reached or does not answer in time.
#include <cstdio>
#include <cstdlib>

#include "apps/capstan/call_log.h"
#include "apps/capstan/command.h"
#include "apps/capstan/connect.h"
#include "apps/capstan/session.h"
#include "apps/capstan/sibling.h"
#include "base/visible.h"
#include "core/os_process.h"
#include "core/os_signal.h"
#include "core/reachable.h"
#include "core/uring_env.h"
#include "rpc/quiet_protobuf.h"

namespace capstan::apps {
namespace {

enum Exit { kDone = 0, kFailed = 1, kUsage = 2, kUnreachable = 3 };

int report(const Error& error, Exit exit) {
  if (error.sys_errno == kReaderGone) return exit;  // it has seen enough
  const std::string text = visible_lines(error.text());
  if (error.sys_errno == kFatalErrno) {
    std::fprintf(stderr, "Fatal error:\n  %s\n", text.c_str());
  } else if (exit == kUsage) {
    std::fprintf(stderr, "error: %s\n\nFor more information try --help\n", text.c_str());
  } else {
    std::fprintf(stderr, "error: %s: %s\n", std::string(code_name(error.code)).c_str(),
                 text.c_str());
  }
  return exit;
}

Exit exit_of(const Error& error, const Session& session, bool connected) {
  if (error.sys_errno == kUsageErrno) return kUsage;
  if (session.has_heard() || error.sys_errno == kFatalErrno) return kFailed;
  // Whether the node or this side noticed first is chance, and a connection says nothing.
  if (error.code == Code::kDeadlineExceeded) return kUnreachable;
  return error.code == Code::kUnavailable && !connected ? kUnreachable : kFailed;
}

// Asks the command to end when the user interrupts.
core::Task<void> watch_signals(core::SignalSet* signals, core::CancelSource* interrupt) {
  const auto signal = co_await signals->wait();
  if (signal) interrupt->fire();
}

core::Task<void> run(core::Env& env, core::SignalSet& signals, const Invocation& invocation,
                     NodeWay way, core::Nanos timeout, int& exit_code) {
  core::CancelSource interrupt;
  core::Scope scope;
  scope.spawn(watch_signals(&signals, &interrupt));
  client::RemoteOptions options = std::move(way.options);
  options.channel.address =
      co_await core::reachable(env, std::move(way.addresses), timeout, interrupt.token());
  CallLog log;
  const auto http_log = log_of_http(log);
  options.http.on_attempt = [&invocation](const client::HttpAttempt& attempt) {
    if (!invocation.global.on("quiet")) print_attempt(attempt);
  };
  const bool logged = invocation.global.on("log-requests");
  const bool http = options.wire == client::Wire::kHttp;
  if (logged && http) options.http.log = http_log.get();
  const auto connect = [&env, &options, &log, logged, http] {
    auto made = client::make_remote(env, options);
    return logged && !http ? logging_remote(std::move(made), log) : std::move(made);
  };
  const auto remote = connect();
  Printer printer(printer_options(invocation.global));
  Session session(env, options, *remote, connect, printer, timeout, interrupt.token(),
                  core::stderr_terminal());
  auto result = co_await invocation.command->run(session, invocation.arguments);
  const bool connected = remote->connected();
  if (!result && !connected && !session.has_heard()) {
    result.error() = with_remedy(std::move(result).error(), options);
  }
  if (interrupt.fired() && !result) result.error() = {Code::kCancelled, 0, "interrupted", {}};
  auto flushed = printer.flush();
  exit_code = kDone;
  if (!result)
    exit_code = report(result.error(), exit_of(result.error(), session, connected));
  else if (!flushed)
    exit_code = report(flushed.error(), kFailed);
  co_await remote->close();
  signals.cancel();
  co_await scope.join();
}

int main(int argc, char** argv) {
  rpc::quiet_protobuf();
  const std::string_view path(argv[0]);
  if (path.substr(path.find_last_of('/') + 1) == "initiator") {  // Mayastor's test program
    std::vector<std::string> words(argv + 1, argv + argc);
    words.insert(words.begin(), "--as-initiator");
    return report(core::become_sibling("capstan-nvme", words), kFailed);
  }
  auto invocation = parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  if (!invocation) return report(invocation.error(), kUsage);
  auto sibling = sibling_of(*invocation);
  if (!sibling) return report(sibling.error(), kUsage);
  if (*sibling) {
    return report(core::become_sibling((*sibling)->program, (*sibling)->words), kFailed);
  }
  if (!invocation->print && !invocation->command->run) {
    auto script = completion_script(invocation->arguments.text("SHELL"));
    if (!script) return report(script.error(), kUsage);
    invocation->print = *std::move(script);
  }
  if (invocation->print) {
    const bool printed = std::fputs(invocation->print->c_str(), stdout) >= 0;
    return printed && std::fflush(stdout) == 0 ? kDone : kFailed;
  }
  auto timeout = call_timeout(invocation->global);
  if (!timeout) return report(timeout.error(), kUsage);
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  auto way = way_to_node(invocation->global, {variable("CAPSTAN_TOKEN"), variable("TRACEPARENT")});
  if (!way) {
    const bool unknown = way.error().code == Code::kUnavailable;
    return report(way.error(), unknown ? kUnreachable : kUsage);
  }
  auto signals = core::SignalSet::create();
  if (!signals) return report(signals.error(), kFailed);
  auto env = core::UringEnv::create({});
  if (!env) return report(env.error(), kFailed);
  int exit_code = kFailed;
  (*env)->run(run(**env, **signals, *invocation, *std::move(way), *timeout, exit_code));
  return exit_code;
}

}  // namespace
}  // namespace capstan::apps

int main(int argc, char** argv) {
  return capstan::apps::main(argc, argv);
}
