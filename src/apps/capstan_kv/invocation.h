// Why this file exists: what a command line of capstan-kv asks for: file, command, words and the
// few flags. Upstream's own flags (-b, --buffer-size) are understood; `--` ends the flags, so that
// words may begin with a dash.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::apps {

struct KvInvocation {
  std::string file, command;
  std::vector<std::string> words;
  std::string input, to;  // files; empty: standard input and output
  bool force = false;     // replace an existing file of --to
  bool json = false, quiet = false;
};

// `arguments` without the program's name. Errors are usage errors.
Result<KvInvocation> parse_kv_arguments(const std::vector<std::string>& arguments);

}  // namespace capstan::apps
