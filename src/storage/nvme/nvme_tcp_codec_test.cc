// Why this file exists: PDUs as bytes: the captured vectors of tests/vectors/nvme_tcp.txt read and
// written again, the example of PROTOCOL.md, and every check that needs no connection.
#include "storage/nvme/nvme_tcp_codec.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "base/checksum.h"
#include "capstan_test_paths.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes unhex(std::string_view text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(
        static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

struct Vector {
  std::string name;
  bool to_controller = false, header_only = false;
  Digests digests;
  Bytes bytes;
};

std::vector<Vector> read_vectors() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/tests/vectors/nvme_tcp.txt");
  std::vector<Vector> vectors;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("== ")) {
      vectors.push_back({line.substr(3), false, false, {}, {}});
      continue;
    }
    Vector& vector = vectors.back();
    vector.to_controller = line[0] == 'C';
    vector.header_only = line[2] == 'B';
    vector.digests = {line[2] != '-', line[2] == 'b' || line[2] == 'B'};
    vector.bytes = unhex(std::string_view(line).substr(4));
  }
  return vectors;
}

bool is_ic(PduType type) {
  return type == PduType::kIcReq || type == PduType::kIcResp;
}

// The PDU written anew from what was read of it; `at`: where its data begins.
Bytes rewritten(const Vector& vector, const CommonHeader& common, std::size_t at,
                std::uint32_t data_bytes) {
  const std::uint8_t* from = vector.bytes.data();
  Bytes out(256, 0xEE);
  std::size_t size = 0;
  switch (common.type) {
    case PduType::kIcReq: store_ic_req(out.data(), *load_ic_req(from)), size = kIcBytes; break;
    case PduType::kIcResp: store_ic_resp(out.data(), *load_ic_resp(from)), size = kIcBytes; break;
    case PduType::kH2cTermReq:
    case PduType::kC2hTermReq:
      size = store_term_req(out.data(), common.type, load_term_req(from).fatal,
                            ByteView(vector.bytes).subspan(kTermReqBytes));
      break;
    case PduType::kCapsuleCmd:
      size = store_capsule_cmd(out.data(), Command::load(from + kCommonBytes).bytes, data_bytes,
                               vector.digests, 0);
      break;
    case PduType::kCapsuleResp:
      size = store_capsule_resp(out.data(), store_completion(load_completion(from + kCommonBytes)),
                                vector.digests);
      break;
    case PduType::kH2cData:
    case PduType::kC2hData:
      size = store_data(out.data(), common.type, load_data(from),
                        common.flags & (pdu_flag::kLast | pdu_flag::kSuccess), vector.digests, 0);
      break;
    case PduType::kR2t: size = store_r2t(out.data(), load_r2t(from), vector.digests); break;
  }
  out.resize(size);
  if (data_bytes != 0 && !vector.header_only) {
    out.insert(out.end(), vector.bytes.begin() + static_cast<std::ptrdiff_t>(at),
               vector.bytes.end());
  }
  return out;
}

TEST(NvmeTcpCodec, CapturedPdusAreReadAndWrittenAgain) {
  const auto vectors = read_vectors();
  ASSERT_GT(vectors.size(), 20U);
  for (const auto& vector : vectors) {
    SCOPED_TRACE(vector.name);
    const CommonHeader common = load_common(vector.bytes.data());
    const auto receiver = vector.to_controller ? Receiver::kTarget : Receiver::kHost;
    const auto size = check_common(common, receiver, !is_ic(common.type), vector.digests);
    ASSERT_TRUE(size);
    const ByteView header = ByteView(vector.bytes).first(*size);
    EXPECT_TRUE(check_header_digest(common, header, vector.digests));
    const auto data = check_data(common, *size, vector.digests);
    ASSERT_TRUE(data);
    EXPECT_EQ(rewritten(vector, common, *size, *data), vector.bytes);
    if (!vector.header_only) EXPECT_EQ(common.total_bytes, vector.bytes.size());
    if (!vector.digests.header || is_ic(common.type)) continue;
    Bytes damaged(header.begin(), header.end());
    for (std::size_t i = 0; i < damaged.size(); ++i) {  // every damaged byte is found
      damaged[i] ^= 0x10;
      EXPECT_FALSE(check_header_digest(common, damaged, vector.digests)) << i;
      damaged[i] ^= 0x10;
    }
  }
}

