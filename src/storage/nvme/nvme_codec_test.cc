// Why this file exists: commands, completions and the data of some commands as bytes, and the pages
// made of plain values.
#include "storage/nvme/nvme_codec.h"

#include <gtest/gtest.h>

#include "storage/nvme/log_pages.h"
#include "storage/nvme/transport_sizes.h"

namespace capstan::storage::nvme {
namespace {

TEST(NvmeCodec, StatusBits) {
  const auto bits = [](Status status) {
    return load_le<std::uint16_t>(store_completion({0, 0, 0, 0, status}).data() + 14);
  };
  EXPECT_EQ(bits(status::kSuccess), 0);
  EXPECT_EQ(bits(status::kInvalidOpcode), 0x8002);
  EXPECT_EQ(bits(status::kConnectParameter), 0x0304);
  EXPECT_EQ(bits(status::kCompareFailure), 0x850A);
  EXPECT_EQ(bits({2, 0x81, false, 3}), 0x3502);
}

TEST(NvmeCodec, CompletionsThereAndBack) {
  for (std::uint32_t type = 0; type < 8; ++type) {
    for (std::uint32_t code = 0; code < 256; code += 5) {
      const Completion completion{0x01020304,
                                  0x05060708,
                                  0x1122,
                                  0x3344,
                                  {static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code),
                                   code % 2 == 0, static_cast<std::uint8_t>(code % 4)}};
      EXPECT_EQ(load_completion(store_completion(completion).data()), completion);
    }
  }
}

TEST(NvmeCodec, FieldsOfCommands) {
  Command command;
  for (std::size_t i = 0; i < kCommandBytes; ++i) {
    command.bytes[i] = static_cast<std::uint8_t>(i);
  }
  EXPECT_EQ(command.opcode(), 0);
  EXPECT_EQ(command.fused(), 1);
  EXPECT_EQ(command.id(), 0x0302);
  EXPECT_EQ(command.nsid(), 0x07060504U);
  EXPECT_EQ(command.data_address(), 0x1F1E1D1C1B1A1918U);
  EXPECT_EQ(command.data_length(), 0x23222120U);
  EXPECT_EQ(command.data_type(), 39);
  EXPECT_EQ(command.dword(10), 0x2B2A2928U);
  EXPECT_EQ(command.dword(15), 0x3F3E3D3CU);
  EXPECT_EQ(command.first_block(), 0x2F2E2D2C2B2A2928U);
  EXPECT_EQ(command.blocks(), 0x3131U);
  EXPECT_EQ(command.direction(), Direction::kNone);
  command.set(0, opcode::kFabrics);
  command.set<std::uint8_t>(4, 6);
  EXPECT_EQ(command.direction(), Direction::kToHost);
  command.set<std::uint8_t>(4, fabrics::kConnect);
  EXPECT_EQ(command.direction(), Direction::kToController);
}

TEST(NvmeCodec, Connect) {
  Command command;
  store_connect(command, {1, 2, 3, 4, 5});
  const auto fields = load_connect(command);
  EXPECT_EQ(fields.format, 1);
  EXPECT_EQ(fields.queue, 2);
  EXPECT_EQ(fields.queue_size, 3);
  EXPECT_TRUE(fields.flow_control_disabled());
  EXPECT_EQ(fields.keep_alive_ms, 5U);
  EXPECT_EQ(command.bytes[46], 4);
  std::array<std::uint8_t, kConnectDataBytes> bytes;
  ConnectData data{{9}, 0x59, "nqn.a", std::string(kNqnBytes, 'h')};
  store_connect_data(bytes.data(), data);
  const auto loaded = load_connect_data(bytes.data());
  EXPECT_EQ(loaded.host_id, data.host_id);
  EXPECT_EQ(loaded.controller, 0x59);
  EXPECT_EQ(loaded.subsystem, "nqn.a");
  EXPECT_EQ(loaded.host, std::nullopt);
}

TEST(NvmeCodec, Names) {
  EXPECT_TRUE(valid_nqn(kDiscoveryNqn));
  EXPECT_TRUE(valid_nqn("nqn." + std::string(219, 'x')));
  EXPECT_FALSE(valid_nqn("nqn." + std::string(220, 'x')));
  EXPECT_FALSE(valid_nqn(""));
  EXPECT_FALSE(valid_nqn("iqn.x"));
  EXPECT_FALSE(valid_nqn("nqn.a b"));
}

TEST(NvmeCodec, SizesOfATransport) {
  const TransportSizes own;
  EXPECT_EQ(*fitting(own), own);
  EXPECT_EQ(own.mdts(), 5);
  EXPECT_EQ(*fitting({16, 64, 4, 4096, 65536}), (TransportSizes{16, 64, 4, 4096, 65536}));
  EXPECT_EQ(*fitting({65535, 65535, 65535, 1U << 20, 1U << 20}), own);
  EXPECT_EQ(fitting({.admin_queue_entries = 1})->admin_queue_entries, 32U);
  EXPECT_EQ(fitting({.io_bytes = 8192})->mdts(), 1);
  for (const TransportSizes& bad :
       {TransportSizes{.io_queue_entries = 1}, TransportSizes{.io_queues = 0},
        TransportSizes{.in_capsule_bytes = 4097}, TransportSizes{.io_bytes = 4},
        TransportSizes{.io_bytes = 4096}, TransportSizes{.io_bytes = 65537}}) {
    EXPECT_FALSE(fitting(bad));
  }
}

TEST(NvmeCodec, DiscoveryRecords) {
  const std::vector<DiscoveryRecord> records = {
      {std::string(kDiscoveryNqn), "10.0.0.1", 8420, 1, true}, {"nqn.x", "fe80::1", 65535, 2}};
  const auto page = discovery_page(9, records);
  EXPECT_EQ(page.size(), 3 * kDiscoveryRecordBytes);
  EXPECT_EQ(load_le<std::uint64_t>(page.data()), 9U);
  EXPECT_EQ(load_le<std::uint64_t>(page.data() + 8), 2U);
  const std::uint8_t* first = page.data() + kDiscoveryRecordBytes;
  const std::uint8_t wanted[] = {3, 1, 3, 4, 1, 0, 0xFF, 0xFF, 128, 0, 3, 0};
  EXPECT_TRUE(std::equal(std::begin(wanted), std::end(wanted), first));
  EXPECT_EQ(as_text({first + 32, 5}), "8420 ");
  EXPECT_EQ(first[kDiscoveryRecordBytes + 1], 2);  // IPv6
  const auto loaded = load_discovery_records(page);
  ASSERT_EQ(loaded.size(), 2U);
  EXPECT_TRUE(loaded[0].discovery);
  EXPECT_EQ(loaded[0].host, "10.0.0.1");
  EXPECT_EQ(loaded[1].subsystem, "nqn.x");
  EXPECT_EQ(loaded[1].service, 65535);
  EXPECT_EQ(loaded[1].port, 2);
  EXPECT_FALSE(loaded[1].discovery);
  EXPECT_EQ(load_discovery_records(ByteView(page).first(2500)).size(), 1U);
  EXPECT_TRUE(load_discovery_records(ByteView(page).first(100)).empty());
}

TEST(NvmeCodec, ManyChangedNamespaces) {
  std::vector<std::uint32_t> ids(1025, 7);
  EXPECT_EQ(load_le<std::uint64_t>(changed_namespaces_page(ids).data()), 0xFFFFFFFFU);
  ids.resize(1024);
  EXPECT_EQ(load_le<std::uint32_t>(changed_namespaces_page(ids).data() + 4092), 7U);
}

}  // namespace
}  // namespace capstan::storage::nvme
