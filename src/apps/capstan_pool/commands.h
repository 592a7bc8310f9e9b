// Why this file exists: capstan-pool, the command line for a pool that no node has open: check,
// repair, dump. It is a program of its own because the client of nodes knows nothing of storage.
// Nothing is written unless `repair` is given --write. The device is opened exclusively: a pool
// that a node has open is refused. Thread-safety: one core.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/env.h"

namespace capstan::apps {

enum PoolExit { kPoolSound = 0, kPoolFailed = 1, kPoolUsage = 2, kPoolFindings = 3 };

struct PoolInvocation {
  std::string command, path;
  std::uint32_t block_bytes = 0;  // 0: as the file or disk has it
  bool write = false, destroy_damaged = false, json = false;
};

std::string pool_help();
// `arguments` without the program's name. Errors are usage errors.
Result<PoolInvocation> parse_pool_arguments(const std::vector<std::string>& arguments);

// What goes to standard output and standard error, and the exit code.
struct PoolAnswer {
  std::string out, err;
  int code = kPoolFailed;
};
core::Task<PoolAnswer> pool_command(core::Env& env, PoolInvocation call);

}  // namespace capstan::apps
