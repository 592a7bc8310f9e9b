// Why this file exists: put together, the pieces are what encode_json() writes, whatever the
// message is; and no piece, nor the memory behind it, grows with the answer.
#include "rpc/json_pieces.h"

#include <gtest/gtest.h>

#include "rpc/json_testing.h"
#include "rpc/media.h"
#include "rpc/media_testing.h"

namespace capstan::rpc {
namespace {

using google::protobuf::Message;

std::vector<std::string> pieces_of(const Message& message, const BodyShape& shape,
                                   const JsonStyle& style = JsonStyle::octez()) {
  JsonPlans plans(style);
  JsonPieces pieces(message, shape, style, plans);
  std::vector<std::string> all;
  for (;;) {
    const auto piece = pieces.next();
    if (!piece) return {"error: " + piece.error().text()};
    if (piece->empty()) return all;
    EXPECT_LE(piece->size(), kJsonPieceBytesMax);
    all.emplace_back(*piece);
  }
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string all;
  for (const auto& piece : pieces) all += piece;
  return all;
}

TEST(JsonPieces, AreTheWholeText) {
  const testing::Everything types;
  for (const JsonStyle& style : {JsonStyle::octez(), JsonStyle::v0(), JsonStyle::canonical()}) {
    for (std::uint64_t seed = 0; seed < 150; ++seed) {
      const auto message = types.make();
      testing::Filler(seed).fill(*message, 3);
      const BodyShape shape = BodyShape::of(*message);
      ASSERT_EQ(joined(pieces_of(*message, shape, style)),
                encode_json(*message, shape, style).value());
      if (seed > 20) continue;
      for (int i = 0; i < shape.type->field_count(); ++i) {
        BodyShape part = shape;
        part.field = shape.type->field(i);
        ASSERT_EQ(joined(pieces_of(*message, part, style)),
                  encode_json(*message, part, style).value());
      }
    }
  }
}

class LargeTest : public ::testing::Test {
 protected:
  testing::Protos protos_{
      "message L { repeated string texts = 1; bytes blob = 2; string text = 3; }"};
  std::unique_ptr<Message> list_ = protos_.make("L");
  BodyShape shape(const char* field) {
    BodyShape made = BodyShape::of(*list_);
    made.field = made.type->FindFieldByName(field);
    return made;
  }
};

TEST_F(LargeTest, ListsAreCutBetweenElements) {
  for (int i = 0; i < 2000; ++i) {
    list_->GetReflection()->AddString(list_.get(), shape("texts").field,
                                      "item-" + std::to_string(100000 + i));
  }
  const auto pieces = pieces_of(*list_, shape("texts"));
  EXPECT_EQ(joined(pieces), encode_json(*list_, shape("texts")).value());
  EXPECT_EQ(joined(pieces).size(), 2000 * 14 + 2U);
  ASSERT_EQ(pieces.size(), 3U);
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    EXPECT_GE(pieces[i].size(), kJsonPieceBytes);
    EXPECT_LT(pieces[i].size(), kJsonPieceBytes + 20);
  }
}

TEST_F(LargeTest, MessagesGoByTheirPlanUnlessTheyAreLarge) {
  testing::Protos protos(
      "message M { string a = 1; uint64 b = 2; } message L { repeated M m = 1; }");
  const auto list = protos.make("L");
  BodyShape shape = BodyShape::of(*list);
  shape.field = shape.type->field(0);
  for (int i = 0; i < 1000; ++i) {
    Message* element = list->GetReflection()->AddMessage(list.get(), shape.field);
    const auto& type = *element->GetDescriptor();
    const std::size_t size = i % 100 == 0 ? 30'000 : static_cast<std::size_t>(i % 40);
    element->GetReflection()->SetString(element, type.field(0), std::string(size, 'x'));
    if (i % 3 == 0) element->GetReflection()->SetUInt64(element, type.field(1), 7);
  }
  for (const JsonStyle& style : {JsonStyle::octez(), JsonStyle::canonical()}) {
    const auto pieces = pieces_of(*list, shape, style);
    EXPECT_EQ(joined(pieces), encode_json(*list, shape, style).value());
    EXPECT_GT(pieces.size(), 20U);
  }
}

TEST_F(LargeTest, LongTextsAreCutBetweenCharacters) {
  std::string text, blob(1U << 20, '\xAB');
  while (text.size() < 1U << 20) text += "\xE2\x82\xAC\x01\"";
  list_->GetReflection()->SetString(list_.get(), shape("text").field, text);
  list_->GetReflection()->SetString(list_.get(), shape("blob").field, blob);
  for (const JsonStyle& style : {JsonStyle::octez(), JsonStyle::canonical()}) {
    const auto pieces = pieces_of(*list_, BodyShape::of(*list_), style);
    EXPECT_EQ(joined(pieces), encode_json(*list_, BodyShape::of(*list_), style).value());
    EXPECT_GT(pieces.size(), 100U);
  }
  list_->GetReflection()->SetString(list_.get(), shape("text").field, blob);  // not UTF-8
  EXPECT_EQ(joined(pieces_of(*list_, shape("text"))), encode_json(*list_, shape("text")).value());
}

TEST_F(LargeTest, SmallOnesAreOnePiece) {
  EXPECT_EQ(pieces_of(*list_, shape("texts")), (std::vector<std::string>{"[]\n"}));
  EXPECT_EQ(pieces_of(*list_, BodyShape::of(*list_)), (std::vector<std::string>{"{}\n"}));
  list_->GetReflection()->AddString(list_.get(), shape("texts").field, "item-000000");
  EXPECT_EQ(pieces_of(*list_, shape("texts")), (std::vector<std::string>{"[\"item-000000\"]\n"}));
}

TEST(JsonPieces, NestingIsBounded) {
  testing::Protos protos("message D { D d = 1; }");
  const auto message = protos.make("D");
  Message* at = message.get();
  for (int i = 0; i < 70; ++i) {
    at = at->GetReflection()->MutableMessage(at, at->GetDescriptor()->field(0));
  }
  const auto pieces = pieces_of(*message, BodyShape::of(*message));
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_NE(pieces[0].find("nested deeper than 64"), std::string::npos);
}

}  // namespace
}  // namespace capstan::rpc
