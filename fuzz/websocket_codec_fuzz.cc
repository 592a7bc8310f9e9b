// Why this file exists: WebSocket frames under any bytes, from both sides. No cut of the input may
// change what is decoded, and no piece may be larger than what was given.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "wire/websocket/websocket_codec.h"

namespace {

using namespace capstan;
using namespace capstan::wire;

std::string decoded(std::vector<std::uint8_t> bytes, std::size_t part,
                    WebSocketDecoder::Role role) {
  WebSocketDecoder decoder(role, {.frame_bytes = 1000, .message_bytes = 3000});
  std::string out;
  bool in_message = false;
  MutableBytes all(bytes);
  while (!all.empty()) {
    MutableBytes input = all.first(std::min(part, all.size()));
    all = all.subspan(input.size());
    while (true) {
      const std::size_t before = input.size();
      const auto event = decoder.next(input);
      if (!event) return out + "!" + std::to_string(static_cast<int>(decoder.failure()));
      if (!*event) break;
      const bool data = (*event)->kind == WebSocketEvent::Kind::kData;
      CAPSTAN_ASSERT(!data || (*event)->data.size() <= before);
      if (data) {
        CAPSTAN_ASSERT((*event)->first == !in_message);
        if (!in_message) out += (*event)->text ? "T" : "B";
        in_message = !(*event)->last;
      } else {
        out +=
            "C" + std::to_string(static_cast<int>((*event)->kind)) + std::to_string((*event)->code);
      }
      out.append(as_text((*event)->data));
      if (!data || (*event)->last) out += ".";
    }
    CAPSTAN_ASSERT(input.empty());
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);
  for (const auto role : {WebSocketDecoder::Role::kServer, WebSocketDecoder::Role::kClient}) {
    const std::string whole = decoded(bytes, size + 1, role);
    const std::string single = decoded(bytes, 1, role);
    // Text is refused where its first bad byte is, which a cut piece meets earlier in the output.
    if (whole.ends_with("!1007")) {
      CAPSTAN_ASSERT(single.ends_with("!1007"));
    } else {
      CAPSTAN_ASSERT(whole == single);
    }
  }
  return 0;
}
