// Why this file exists: a plan must give the very bytes that the walk by reflection gives: over
// random messages with every kind of field, over the messages of our own APIs, in every style, and
// where the binary form is not as usual (fields declared in another order, unknown ones, too
// large).
#include "rpc/json_plan.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/json_testing.h"
#include "rpc/json_writer.h"
#include "spdk/bdev.pb.h"

namespace capstan::rpc {
namespace {

using google::protobuf::Message;

std::vector<JsonStyle> styles() {
  JsonStyle numbers = JsonStyle::v0();
  numbers.enums = JsonStyle::Enums::kNumbers;
  return {JsonStyle::canonical(), JsonStyle::octez(), JsonStyle::spdk(), JsonStyle::v0(), numbers};
}

// Both ways, behind something that was there before.
template <class ByPlan, class ByReflection>
void expect_same(const ByPlan& by_plan, const ByReflection& by_reflection,
                 const std::string& what) {
  std::string planned = "before ", expected = "before ";
  const auto done = by_plan(planned);
  const auto should = by_reflection(expected);
  EXPECT_EQ(planned, expected) << what;
  ASSERT_EQ(done.has_value(), should.has_value()) << what;
  if (!done) EXPECT_EQ(done.error().text(), should.error().text());
}

void expect_same(JsonPlans& plans, const JsonStyle& style, const Message& message) {
  const std::string& type = message.GetDescriptor()->full_name();
  expect_same([&](std::string& out) { return plans.write(message, out); },
              [&](std::string& out) { return write_json(message, style, out); }, type);
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const auto& field = *message.GetDescriptor()->field(i);
    expect_same([&](std::string& out) { return plans.write_field(message, field, out); },
                [&](std::string& out) { return write_json_field(message, field, style, out); },
                field.full_name());
  }
}

TEST(JsonPlan, EveryKindOfField) {
  const testing::Everything types;
  for (const JsonStyle& style : styles()) {
    JsonPlans plans(style);
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      const auto message = types.make();
      testing::Filler(seed).fill(*message, 3);
      expect_same(plans, style, *message);
      if (HasFailure()) FAIL() << "seed " << seed;
    }
  }
}

TEST(JsonPlan, MessagesOfOurApis) {
  for (const JsonStyle& style : styles()) {
    JsonPlans plans(style);
    for (const Message* type :
         {static_cast<const Message*>(&spdk::Bdevs::default_instance()),
          static_cast<const Message*>(&spdk::Iostat::default_instance()),
          static_cast<const Message*>(&node::v1::Version::default_instance()),
          static_cast<const Message*>(&node::v1::Event::default_instance()),
          static_cast<const Message*>(&node::v1::ImportImageResponse::default_instance())}) {
      for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const std::unique_ptr<Message> message(type->New());
        if (seed > 0) testing::Filler(seed).fill(*message, 4);
        expect_same(plans, style, *message);
        if (HasFailure()) FAIL() << "seed " << seed;
      }
    }
  }
}

// Declared by descending number, and one field that has no plan for its number.
class Shuffled {
 public:
  Shuffled() : factory_(&pool_) {
    google::protobuf::FileDescriptorProto file;
    file.set_name("shuffled.proto");
    file.set_syntax("proto3");
    for (const int largest : {40, JsonPlans::kFieldNumbersMax + 1}) {
      auto& type = *file.add_message_type();
      type.set_name("Up" + std::to_string(largest));
      for (int i = 0; i < 4; ++i) {
        auto& field = *type.add_field();
        field.set_name("f" + std::to_string(i));
        field.set_number(largest - 9 * i);
        field.set_type(i % 2 == 0 ? google::protobuf::FieldDescriptorProto::TYPE_STRING
                                  : google::protobuf::FieldDescriptorProto::TYPE_UINT32);
        field.set_label(i == 2 ? google::protobuf::FieldDescriptorProto::LABEL_REPEATED
                               : google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
      }
    }
    file_ = pool_.BuildFile(file);
    CAPSTAN_ASSERT(file_ != nullptr);
  }
  std::unique_ptr<Message> make(int type) {
    return std::unique_ptr<Message>(factory_.GetPrototype(file_->message_type(type))->New());
  }

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
  const google::protobuf::FileDescriptor* file_ = nullptr;
};

TEST(JsonPlan, OrderIsThatOfTheDeclaration) {
  Shuffled types;
  for (const int type : {0, 1}) {
    for (const JsonStyle& style : styles()) {
      JsonPlans plans(style);
      for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const auto message = types.make(type);
        testing::Filler(seed).fill(*message, 1);
        expect_same(plans, style, *message);
      }
    }
  }
}

// A newer peer's fields are kept by protobuf and written behind the known ones.
TEST(JsonPlan, UnknownFieldsAreNotShown) {
  spdk::RateLimits limits;
  ASSERT_TRUE(
      limits.ParseFromString(std::string("\x08\x05"          // the first field, 5
                                         "\x12\x03"          // the second, but as text
                                         "abc\x18\x07"       // the third, 7
                                         "\x9b\x06\x9c\x06"  // an empty group
                                         "\xa0\x06\x01",     // number 100
                                         16)));
  ASSERT_EQ(limits.r_mbytes_per_sec(), 7U);
  JsonPlans plans(JsonStyle::spdk());
  expect_same(plans, JsonStyle::spdk(), limits);
  std::string out;
  ASSERT_TRUE(plans.write(limits, out));
  EXPECT_EQ(out, R"({"rw_ios_per_sec":5,"rw_mbytes_per_sec":0,"r_mbytes_per_sec":7,)"
                 R"("w_mbytes_per_sec":0})");
}

TEST(JsonPlan, WhatIsTooLargeIsWrittenAllTheSame) {
  node::v1::ImportImageResponse response;
  JsonPlans plans(JsonStyle::octez());
  for (const std::size_t size : {std::size_t{1} << 17, JsonPlans::kBytesMax}) {
    response.set_replica(std::string(size, 'r'));
    expect_same(plans, JsonStyle::octez(), response);
  }
}

TEST(JsonPlan, DepthIsBoundedAsByReflection) {
  const testing::Everything types;
  for (const std::size_t levels : {limits::kJsonNestingDepth, limits::kJsonNestingDepth + 1}) {
    const auto message = types.make();
    auto* innermost = message.get();
    for (std::size_t i = 1; i < levels; ++i) {
      const auto* child = innermost->GetDescriptor()->FindFieldByName("child");
      innermost = innermost->GetReflection()->MutableMessage(innermost, child);
    }
    JsonPlans plans(JsonStyle::canonical());
    expect_same(plans, JsonStyle::canonical(), *message);
  }
}

}  // namespace
}  // namespace capstan::rpc
