// Why this file exists: whoever makes or replaces a file must sync the folder its name is in, so
// that the name survives a power cut. Pure text: nothing is looked up. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace capstan {

// "a/b" is in "a", "/b" in "/", "b" in ".".
inline std::string folder_of(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace capstan
