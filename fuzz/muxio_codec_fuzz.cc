// Why this file exists: Muxio frames, messages and records under any bytes, with both header sizes.
// No cut of the input may change what happens, and what waits stays within its limits.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "base/assert.h"
#include "wire/muxio/muxio_codec.h"

namespace {

using namespace capstan;
using namespace capstan::wire::muxio;

struct Trace final : FrameEvents {
  std::string order;
  std::map<std::uint32_t, std::string> data;
  void on_data(StreamState& stream, ByteView piece) override {
    data[stream.id].append(as_text(piece));
  }
  void on_end(StreamState& stream) override {
    order += std::to_string(stream.id) + "." + data[stream.id] + ";";
    data.erase(stream.id);
  }
  void on_cancel(std::uint32_t id, StreamState* stream) override {
    order += std::to_string(id) + (stream ? "x;" : "?;");
    data.erase(id);
  }
};

std::string traced(ByteView bytes, std::size_t part, std::size_t header_bytes) {
  Trace trace;
  FrameDecoder decoder(
      trace, header_bytes,
      {.frame_bytes = 500, .streams = 8, .waiting_frames = 8, .waiting_bytes = 1000});
  while (!bytes.empty()) {
    const ByteView piece = bytes.first(std::min(part, bytes.size()));
    bytes = bytes.subspan(piece.size());
    const bool good = decoder.receive(piece).has_value();
    CAPSTAN_ASSERT(decoder.unfinished_streams() <= 8);
    if (!good) return trace.order + "!";
  }
  return trace.order;
}

std::string message(ByteView bytes, std::size_t part) {
  MessageDecoder decoder;
  RecordDecoder records(100);
  std::string out;
  while (!bytes.empty()) {
    ByteView piece = bytes.first(std::min(part, bytes.size()));
    bytes = bytes.subspan(piece.size());
    const auto complete = decoder.add(piece);
    if (!complete) return out + "!";
    if (!*complete) continue;
    records.append(piece);
    while (true) {
      const auto record = records.next();
      if (!record) return out + "!";
      if (!*record) break;
      out.append(as_text(**record)).append(";");
    }
  }
  if (decoder.complete()) out += decoder.metadata();
  return out + std::string(records.error_begun() ? records.error_text() : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  for (const std::size_t header_bytes : {kLongHeaderBytes, kShortHeaderBytes}) {
    CAPSTAN_ASSERT(traced(bytes, size + 1, header_bytes) == traced(bytes, 1, header_bytes));
  }
  CAPSTAN_ASSERT(message(bytes, size + 1) == message(bytes, 1));
  const auto knows = [](std::uint64_t id) { return id % 2 == 0; };
  (void)detect_header_bytes(bytes, size, knows, kLongHeaderBytes);
  (void)detect_header_bytes(bytes, 0, knows, kShortHeaderBytes);
  return 0;
}
