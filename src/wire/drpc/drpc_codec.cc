// Why this file exists: see drpc_codec.h. The protobuf reader here knows four fields and needs no
// copy of the body; the fuzz target holds it against protobuf's own.
#include "wire/drpc/drpc_codec.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace capstan::wire::drpc {

// --- chunks ------------------------------------------------------------------------------------

HeaderBytes encode_header(const ChunkHeader& header) {
  HeaderBytes out;  // every byte is stored below
  store_le(out.data(), header.message_bytes);
  store_le(out.data() + 8, header.chunk_bytes);
  store_le(out.data() + 16, header.index);
  store_le(out.data() + 20, header.count);
  return out;
}

ChunkHeader decode_header(const std::uint8_t* bytes) {
  return {load_le<std::uint64_t>(bytes), load_le<std::uint64_t>(bytes + 8),
          load_le<std::uint32_t>(bytes + 16), load_le<std::uint32_t>(bytes + 20)};
}

std::uint32_t chunk_count(std::size_t message_bytes) {
  const std::size_t count = (message_bytes + kChunkBytesMax - 1) / kChunkBytesMax;
  CAPSTAN_ASSERT(count <= std::numeric_limits<std::uint32_t>::max());
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(count));
}

ChunkHeader chunk_header(std::size_t message_bytes, std::uint32_t index) {
  const std::size_t before = index * kChunkBytesMax;
  CAPSTAN_ASSERT(before <= message_bytes);
  return {message_bytes, std::min(kChunkBytesMax, message_bytes - before), index,
          chunk_count(message_bytes)};
}

static std::unexpected<Error> broken(std::string what) {
  return fail(Code::kInvalidArgument, "dRPC framing: " + std::move(what));
}

Result<bool> ChunkSequence::add(ByteView head, std::size_t packet_bytes) {
  if (packet_bytes > kPacketBytesMax) {
    return broken("a packet of " + std::to_string(packet_bytes) + " bytes is over the limit of " +
                  std::to_string(kPacketBytesMax));
  }
  if (packet_bytes < kHeaderBytes) {
    return broken("a packet of " + std::to_string(packet_bytes) + " bytes holds no chunk header");
  }
  CAPSTAN_ASSERT(head.size() >= kHeaderBytes);
  const ChunkHeader header = decode_header(head.data());
  if (header.chunk_bytes > kChunkBytesMax || header.chunk_bytes != packet_bytes - kHeaderBytes) {
    return broken("a chunk says " + std::to_string(header.chunk_bytes) + " bytes and has " +
                  std::to_string(packet_bytes - kHeaderBytes));
  }
  if (header.index >= header.count || header.index != next_index_) {
    return broken("chunk " + std::to_string(header.index) + " of " + std::to_string(header.count) +
                  " where chunk " + std::to_string(next_index_) + " is due");
  }
  if (next_index_ == 0) {
    if (header.message_bytes > limit_) {
      return fail(Code::kResourceExhausted,
                  "a dRPC message of " + std::to_string(header.message_bytes) +
                      " bytes is over the limit of " + std::to_string(limit_));
    }
    if (header.count > std::max<std::uint64_t>(1, header.message_bytes)) {
      return broken(std::to_string(header.count) + " chunks for " +
                    std::to_string(header.message_bytes) + " bytes");
    }
    message_bytes_ = header.message_bytes;
    count_ = header.count;
  } else if (header.message_bytes != message_bytes_ || header.count != count_) {
    return broken("chunk " + std::to_string(header.index) + " belongs to another message");
  }
  if (header.chunk_bytes > message_bytes_ - received_) {
    return broken("chunk " + std::to_string(header.index) + " goes beyond the end of its message");
  }
  received_ += header.chunk_bytes;
  ++next_index_;
  if (next_index_ < count_) return false;
  if (received_ != message_bytes_) {
    return broken("the last chunk came with " + std::to_string(received_) + " of " +
                  std::to_string(message_bytes_) + " bytes");
  }
  return true;
}

std::size_t ChunkSequence::room() const {
  return std::min(kChunkBytesMax, message_bytes_ - received_);
}

// --- messages ----------------------------------------------------------------------------------

std::string to_string(Status status) {
  switch (status) {
    case Status::kSuccess: return "SUCCESS";
    case Status::kSubmitted: return "SUBMITTED";
    case Status::kFailure: return "FAILURE";
    case Status::kUnknownModule: return "UNKNOWN_MODULE";
    case Status::kUnknownMethod: return "UNKNOWN_METHOD";
    case Status::kFailedUnmarshalCall: return "FAILED_UNMARSHAL_CALL";
    case Status::kFailedUnmarshalPayload: return "FAILED_UNMARSHAL_PAYLOAD";
    case Status::kFailedMarshal: return "FAILED_MARSHAL";
  }
  return std::to_string(static_cast<std::int32_t>(status));
}

namespace {

enum WireType : std::uint8_t { kVarint, kFixed64, kBytes, kGroup, kEndGroup, kFixed32 };

constexpr int kGroupDepthMax = 100;  // as protobuf's own reader

struct Field {
  std::uint32_t number = 0;
  WireType type = kVarint;
  std::uint64_t value = 0;  // kVarint
  ByteView bytes;           // kBytes
};

// Reads fields one after another; after an error everything fails.
class FieldReader {
 public:
  explicit FieldReader(ByteView message) : rest_(message) {}
  bool at_end() const { return rest_.empty(); }

