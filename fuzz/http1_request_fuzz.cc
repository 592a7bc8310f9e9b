// Why this file exists: heads of HTTP/1.1 requests under any bytes: no cut of the input may change
// what is read, and what is kept stays within the limits.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/http1/http1_request.h"

namespace {

using namespace capstan;

// `wide`: larger than what a parser below can count in 16 bits, as a configured limit may be.
std::string parsed(ByteView bytes, std::size_t part, bool wide) {
  constexpr std::size_t kWideBytes = 256U << 10;
  wire::Http1RequestLimits limits;
  if (wide) limits.line_bytes = limits.head_bytes = kWideBytes;
  wire::Http1RequestParser parser(limits);
  while (!bytes.empty()) {
    const ByteView piece = bytes.first(std::min(part, bytes.size()));
    bytes = bytes.subspan(piece.size());
    const auto complete = parser.add(piece);
    if (!complete) return "!";
    if (!*complete) continue;
    const auto& request = parser.request();
    CAPSTAN_ASSERT(request.headers.size() <= limits::kHttp1Headers);
    std::string out = request.method + " " + request.target + (request.http10 ? "0" : "1");
    for (const auto& [name, value] : request.headers) out += "\n" + name + ":" + value;
    return out + "\n\n" + std::string(as_text(parser.rest())) + std::string(as_text(bytes));
  }
  return "?";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kFewPieces = 1024;  // every one of them looks at what came before
  const ByteView bytes(data, size);
  for (const bool wide : {false, true}) {
    const std::string whole = parsed(bytes, size + 1, wide);
    const std::string single = parsed(bytes, size / kFewPieces + 1, wide);
    // Cut input may be refused earlier or later, never read differently.
    if (whole != "!" && whole != "?" && single != "!" && single != "?") {
      CAPSTAN_ASSERT(whole == single);
    }
  }
  return 0;
}
