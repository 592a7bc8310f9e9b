// Why this file exists: container runtimes block io_uring by default; then the node must say so in
// one line with the way out. A child process installs a seccomp filter that does the same.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "core/uring_env.h"

namespace capstan::core {
namespace {

bool forbid_io_uring() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof filter / sizeof filter[0], filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

// Exit code of the child: 0 when the refusal is as it should be.
int refused_as_documented() {
  if (!forbid_io_uring()) return 10;
  const auto env = UringEnv::create(UringOptions());
  if (env) return 11;
  if (env.error().code != Code::kFailedPrecondition || env.error().sys_errno != EPERM) return 12;
  const std::string text = env.error().text();
  for (const char* part : {"io_uring", "kernel.io_uring_disabled", "seccomp", "ulimit -l"}) {
    if (text.find(part) == std::string::npos) return 13;
  }
  return text.find('\n') == std::string::npos ? 0 : 14;
}

TEST(UringRefused, OneLineNamesTheCauseAndTheWayOut) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(refused_as_documented());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace capstan::core
