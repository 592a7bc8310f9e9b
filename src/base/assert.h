// Why this file exists: programmer errors abort, also in release builds, with a line that says
// where and what. Operating errors never come here (base/result.h).
#pragma once

namespace capstan {
[[noreturn]] void assert_failed(const char* condition, const char* file, int line);
}

#define CAPSTAN_ASSERT(condition) \
  ((condition) ? void() : ::capstan::assert_failed(#condition, __FILE__, __LINE__))
