// Why this file exists: JSON-RPC's framing and envelopes under any bytes. Beyond not crashing: no
// cut of the input changes what is read, what the scanner takes for JSON is JSON to an independent
// parser (and the reverse, within the limits), and no buffer outgrows its limit.
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/jsonrpc/jsonrpc_codec.h"

namespace {

using namespace capstan;
using namespace capstan::wire::jsonrpc;
using Event = TextDecoder::Event;

constexpr JsonScanner::Limits kLimits = {4096, 500, 20};

struct Decoded {
  std::vector<std::string> texts;
  Event end = Event::kNeedMore;
};

bool is_number(const std::string& text) {
  return text[0] == '-' || (text[0] >= '0' && text[0] <= '9');
}

Decoded decode(std::string_view bytes, std::size_t part) {
  TextDecoder decoder(kLimits);
  Decoded out;
  while (!bytes.empty()) {
    auto piece = bytes.substr(0, part);
    bytes.remove_prefix(piece.size());
    while ((out.end = decoder.next(piece)) == Event::kText) {
      out.texts.emplace_back(decoder.text());
      CAPSTAN_ASSERT(!out.texts.back().empty() && out.texts.back().size() <= kLimits.bytes);
      // How much of a number is seen depends on the cut, not that there is one.
      if (is_number(out.texts.back())) out.texts.back() = "0";
    }
    CAPSTAN_ASSERT(decoder.buffered() <= kLimits.bytes);
    if (out.end != Event::kNeedMore) break;
    CAPSTAN_ASSERT(piece.empty());
  }
  return out;
}

// simdjson takes no integers beyond 64 bits and no doubles beyond their range: all others agree.
void compare_with_simdjson(const std::string& text) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const auto error = parser.parse(text).get(element);
  CAPSTAN_ASSERT(!error || error == simdjson::NUMBER_ERROR);
}

void check_single(std::string_view bytes, const Decoded& whole) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const bool json = bytes.size() < kLimits.bytes && bytes.size() < 200 &&
                    !parser.parse(bytes.data(), bytes.size()).get(element);
  if (!json || std::ranges::count(bytes, '[') + std::ranges::count(bytes, '{') > 19) return;
  CAPSTAN_ASSERT(whole.end == Event::kNeedMore && whole.texts.size() == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = as_text(ByteView(data, size));
  auto whole = decode(bytes, std::max<std::size_t>(size, 1));
  for (const std::size_t part : {1, 7}) {
    auto cut = decode(bytes, part);
    CAPSTAN_ASSERT(whole.end == cut.end);
    // "1." is no number yet; cut after its first byte it was one.
    if (cut.texts.size() == whole.texts.size() + 1 && cut.texts.back() == "0") {
      cut.texts.pop_back();
    }
    if (cut.end != Event::kTooLong) CAPSTAN_ASSERT(whole.texts == cut.texts);
  }
  check_single(bytes, whole);
  Requests requests;
  for (const auto& text : whole.texts) {
    compare_with_simdjson(text);
    read_requests(text, requests);
    CAPSTAN_ASSERT(!requests.all.empty());
    for (const auto& request : requests.all) {
      CAPSTAN_ASSERT(request.params.empty() || request.valid);
      if (!request.params.empty()) compare_with_simdjson(std::string(request.params));
    }
    (void)read_replies(text).has_value();
  }
  return 0;
}
