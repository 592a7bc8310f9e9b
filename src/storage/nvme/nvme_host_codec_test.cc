// Why this file exists: what a host reads is what our target writes, and bytes that cannot be are
// left out.
#include "storage/nvme/nvme_host_codec.h"

#include <gtest/gtest.h>

#include "storage/nvme/identify.h"

namespace capstan::storage::nvme {
namespace {

using Page = std::vector<std::uint8_t>;

TEST(NvmeHostCodec, ControllerOfOurTarget) {
  Page page(kIdentifyBytes);
  ControllerIdentity identity;
  identity.serial = "DCS0123456789ABCDEF0";
  identity.model = "Mayastor NVMe controller";
  identity.firmware = "1";
  identity.subsystem = "nqn.2019-05.io.openebs:v0";
  identity.id = 0x1234;
  identity.retry_delays = {1, 2, 3};
  identity.namespaces = 32;
  store_identify_controller(page.data(), identity);
  const ControllerData data = load_controller_data(page.data());
  EXPECT_EQ(data.serial, identity.serial);
  EXPECT_EQ(data.model, identity.model);
  EXPECT_EQ(data.firmware, "1");
  EXPECT_EQ(data.subsystem, identity.subsystem);
  EXPECT_EQ(data.id, 0x1234);
  EXPECT_EQ(data.transfer_shift, 5);
  EXPECT_EQ(data.version, kNvmeVersion);
  EXPECT_EQ(data.type, 1);
  EXPECT_EQ(data.retry_delays, identity.retry_delays);
  EXPECT_EQ(data.keep_alive_unit, 100);
  EXPECT_EQ(data.namespaces, 32U);
  EXPECT_EQ(data.capsule_units, (64U + 8192) / 16);
  EXPECT_TRUE(data.compare() && data.unmap() && data.write_zeroes() && data.volatile_cache());
}

TEST(NvmeHostCodec, Namespaces) {
  Page page(kIdentifyBytes);
  store_le<std::uint64_t>(page.data(), 1000);
  page[26] = 0x21;  // FLBAS: format 17
  page[33] = 0x09;
  store_le<std::uint32_t>(page.data() + 92, 7);
  page[104] = 0xAB;
  store_le<std::uint16_t>(page.data() + 128 + 17 * 4, 8);
  page[128 + 17 * 4 + 2] = 12;
  const NamespaceData data = load_namespace_data(page.data());
  EXPECT_EQ(data.blocks, 1000U);
  EXPECT_EQ(data.block_bytes, 4096U);
  EXPECT_EQ(data.metadata_bytes, 8);
  EXPECT_EQ(data.ana_group, 7U);
  EXPECT_EQ(data.nguid.bytes[0], 0xAB);
  EXPECT_TRUE(data.zeroes_when_deallocated() && data.write_zeroes_deallocates());
  for (const std::uint8_t shift : std::to_array<std::uint8_t>({0, 8, 17, 255})) {
    page[128 + 17 * 4 + 2] = shift;
    EXPECT_EQ(load_namespace_data(page.data()).block_bytes, 0U);
  }
}

TEST(NvmeHostCodec, Descriptors) {
  Page page(kIdentifyBytes);
  const Uuid uuid = *Uuid::parse("11111111-2222-3333-4444-555555555555");
  store_namespace_descriptors(page.data(), {.nguid = uuid, .uuid = uuid});
  NamespaceIds ids = load_namespace_ids(page.data());
  EXPECT_EQ(ids.uuid, uuid);
  EXPECT_EQ(ids.nguid, uuid);
  EXPECT_EQ(ids.command_set, 0);
  // A list that never ends, and one whose last entry reaches beyond the page.
  std::ranges::fill(page, std::uint8_t{1});
  EXPECT_TRUE(load_namespace_ids(page.data()).uuid.is_nil());
  std::ranges::fill(page, std::uint8_t{0xFF});
  EXPECT_TRUE(load_namespace_ids(page.data()).uuid.is_nil());
  std::ranges::fill(page, std::uint8_t{0});
  page[0] = 4;
  page[1] = 1;
  page[4] = 2;
  EXPECT_EQ(load_namespace_ids(page.data()).command_set, 2);
}

TEST(NvmeHostCodec, Lists) {
  Page page(kIdentifyBytes);
  EXPECT_TRUE(load_namespace_list(page.data()).empty());
  for (std::uint32_t i = 0; i < 1024; ++i) store_le(page.data() + i * 4, i + 1);
  EXPECT_EQ(load_namespace_list(page.data()).size(), 1024U);
  store_le<std::uint32_t>(page.data() + 40, 3);  // does not ascend
  EXPECT_EQ(load_namespace_list(page.data()).size(), 10U);
  const CommandSetLimits limits = load_command_set_limits(page.data());
  EXPECT_EQ(limits.range_blocks, 2U);
}

TEST(NvmeHostCodec, Texts) {
  EXPECT_EQ(status_text(status::kReadError), "2.81 (unrecovered read error)");
  EXPECT_EQ(status_text({7, 0xEE}), "7.EE");
  Page page(kIdentifyBytes);
  std::ranges::fill(page, std::uint8_t{'x'});
  EXPECT_EQ(load_controller_data(page.data()).serial.size(), 20U);
  EXPECT_EQ(load_controller_data(page.data()).subsystem.size(), 256U);
}

}  // namespace
}  // namespace capstan::storage::nvme
