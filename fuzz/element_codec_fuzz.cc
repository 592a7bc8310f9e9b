// Why this file exists: a stream cut into chunks anywhere gives the same elements, and what is
// given out plus what is left is what came in. The first byte picks the format, the second the
// chunks.
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "rpc/element_codec.h"

namespace {

using namespace capstan;
using namespace capstan::rpc;

struct Outcome {
  std::vector<std::string> elements;
  bool failed = false;
  bool operator==(const Outcome&) const = default;
};

Outcome split(ElementSplitter::Format format, std::string_view bytes, std::size_t piece) {
  constexpr std::size_t kLimit = 512;
  ElementSplitter splitter(format, kLimit);
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size() && !outcome.failed; at += piece) {
    splitter.add(bytes.substr(at, piece));
    for (;;) {
      const auto element = splitter.next();
      outcome.failed = !element.has_value();
      if (!element || !*element) break;
      CAPSTAN_ASSERT(!(*element)->empty() && (*element)->size() <= kLimit);
      outcome.elements.emplace_back(**element);
    }
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto format = static_cast<ElementSplitter::Format>(data[0] % 3);
  const std::string_view rest(reinterpret_cast<const char*>(data + 2), size - 2);
  const auto whole = split(format, rest, rest.size() + 1);
  CAPSTAN_ASSERT(split(format, rest, 1 + data[1] % 7) == whole);
  return 0;
}
