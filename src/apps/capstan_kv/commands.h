// Why this file exists: capstan-kv, the command line for a store's file that no node has open. It
// is a program of its own because the client of nodes knows nothing of storage: `capstan kv --file`
// becomes this program. Commands and texts are those of simd-r-drive's command line (datastore
// section 11), results on standard output, everything else on standard error; --json gives what
// `capstan -o json kv` gives. Thread-safety: one core.
#pragma once

#include <string>
#include <vector>

#include "core/env.h"

namespace capstan::apps {

enum KvExit { kKvDone = 0, kKvFailed = 1, kKvUsage = 2 };

std::string kv_help();
// `arguments` without the program's name. Answers the exit code.
core::Task<int> kv_command(core::Env& env, std::vector<std::string> arguments);

}  // namespace capstan::apps
