// Why this file exists: gRPC framing and header values under any bytes. Beyond not crashing: what
// was decoded encodes back to itself, and no split of the input changes what is decoded.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "wire/grpc/grpc_codec.h"

namespace {

using namespace capstan;
using namespace capstan::wire;

constexpr std::size_t kLimit = 4096;

struct Decoded {
  std::vector<std::string> bodies;
  bool failed = false;
};

void take(GrpcDecoder& decoder, Decoded& to) {
  while (!to.failed) {
    const auto frame = decoder.next();
    to.failed = !frame;
    if (!frame || !*frame) return;
    to.bodies.emplace_back(as_text((*frame)->body));
    CAPSTAN_ASSERT(to.bodies.back().size() <= kLimit);
  }
}

Decoded decode(ByteView bytes, std::size_t part) {
  GrpcDecoder decoder(kLimit);
  Decoded out;
  while (!bytes.empty() && !out.failed) {
    const auto piece = bytes.first(std::min(part, bytes.size()));
    const bool added = decoder.append(piece).has_value();
    if (added) take(decoder, out);
    out.failed = out.failed || !added;
    bytes = bytes.subspan(piece.size());
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  const auto whole = decode(bytes, size + 1);
  const auto single = decode(bytes, 1);
  CAPSTAN_ASSERT(whole.failed == single.failed && whole.bodies == single.bodies);

  const auto text = as_text(bytes);
  CAPSTAN_ASSERT(grpc_decode_message(grpc_encode_message(text)) == text);
  CAPSTAN_ASSERT(grpc_decode_binary(grpc_encode_binary(text)) == std::string(text));
  (void)grpc_decode_message(text);
  (void)grpc_decode_binary(text).has_value();
  (void)grpc_parse_timeout(text).has_value();
  (void)grpc_content(text);
  (void)grpc_accepts_gzip(text);
  if (const auto plain = grpc_gunzip(bytes, kLimit)) CAPSTAN_ASSERT(plain->size() <= kLimit);
  return 0;
}
