// Why this file exists: bodies and heads of HTTP/1.1 messages under any bytes: no cut of the input
// changes what a body is, nothing is read beyond its end, and what one parser of heads makes of a
// request is what its framing is decided from.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "wire/http1/http1_body.h"
#include "wire/http1/http1_request.h"
#include "wire/http1/http1_response.h"

namespace {

using namespace capstan;
using wire::Http1Framing;

std::string decoded(Http1Framing framing, ByteView bytes, std::size_t part) {
  wire::Http1BodyDecoder decoder(framing);
  std::string body;
  while (!bytes.empty() && !decoder.done()) {
    ByteView piece = bytes.first(std::min(part, bytes.size()));
    while (!piece.empty() && !decoder.done()) {
      const auto step = decoder.next(piece);
      if (!step) return "!";
      CAPSTAN_ASSERT(step->used <= piece.size() && (step->used != 0 || decoder.done()));
      body += as_text(step->piece);
      piece = piece.subspan(step->used);
      bytes = bytes.subspan(step->used);
    }
  }
  return body + (decoder.done() ? "|" : "?") + std::string(as_text(bytes));
}

void heads(ByteView bytes) {
  wire::Http1RequestParser request;
  if (const auto added = request.add(bytes); added && *added) {
    const auto framing = wire::http1_request_framing(request.request());
    if (framing) CAPSTAN_ASSERT(framing->kind != Http1Framing::Kind::kUntilClose);
  }
  wire::Http1ResponseParser response;
  if (const auto added = response.add(bytes); added && *added) {
    static_cast<void>(response.framing().has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Http1Framing framing = data[0] % 2 == 0
                                   ? Http1Framing{Http1Framing::Kind::kChunked, 0}
                                   : Http1Framing{Http1Framing::Kind::kLength, data[0] / 2U};
  const ByteView bytes(data + 1, size - 1);
  const std::string whole = decoded(framing, bytes, size + 1);
  CAPSTAN_ASSERT(whole == decoded(framing, bytes, 1));
  heads(bytes);
  return 0;
}
