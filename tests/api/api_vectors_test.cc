// Why this file exists: the bytes of our messages are the bytes Mayastor's own tools make. Every
// vector of tests/vectors/mayastor_messages.txt is encoded from its text form and compared, and
// decoded back and compared, so that a wrong number, type, label or presence rule shows.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "capstan_test_paths.h"
#include "mayastor.pb.h"
#include "nexus.pb.h"
#include "pool.pb.h"
#include "registration.pb.h"
#include "replica.pb.h"
#include "snapshot.pb.h"
#include "test.pb.h"

namespace capstan {
namespace {

namespace pb = google::protobuf;

struct Vector {
  std::string name, type, text, bytes;
};

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::string to_hex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

std::vector<Vector> load_vectors() {
  std::ifstream in(CAPSTAN_SOURCE_DIR "/tests/vectors/mayastor_messages.txt");
  std::vector<Vector> vectors;
  std::string line, hex;
  bool in_bytes = false;
  while (std::getline(in, line)) {
    if (line.starts_with("vector ")) {
      const auto blank = line.find(' ', 7);
      vectors.push_back({line.substr(7, blank - 7), line.substr(blank + 1), "", ""});
      in_bytes = false;
      hex.clear();
    } else if (line == "bytes") {
      in_bytes = true;
    } else if (line == "end") {
      vectors.back().bytes = from_hex(hex);
    } else if (!vectors.empty() && !line.starts_with("#")) {
      (in_bytes ? hex : vectors.back().text) += in_bytes ? line : line + "\n";
    }
  }
  return vectors;
}

// An empty message of the named type; touching one type of each file links the file in.
std::unique_ptr<pb::Message> make_message(const std::string& type) {
  static_cast<void>(mayastor::v1::Pool::descriptor());
  static_cast<void>(mayastor::v1::Replica::descriptor());
  static_cast<void>(mayastor::v1::Nexus::descriptor());
  static_cast<void>(mayastor::v1::SnapshotInfo::descriptor());
  static_cast<void>(mayastor::v1::RegisterRequest::descriptor());
  static_cast<void>(mayastor::v1::TestFeatures::descriptor());
  static_cast<void>(mayastor::Null::descriptor());
  const auto* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (!descriptor) return nullptr;
  const auto* prototype = pb::MessageFactory::generated_factory()->GetPrototype(descriptor);
  return std::unique_ptr<pb::Message>(prototype->New());
}

TEST(ApiVectors, EncodeFromText) {
  const auto vectors = load_vectors();
  ASSERT_EQ(vectors.size(), 29U);
  for (const auto& vector : vectors) {
    SCOPED_TRACE(vector.name);
    const auto message = make_message(vector.type);
    ASSERT_TRUE(message) << vector.type;
    ASSERT_TRUE(pb::TextFormat::ParseFromString(vector.text, message.get()));
    EXPECT_EQ(to_hex(message->SerializeAsString()), to_hex(vector.bytes));
  }
}

TEST(ApiVectors, DecodeToText) {
  for (const auto& vector : load_vectors()) {
    SCOPED_TRACE(vector.name);
    const auto decoded = make_message(vector.type);
    const auto expected = make_message(vector.type);
    ASSERT_TRUE(decoded && expected);
    ASSERT_TRUE(decoded->ParseFromString(vector.bytes));
    ASSERT_TRUE(pb::TextFormat::ParseFromString(vector.text, expected.get()));
    std::string difference;
    pb::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(*expected, *decoded)) << difference;
    EXPECT_TRUE(decoded->GetReflection()->GetUnknownFields(*decoded).empty());
  }
}

TEST(ApiVectors, ExplicitPresenceSurvives) {
  mayastor::v1::CreateNexusRequest nexus;
  ASSERT_TRUE(nexus.ParseFromString(from_hex("5000")));
  EXPECT_TRUE(nexus.has_resvtype());
  EXPECT_EQ(nexus.resvtype(), mayastor::v1::Reserved);
  EXPECT_EQ(to_hex(nexus.SerializeAsString()), "5000");
  EXPECT_FALSE(mayastor::v1::CreateNexusRequest().has_resvtype());

  mayastor::v1::WipeReplicaResponse wipe;
  ASSERT_TRUE(wipe.ParseFromString(from_hex("5000")));
  EXPECT_EQ(wipe.checksum_case(), mayastor::v1::WipeReplicaResponse::kCrc32);
}

TEST(ApiVectors, RepeatedEnumsAreReadPackedAndUnpacked) {
  for (const char* hex : {"32020001", "30003001"}) {
    mayastor::v1::ListReplicaOptions options;
    ASSERT_TRUE(options.ParseFromString(from_hex(hex))) << hex;
    ASSERT_EQ(options.pooltypes_size(), 2) << hex;
    EXPECT_EQ(options.pooltypes(1), mayastor::v1::Lvm) << hex;
  }
}

TEST(ApiVectors, FieldsAreReadInAnyOrder) {
  mayastor::v1::DestroyReplicaRequest request;  // pool_name before uuid
  ASSERT_TRUE(request.ParseFromString(from_hex("1201700a0161")));
  EXPECT_EQ(request.pool_name(), "p");
  EXPECT_EQ(request.uuid(), "a");
}

}  // namespace
}  // namespace capstan
