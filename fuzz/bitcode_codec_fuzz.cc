// Why this file exists: bitcode under any bytes. Beyond not crashing: what decodes encodes to bytes
// that decode to the same value and encode to themselves, and every cut of them is rejected.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "base/bitcode_codec.h"

namespace {

using namespace capstan;
using namespace capstan::bitcode;

// Decodes one message of type `kind` and encodes it again; false when the bytes are rejected.
bool again(unsigned kind, ByteView bytes, std::string& out) {
  Decoder decoder(bytes);
  Encoder encoder(out);
  const auto put = [&](const auto& decoded, auto encode) {
    if (!decoded || !decoder.finish()) return false;
    encode(*decoded);
    return true;
  };
  switch (kind) {
    case 0: return put(decoder.value(), [&](ByteView v) { encoder.value(v); });
    case 1: return put(decoder.list(), [&](const auto& v) { encoder.list(v); });
    case 2: return put(decoder.entries(), [&](const auto& v) { encoder.entries(v); });
    case 3: return put(decoder.optional(), [&](const auto& v) { encoder.optional(v); });
    case 4: return put(decoder.optionals(), [&](const auto& v) { encoder.optionals(v); });
    case 5: return put(decoder.number(), [&](std::uint64_t v) { encoder.value(v); });
    case 6: return put(decoder.flag(), [&](bool v) { encoder.value(v); });
    case 7: return put(decoder.text(), [&](std::string_view v) { encoder.text(v); });
    default: {
      const auto error = decode_error(bytes);
      if (error) encode(*error, out);
      return error.has_value();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned kind = data[0] % 9;
  std::string first, second;
  if (!again(kind, ByteView(data + 1, size - 1), first)) return 0;
  CAPSTAN_ASSERT(again(kind, as_bytes(first), second));
  CAPSTAN_ASSERT(first == second);
  if (first.size() > 64) return 0;
  for (std::size_t cut = 0; cut < first.size(); ++cut) {
    std::string ignored;
    CAPSTAN_ASSERT(!again(kind, as_bytes(first).first(cut), ignored));
  }
  return 0;
}
