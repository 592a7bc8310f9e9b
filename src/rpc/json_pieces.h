// Why this file exists: an answer of a hundred megabytes must not exist as one text. JsonPieces
// writes a message as JSON a few kilobytes at a time, whenever the wire asks; put together the
// pieces are exactly encode_json() (rpc/media.h), line feed included. Source: http-rpc section 8.
//
//   JsonPieces pieces(message, shape, style);
//   for (;;) { CO_TRY_SET(auto piece, pieces.next()); if (piece.empty()) break; send(piece); }
// For answers: the shape hides no fields. Small elements of lists are written by the plans.
// Lifetime: message, shape and plans outlive the JsonPieces and do not change; a piece lives until
// the next call. Memory: about kJsonPieceBytesMax plus the longest single map or dynamic value.
// Errors are write_json()'s; the answer has then been sent in part, so the wire must break off.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/body_shape.h"
#include "rpc/json_plan.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

inline constexpr std::size_t kJsonPieceBytes = 12U << 10;  // what a piece aims at
inline constexpr std::size_t kJsonPieceBytesMax = 16U << 10;

class JsonPieces {
 public:
  // `plans` are of the same style.
  JsonPieces(const google::protobuf::Message& message, const BodyShape& shape,
             const JsonStyle& style, JsonPlans& plans);

  // Not longer than kJsonPieceBytesMax; empty at the end.
  Result<std::string_view> next();

 private:
  // One open object or array, or a long text of which `rest` is not written.
  struct Level {
    enum class Kind : std::uint8_t { kMessage, kList, kText, kBytes } kind;
    const google::protobuf::Message* message = nullptr;
    const google::protobuf::FieldDescriptor* field = nullptr;  // of a list
    int index = 0;                                             // of the next field or element
    bool first = true;
    bool messages = false;  // of a list: its elements are messages with fields
    std::string_view rest = {};
  };

  Result<void> start();
  Result<void> step();
  Result<void> message_step(Level& level);
  Result<void> list_step(Level& level);
  void text_step(Level& level);
  // The value of a field (`index` -1) or of an element: opened as a level, or written.
  Result<void> value(const google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor& field, int index);
  Result<void> open(Level level, char bracket);

  const google::protobuf::Message& message_;
  const BodyShape& shape_;
  JsonStyle style_;
  JsonPlans& plans_;
  std::vector<Level> levels_;
  std::string buffer_;
  std::size_t given_ = 0;  // bytes of buffer_ that next() has returned
  bool started_ = false, ended_ = false;
};

}  // namespace capstan::rpc