  std::optional<Field> next() {
    Field field;
    if (!head(field) || field.type == kEndGroup || !content(field, 0)) return std::nullopt;
    return field;
  }

 private:
  bool head(Field& field) {
    const auto tag = varint(5);
    if (!tag) return false;
    const auto narrow = static_cast<std::uint32_t>(*tag);
    field.number = narrow >> 3;
    field.type = static_cast<WireType>(narrow & 7);
    return field.number != 0 && field.type <= kFixed32;
  }

  bool content(Field& field, int depth) {
    switch (field.type) {
      case kVarint: {
        const auto value = varint(10);
        field.value = value.value_or(0);
        return value.has_value();
      }
      case kFixed64: return skip(8);
      case kFixed32: return skip(4);
      case kBytes: {
        const auto size = varint(5);
        if (!size || *size > rest_.size()) return false;
        field.bytes = rest_.first(*size);
        return skip(*size);
      }
      case kGroup: return group(field.number, depth + 1);
      default: return false;
    }
  }

  // Everything up to the end of the group that is open.
  bool group(std::uint32_t number, int depth) {
    if (depth > kGroupDepthMax) return false;
    while (true) {
      Field field;
      if (!head(field)) return false;
      if (field.type == kEndGroup) return field.number == number;
      if (!content(field, depth)) return false;
    }
  }

  std::optional<std::uint64_t> varint(std::size_t bytes_max) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < std::min(bytes_max, rest_.size()); ++i) {
      value |= static_cast<std::uint64_t>(rest_[i] & 0x7f) << (7 * i);
      if ((rest_[i] & 0x80) != 0) continue;
      rest_ = rest_.subspan(i + 1);
      return value;
    }
    return std::nullopt;
  }

  bool skip(std::size_t bytes) {
    if (bytes > rest_.size()) return false;
    rest_ = rest_.subspan(bytes);
    return true;
  }

  ByteView rest_;
};

}  // namespace

std::optional<CallView> parse_call(ByteView message) {
  CallView call;
  for (FieldReader reader(message); !reader.at_end();) {
    const auto field = reader.next();
    if (!field) return std::nullopt;
    const bool number = field->type == kVarint;
    if (field->number == 1 && number) call.module = static_cast<std::int32_t>(field->value);
    if (field->number == 2 && number) call.method = static_cast<std::int32_t>(field->value);
    if (field->number == 3 && number) call.sequence = static_cast<std::int64_t>(field->value);
    if (field->number == 4 && field->type == kBytes) call.body = field->bytes;
  }
  return call;
}

std::optional<ResponseView> parse_response(ByteView message) {
  ResponseView response;
  for (FieldReader reader(message); !reader.at_end();) {
    const auto field = reader.next();
    if (!field) return std::nullopt;
    const bool number = field->type == kVarint;
    if (field->number == 1 && number) response.sequence = static_cast<std::int64_t>(field->value);
    if (field->number == 2 && number) response.status = static_cast<Status>(field->value);
    if (field->number == 3 && field->type == kBytes) response.body = field->bytes;
  }
  return response;
}

MessagePrefix MessagePrefix::call(std::int32_t module, std::int32_t method, std::int64_t sequence,
                                  std::size_t body_bytes) {
  MessagePrefix out;
  out.varint_field(0x08, static_cast<std::uint64_t>(module));  // negative: sign-extended, ten bytes
  out.varint_field(0x10, static_cast<std::uint64_t>(method));
  out.varint_field(0x18, static_cast<std::uint64_t>(sequence));
  out.body_field(0x22, body_bytes);
  return out;
}

MessagePrefix MessagePrefix::response(std::int64_t sequence, Status status,
                                      std::size_t body_bytes) {
  MessagePrefix out;
  out.varint_field(0x08, static_cast<std::uint64_t>(sequence));
  out.varint_field(0x10, static_cast<std::uint64_t>(static_cast<std::int64_t>(status)));
  out.body_field(0x1a, body_bytes);
  return out;
}

void MessagePrefix::varint_field(std::uint8_t tag, std::uint64_t value) {
  if (value == 0) return;
  bytes_[size_++] = tag;
  varint(value);
}

void MessagePrefix::body_field(std::uint8_t tag, std::size_t body_bytes) {
  if (body_bytes == 0) return;
  bytes_[size_++] = tag;
  varint(body_bytes);
}

void MessagePrefix::varint(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_[size_++] = static_cast<std::uint8_t>(value | 0x80);
    value >>= 7;
  }
  bytes_[size_++] = static_cast<std::uint8_t>(value);
}

// --- old releases ------------------------------------------------------------------------------

Framing detect_framing(ByteView packet) {
  if (packet.size() >= kHeaderBytes) {
    const ChunkHeader header = decode_header(packet.data());
    if (header.chunk_bytes == packet.size() - kHeaderBytes && header.index == 0 &&
        header.count >= 1 && header.message_bytes >= header.chunk_bytes &&
        header.message_bytes < (1ULL << 32)) {
      return Framing::kChunked;
    }
  }
  const auto call = parse_call(packet);
  if (call && (call->module != 0 || call->method != 0)) return Framing::kLegacy;
  return Framing::kNeither;
}

}  // namespace capstan::wire::drpc