TEST(NvmeTcpCodec, TheExampleOfTheDocument) {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/storage/nvme/PROTOCOL.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string page = all.str();
  const auto begin = page.find("```hex\n"), end = page.find("```", begin + 3);
  ASSERT_NE(begin, std::string::npos);
  std::string digits;
  for (const char c : page.substr(begin + 7, end - begin - 7)) {
    if (isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
  }
  Command command;
  command.set(0, opcode::kFabrics);
  command.set<std::uint8_t>(1, 0x40);
  command.set<std::uint16_t>(2, 0x12);
  command.set(4, fabrics::kPropertyGet);
  command.set(39, kSglTransport);
  command.set<std::uint8_t>(40, 1);
  Bytes wanted(kCapsuleCmdBytes + kCapsuleRespBytes);
  store_capsule_cmd(wanted.data(), command.bytes, 0, {}, 0);
  store_capsule_resp(wanted.data() + kCapsuleCmdBytes,
                     store_completion({0x1E01007F, 0x08000020, 2, 0x12, {}}), {});
  EXPECT_EQ(unhex(digits), wanted);
}

TEST(NvmeTcpCodec, ChecksumsOfTheSpecification) {
  Bytes ascending(32);
  for (std::uint8_t i = 0; i < 32; ++i) ascending[i] = i;
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(Bytes(32)), 0x8A9136AAU);
  EXPECT_EQ(crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(crc32c(Bytes(32, 0xFF)), 0x62A8AB43U);
}

TEST(NvmeTcpCodec, WhereDataBegins) {
  EXPECT_EQ(data_offset(kCapsuleCmdBytes, {}, 0), 72U);
  EXPECT_EQ(data_offset(kCapsuleCmdBytes, {true, true}, 0), 76U);
  EXPECT_EQ(data_offset(kDataHeaderBytes, {}, 0), 24U);
  EXPECT_EQ(data_offset(kDataHeaderBytes, {true, false}, 1), 32U);
  EXPECT_EQ(data_offset(kDataHeaderBytes, {}, kHpdaMax), 128U);
}

struct Case {
  Receiver receiver;
  bool initialised;
  CommonHeader header;
  Fatal fatal;
};

TEST(NvmeTcpCodec, ChecksOfTheCommonHeader) {
  using enum Receiver;
  using enum PduType;
  const auto invalid = [](std::uint32_t at) { return Fatal{FatalStatus::kInvalidHeader, at}; };
  const Fatal sequence{FatalStatus::kSequence, 0};
  const Case cases[] = {
      {kTarget, false, {kCapsuleCmd, 0, 72, 0, 72}, sequence},
      {kTarget, true, {kIcReq, 0, 128, 0, 128}, sequence},
      {kTarget, false, {kIcReq, 0, 127, 0, 128}, invalid(2)},
      {kTarget, false, {kIcReq, 0, 128, 0, 129}, invalid(4)},
      {kTarget, true, {kIcResp, 0, 128, 0, 128}, invalid(0)},
      {kTarget, true, {kCapsuleResp, 0, 24, 0, 24}, invalid(0)},
      {kTarget, true, {kR2t, 0, 24, 0, 24}, invalid(0)},
      {kTarget, true, {static_cast<PduType>(8), 0, 24, 0, 24}, invalid(0)},
      {kTarget, true, {kCapsuleCmd, 0, 73, 0, 72}, invalid(2)},
      {kTarget, true, {kCapsuleCmd, 0, 72, 0, 71}, invalid(4)},
      {kTarget, true, {kH2cTermReq, 0, 24, 0, 153}, invalid(4)},
      {kHost, false, {kCapsuleResp, 0, 24, 0, 24}, sequence},
      {kHost, true, {kIcResp, 0, 128, 0, 128}, sequence},
      {kHost, true, {kCapsuleCmd, 0, 72, 0, 72}, invalid(0)},
      {kHost, true, {kCapsuleResp, 0, 24, 0, 28}, invalid(4)},
      {kHost, true, {kR2t, 0, 24, 0, 25}, invalid(4)},
      {kHost, true, {kC2hData, 0, 25, 0, 25}, invalid(2)},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const auto& each = cases[i];
    const auto checked = check_common(each.header, each.receiver, each.initialised, {});
    ASSERT_FALSE(checked) << i;
    EXPECT_EQ(checked.error(), each.fatal) << i;
  }
  EXPECT_EQ(check_common({kCapsuleCmd, 0, 72, 0, 76}, kTarget, true, {true, false}), 76U);
  EXPECT_FALSE(check_common({kCapsuleCmd, 0, 72, 0, 75}, kTarget, true, {true, false}));
}

TEST(NvmeTcpCodec, ChecksOfData) {
  const auto data = [](std::uint8_t offset, std::uint32_t total, Digests digests) {
    const std::size_t header = kDataHeaderBytes + (digests.header ? kDigestBytes : 0);
    return check_data({PduType::kH2cData, 0, 24, offset, total}, header, digests);
  };
  EXPECT_EQ(data(0, 24, {}), 0U);
  EXPECT_EQ(data(24, 25, {}), 1U);
  EXPECT_EQ(data(28, 36, {true, true}), 4U);
  EXPECT_EQ(data(28, 29, {}).error(), (Fatal{FatalStatus::kInvalidHeader, 3}));
  EXPECT_EQ(data(24, 28, {false, true}).error(), (Fatal{FatalStatus::kInvalidHeader, 4}));
}

TEST(NvmeTcpCodec, ChecksOfTheFirstPdus) {
  Bytes bytes(kIcBytes);
  store_ic_resp(bytes.data(), {0, 3, {true, false}, 4096});
  const auto response = load_ic_resp(bytes.data());
  ASSERT_TRUE(response);
  EXPECT_EQ(response->controller_alignment, 3);
  EXPECT_EQ(response->digests, (Digests{true, false}));
  const std::pair<IcResp, std::uint32_t> bad[] = {{{1, 0, {}, 4096}, 8},
                                                  {{0, 32, {}, 4096}, 10},
                                                  {{0, 0, {}, 4092}, 12},
                                                  {{0, 0, {}, 4098}, 12}};
  for (const auto& [fields, at] : bad) {
    store_ic_resp(bytes.data(), fields);
    EXPECT_EQ(load_ic_resp(bytes.data()).error(), (Fatal{FatalStatus::kInvalidHeader, at}));
  }
  store_ic_req(bytes.data(), {0, kHpdaMax, {false, true}, 7});
  const auto request = load_ic_req(bytes.data());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->host_alignment, kHpdaMax);
  EXPECT_EQ(request->max_r2t, 7U);
  EXPECT_EQ(request->digests, (Digests{false, true}));
}

}  // namespace
}  // namespace capstan::storage::nvme
