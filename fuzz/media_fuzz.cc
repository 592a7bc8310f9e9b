// Why this file exists: bodies in BSON and octet-stream come from anybody. Every one ends with a
// message or an error, and what is accepted is the same after writing it in each media type and
// reading it again. The first byte picks the message and the media type, the second what is hidden.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/assert.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "replica.pb.h"
#include "rpc/element_codec.h"
#include "rpc/error_trace.h"
#include "rpc/json_pieces.h"
#include "rpc/media.h"
#include "rpc/options.pb.h"

namespace {

using namespace capstan;
using namespace capstan::rpc;
using google::protobuf::Message;

void same_in_all(const Message& message, const BodyShape& shape) {
  JsonReader reader;
  for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
    const auto body = encode_body(media, message, shape);
    // Numbers of enums that nobody declares are accepted by JSON and have no binary form.
    if (!body && media == Media::kBinary) continue;
    CAPSTAN_ASSERT(body.has_value());
    const std::unique_ptr<Message> read(message.New());
    CAPSTAN_ASSERT(decode_body(media, *body, *read, shape, reader).has_value());
    CAPSTAN_ASSERT(encode_body(media, *read, shape).value() == *body);
  }
  if (!shape.hidden.empty()) return;
  JsonPlans plans(JsonStyle::octez());
  JsonPieces pieces(message, shape, JsonStyle::octez(), plans);
  std::string all;
  for (;;) {
    const auto piece = pieces.next();
    CAPSTAN_ASSERT(piece.has_value());
    if (piece->empty()) break;
    all += *piece;
  }
  CAPSTAN_ASSERT(all == encode_json(message, shape).value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto media = static_cast<Media>(data[0] % 3);
  const std::string_view body(reinterpret_cast<const char*>(data + 2), size - 2);
  (void)decode_trace(media, body);
  std::unique_ptr<Message> message;
  switch (data[0] / 3 % 5) {
    case 0: message = std::make_unique<node::v1::Event>(); break;
    case 1: message = std::make_unique<node::v1::ImportImageRequest>(); break;
    case 2: message = std::make_unique<google::protobuf::Value>(); break;
    case 3: message = std::make_unique<OperationOptions>(); break;
    default: message = std::make_unique<mayastor::v1::ListReplicasResponse>(); break;
  }
  BodyShape shape = BodyShape::of(*message);
  const int fields = shape.type->field_count();
  if (data[1] % 4 == 1) shape.hidden = {{shape.type->field(data[1] / 4 % fields)}};
  if (data[1] % 4 == 2) shape.field = shape.type->field(data[1] / 4 % fields);
  JsonReader reader;
  if (!decode_body(media, body, *message, shape, reader)) return 0;
  same_in_all(*message, shape);
  return 0;
}
