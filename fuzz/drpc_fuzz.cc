// Why this file exists: dRPC's packets and messages under any bytes. Beyond not crashing: what we
// read of a Call or Response is what protobuf reads, and a message that comes together has exactly
// the bytes its packets held, never more than the limit.
//
// Input: packets, each behind its length as two little-endian bytes.
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "drpc/drpc.pb.h"
#include "wire/drpc/drpc_codec.h"

namespace {

using namespace capstan;
using namespace capstan::wire::drpc;

constexpr std::size_t kLimit = 1U << 20;

void check_messages(ByteView bytes) {
  ::drpc::Call call;
  const auto ours = parse_call(bytes);
  CAPSTAN_ASSERT(ours.has_value() ==
                 call.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  if (ours) {
    CAPSTAN_ASSERT(ours->module == call.module() && ours->method == call.method() &&
                   ours->sequence == call.sequence() && as_text(ours->body) == call.body());
    const auto prefix =
        MessagePrefix::call(ours->module, ours->method, ours->sequence, ours->body.size());
    call.DiscardUnknownFields();
    CAPSTAN_ASSERT(std::string(as_text(prefix.view())) + call.body() == call.SerializeAsString());
  }
  ::drpc::Response response;
  const auto reply = parse_response(bytes);
  CAPSTAN_ASSERT(reply.has_value() ==
                 response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  if (!reply) return;
  CAPSTAN_ASSERT(reply->sequence == response.sequence() &&
                 static_cast<int>(reply->status) == static_cast<int>(response.status()) &&
                 as_text(reply->body) == response.body());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView whole(data, size);
  check_messages(whole);
  const Framing framing = detect_framing(whole);
  if (framing == Framing::kLegacy) CAPSTAN_ASSERT(parse_call(whole).has_value());

  ChunkSequence sequence(kLimit);
  std::string message;
  for (ByteView rest = whole; rest.size() >= 2;) {
    const std::size_t length = load_le<std::uint16_t>(rest.data());
    if (length > rest.size() - 2) break;
    const ByteView packet = rest.subspan(2, length);
    rest = rest.subspan(2 + length);
    const auto complete = sequence.add(packet, packet.size());
    if (!complete) break;
    message += as_text(packet.subspan(kHeaderBytes));
    CAPSTAN_ASSERT(message.size() == sequence.received() && message.size() <= kLimit);
    CAPSTAN_ASSERT(sequence.received() <= sequence.message_bytes());
    if (!*complete) continue;
    CAPSTAN_ASSERT(message.size() == sequence.message_bytes());
    check_messages(as_bytes(message));
    sequence = ChunkSequence(kLimit);
    message.clear();
  }
  return 0;
}
