// Why this file exists: protobuf's own JSON code is the oracle of the canonical style, over random
// messages with every kind of field; the other styles must survive writing and reading.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "rpc/json_reader.h"
#include "rpc/json_testing.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {
namespace {

using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

constexpr std::uint64_t kSeeds = 300;

std::string written(const Message& message, const JsonStyle& style) {
  std::string out;
  const auto result = write_json(message, style, out);
  return result ? out : "error: " + result.error().text();
}

std::string oracle(const Message& message, bool defaults) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = defaults;
  std::string out;
  const auto status = google::protobuf::util::MessageToJsonString(message, &out, options);
  return status.ok() ? out : "error: " + status.ToString();
}

TEST(JsonRoundTrip, CanonicalOutputMeansWhatProtobufWrites) {
  const testing::Everything types;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto message = types.make();
    testing::Filler(seed).fill(*message, 3);
    const std::string ours = written(*message, JsonStyle::canonical());
    ASSERT_EQ(testing::normalised(ours), testing::normalised(oracle(*message, false)))
        << "seed " << seed << "\n"
        << ours;
  }
}

TEST(JsonRoundTrip, ShownDefaultsAreThoseProtobufShows) {
  const testing::Everything types;
  JsonStyle style = JsonStyle::canonical();
  style.show_defaults = true;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto message = types.make();
    testing::Filler(seed).fill(*message, 2);
    const std::string ours = written(*message, style);
    ASSERT_EQ(testing::normalised(ours), testing::normalised(oracle(*message, true)))
        << "seed " << seed << "\n"
        << ours;
  }
}

TEST(JsonRoundTrip, ReadsWhatProtobufWritesAndProtobufReadsWhatWeWrite) {
  const testing::Everything types;
  JsonReader reader;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto message = types.make(), read = types.make(), theirs = types.make();
    testing::Filler(seed).fill(*message, 3);
    const auto result = reader.read(oracle(*message, false), *read);
    ASSERT_TRUE(result) << "seed " << seed << ": " << result.error().text();
    ASSERT_TRUE(MessageDifferencer::Equals(*message, *read)) << "seed " << seed;
    const auto status = google::protobuf::util::JsonStringToMessage(
        written(*message, JsonStyle::canonical()), theirs.get());
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status.ToString();
    ASSERT_TRUE(MessageDifferencer::Equals(*message, *theirs)) << "seed " << seed;
  }
}

TEST(JsonRoundTrip, EveryStyleReadsBackEqual) {
  const testing::Everything types;
  JsonReader reader;
  JsonStyle numbers = JsonStyle::v0();
  numbers.enums = JsonStyle::Enums::kNumbers;
  for (const JsonStyle& style :
       {JsonStyle::canonical(), JsonStyle::octez(), JsonStyle::spdk(), JsonStyle::v0(), numbers}) {
    JsonReadOptions options;
    options.bytes = style.bytes;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      const auto message = types.make(), read = types.make();
      testing::Filler(seed).fill(*message, 3);
      const std::string text = written(*message, style);
      const auto result = reader.read(text, *read, options);
      ASSERT_TRUE(result) << "seed " << seed << ": " << result.error().text() << "\n" << text;
      ASSERT_TRUE(MessageDifferencer::Equals(*message, *read)) << "seed " << seed << "\n" << text;
      ASSERT_EQ(written(*read, style), text);
    }
  }
}

}  // namespace
}  // namespace capstan::rpc
