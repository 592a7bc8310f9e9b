// Why this file exists: what a program needs from the system before its reactors exist or beside
// them: reading a small configuration file, asking about the terminal. Everything
// with a reactor goes through core/env.h instead.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace capstan::core {

// The whole file, at most `limit_bytes` (longer: kResourceExhausted).
Result<std::string> read_small_file(const std::string& path, std::size_t limit_bytes);

// Creates the directory and its parents (mode 0700); existing is fine.
Result<void> make_directories_now(const std::string& path);

// Whether standard error is a terminal, and its width in columns (80 when unknown).
struct Terminal {
  bool is_terminal = false;
  unsigned columns = 80;
};
Terminal stderr_terminal();
Terminal stdout_terminal();

}  // namespace capstan::core
