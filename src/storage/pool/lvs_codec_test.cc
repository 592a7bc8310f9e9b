// Why this file exists: the bytes of the format. The hex examples of FORMAT.md must be what the
// encoders write and the decoders read; damage of every kind must be refused, not believed.
#include "storage/pool/lvs_codec.h"
#include "capstan_test_paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/checksum.h"
#include "storage/pool/blob.h"

namespace capstan::storage::lvs {
namespace {

// The example called `name` of FORMAT.md: offsets and bytes, the rest zero.
std::vector<std::uint8_t> example(const std::string& name, std::size_t size = kPageBytes) {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/storage/pool/FORMAT.md");
  std::vector<std::uint8_t> bytes(size);
  bool found = false, inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "<!-- example: " + name + " -->") found = true;
    if (found && line == "```") {
      if (inside) return bytes;
      inside = true;
      continue;
    }
    if (!inside) continue;
    std::istringstream words(line);
    std::size_t offset = 0;
    words >> std::hex >> offset;
    for (unsigned value = 0; words >> value;) bytes.at(offset++) = static_cast<std::uint8_t>(value);
  }
  ADD_FAILURE() << "no example " << name;
  return bytes;
}
std::vector<std::uint8_t> bytes_of(const Page& page) {
  return {page.begin(), page.end()};
}
constexpr std::uint64_t kDevice = 64U << 20;

SuperBlock example_super() {
  SuperBlock super = *plan_layout({kDevice, 512, 4U << 20, 100});
  super.super_blob = blob_id_of(0);
  super.clean = 1;
  return super;
}

TEST(LvsCodec, SuperBlockOfTheDocument) {
  EXPECT_EQ(bytes_of(encode_super(example_super())), example("super"));
  auto decoded = decode_super(example("super"), kDevice);
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_FALSE(decoded->torn);
  EXPECT_EQ(encode_super(decoded->super), encode_super(example_super()));
}

TEST(LvsCodec, MaskOfTheDocument) {
  Bitmap ids(64);
  for (std::uint64_t bit : {0, 1, 3, 5, 6}) ids.set(bit);
  EXPECT_EQ(encode_mask(MaskType::kBlobIds, ids, 4096), example("mask"));
  EXPECT_EQ(*decode_mask(MaskType::kBlobIds, 64, example("mask")), ids);
  EXPECT_FALSE(decode_mask(MaskType::kPages, 64, example("mask")));
  EXPECT_FALSE(decode_mask(MaskType::kBlobIds, 65, example("mask")));
  EXPECT_FALSE(decode_mask(MaskType::kBlobIds, 63, example("mask")));
}

TEST(LvsCodec, SuperBlobOfTheDocument) {
  Blob blob;
  blob.id = blob_id_of(0);
  blob.flags.invalid = kFlagExtentTable;
  blob.xattrs = {{"uuid", uuid_value(*Uuid::parse("87ed146b-6561-4af8-8c84-1f5da1b30197"))},
                 {"name", std::string("lvsA\0", 5)}};
  const std::vector<std::uint32_t> numbers{0};
  EXPECT_EQ(bytes_of(encode_chain(blob).seal(blob.id, numbers).front()), example("super-blob"));
}

TEST(LvsCodec, ThickVolumeOfTheDocument) {
  Blob blob;
  blob.id = blob_id_of(1);
  blob.flags.invalid = kFlagExtentTable;
  blob.xattrs = {{"name", padded_name("thick0")},
                 {"uuid", uuid_value(*Uuid::parse("eeb696f5-eeb9-4910-a7fa-9011ed3500ae"))}};
  blob.resize(4);
  blob.groups[0].page = 2;
  for (std::uint32_t i = 0; i < 4; ++i) blob.set_cluster(i, i + 1);
  const std::vector<std::uint32_t> numbers{1};
  const auto root = example("thick-root"), extents = example("thick-extents");
  EXPECT_EQ(bytes_of(encode_chain(blob).seal(blob.id, numbers).front()), root);
  EXPECT_EQ(bytes_of(encode_group(blob, 0)), extents);

  SuperBlock super = *plan_layout({kDevice, 512, 1U << 20, 100});
  BlobReader reader(1, Geometry(super, kDevice));
  ASSERT_EQ(*reader.take(1, root), kNoPage);
  ASSERT_EQ(reader.group_pages(), std::vector<std::uint32_t>{2});
  ASSERT_TRUE(reader.finish([&](std::uint32_t) { return ByteView(extents); }));
  EXPECT_EQ(reader.blob().name(), "thick0");
  EXPECT_EQ(reader.blob().allocated(), 4U);
  EXPECT_EQ(reader.blob().xattrs, blob.xattrs);
}

TEST(LvsCodec, LayoutTable) {
  struct Row {
    std::uint64_t device, cluster, clusters, md_start, md_len, md_clusters;
  };
  for (const Row& row :
       {Row{64ULL << 20, 4U << 20, 16, 4, 16, 1}, Row{64ULL << 20, 1U << 20, 64, 4, 64, 1},
        Row{64ULL << 20, 16U << 10, 4096, 4, 4096, 1025},
        Row{1ULL << 40, 4U << 20, 262144, 28, 262144, 257}}) {
    auto super = plan_layout({row.device, 512, static_cast<std::uint32_t>(row.cluster), 100});
    ASSERT_TRUE(super);
    const Geometry geometry(*super, row.device);
    EXPECT_EQ(geometry.total_clusters, row.clusters);
    EXPECT_EQ(geometry.md_start, row.md_start);
    EXPECT_EQ(geometry.md_len, row.md_len);
    EXPECT_EQ(geometry.md_clusters, row.md_clusters);
    EXPECT_EQ(super->size, row.device);
  }
  EXPECT_EQ(plan_layout({1U << 20, 512, 4U << 20, 100}).error().sys_errno, ENOSPC);
  EXPECT_EQ(plan_layout({64U << 20, 512, 0, 100}).error().sys_errno, EINVAL);
  EXPECT_EQ(plan_layout({64U << 20, 512, 1000, 100}).error().sys_errno, EINVAL);
  EXPECT_EQ(plan_layout({8192, 512, 4096, 100}).error().sys_errno, ENOMEM);
}

TEST(LvsCodec, ZeroPageIsNeverValid) {
  const Page zeros{};
  EXPECT_FALSE(checksum_matches(zeros));
  EXPECT_EQ(crc32c(ByteView(zeros).first(4092)), 0xA732586EU);
}

TEST(LvsCodec, TornSuperBlockIsDirtyNotDamaged) {
  SuperBlock super = example_super();
  const Page clean = encode_super(super);
  super.clean = 0;
  const Page dirty = encode_super(super);
  for (bool new_first : {false, true}) {
    Page torn = new_first ? clean : dirty;
    const Page& rest = new_first ? dirty : clean;
    std::copy(rest.begin() + 512, rest.end(), torn.begin() + 512);
    auto decoded = decode_super(torn, kDevice);
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(decoded->torn);
    EXPECT_EQ(decoded->super.clean, 0U);
  }
}

TEST(LvsCodec, DamagedSuperBlockIsNotAnEmptyDisk) {
  const auto good = example("super");
  EXPECT_EQ(decode_super(std::vector<std::uint8_t>(4096), kDevice).error().code, Code::kNotFound);
  auto flipped = good;
  flipped[30] ^= 1;
  EXPECT_EQ(decode_super(flipped, kDevice).error().code, Code::kDataLoss);
  EXPECT_EQ(decode_super(flipped, kDevice).error().sys_errno, EILSEQ);
  EXPECT_EQ(decode_super(good, kDevice - 1).error().code, Code::kDataLoss);  // device shrunk
  SuperBlock other = example_super();
  other.bstype = std::string("SOMETHING\0ELSE\0\0", 16);
  EXPECT_EQ(decode_super(encode_super(other), kDevice).error().sys_errno, ENXIO);
  other = example_super();
  other.version = 4;
  EXPECT_EQ(decode_super(encode_super(other), kDevice).error().code, Code::kDataLoss);
  other = example_super();
  other.md_len = 0x7FFFFFFF;
  EXPECT_EQ(decode_super(encode_super(other), kDevice).error().code, Code::kDataLoss);
  other = example_super();
  other.reserved[100] = 7;
  auto kept = decode_super(encode_super(other), kDevice);
  ASSERT_TRUE(kept);
  EXPECT_EQ(encode_super(kept->super), encode_super(other));
}

TEST(LvsCodec, LongChainsAndTablesSplit) {
  Blob blob;
  blob.id = blob_id_of(5);
  blob.flags.invalid = kFlagExtentTable | kFlagThin;
  for (int i = 0; i < 3; ++i)
    blob.xattrs.push_back({"x" + std::to_string(i), std::string(3000, 'v')});
  blob.resize(1100 * kGroupClusters + 7);
  for (std::uint32_t i = 0; i < blob.groups.size(); i += 2) blob.groups[i].page = 1000 + i;
  const std::size_t count = encode_chain(blob).pages();
  EXPECT_GE(count, 5U);
  std::vector<std::uint32_t> numbers{5};
  while (numbers.size() < count)
    numbers.push_back(static_cast<std::uint32_t>(100 + numbers.size()));
  std::vector<Page> pages = encode_chain(blob).seal(blob.id, numbers);
  Geometry geometry;
  geometry.md_len = 1U << 20;
  geometry.md_clusters = 1;
  geometry.total_clusters = 1U << 20;
  BlobReader reader(5, geometry);
  for (std::size_t i = 0; i < count; ++i) {
    auto next = reader.take(numbers[i], pages[i]);
    ASSERT_TRUE(next) << next.error().text();
    EXPECT_EQ(*next, i + 1 < count ? numbers[i + 1] : kNoPage);
  }
  EXPECT_EQ(reader.group_pages().size(), 551U);
  std::map<std::uint32_t, Page> extents;
  for (std::size_t group = 0; group < blob.groups.size(); ++group)
    if (blob.groups[group].page) extents[blob.groups[group].page] = encode_group(blob, group);
  auto finished = reader.finish([&](std::uint32_t page) { return ByteView(extents.at(page)); });
  ASSERT_TRUE(finished) << finished.error().text();
  EXPECT_EQ(reader.blob().num_clusters, blob.num_clusters);
  EXPECT_FALSE(reader.blob().has_odd_groups());
}

// A page may claim two billion clusters that are holes; writing it back took seconds of the core.
TEST(LvsCodec, FixedBugARunOfHolesWasWrittenHoleByHole) {
  Blob blob;
  blob.id = blob_id_of(5);
  blob.flags.invalid = kFlagThin;
  blob.extent_table = false;
  blob.resize(1ULL << 31);
  blob.set_cluster(1'000'000'000, 7);
  ChainWriter writer = encode_chain(blob);
  ASSERT_EQ(writer.pages(), 1U);
  const std::vector<std::uint32_t> numbers{5};
  const std::vector<Page> pages = std::move(writer).seal(blob.id, numbers);
  const auto descriptors = parse_descriptors(pages.front());
  ASSERT_TRUE(descriptors);
  const auto runs = std::ranges::find(*descriptors, DescriptorType::kExtentRle, &Descriptor::type);
  ASSERT_TRUE(runs != descriptors->end());
  const std::vector<lvs::Run> expected{{0, 1'000'000'000}, {7, 1}, {0, (1U << 31) - 1'000'000'001}};
  EXPECT_EQ(parse_runs(runs->body).value(), expected);
}

TEST(LvsCodec, XattrLimitIsOnePage) {
  ChainWriter writer;
  EXPECT_TRUE(writer.add_xattr(DescriptorType::kXattr, {"n", std::string(4062, 'v')}));
  EXPECT_FALSE(writer.add_xattr(DescriptorType::kXattr, {"n", std::string(4063, 'v')}));
}

TEST(LvsCodec, DescriptorsThatLie) {
  Page page{};
  page[16] = 2;
  store_le<std::uint32_t>(page.data() + 17, 5000);
  EXPECT_FALSE(parse_descriptors(page));
  store_le<std::uint32_t>(page.data() + 17, 0xFFFFFFFF);
  EXPECT_FALSE(parse_descriptors(page));
  store_le<std::uint32_t>(page.data() + 17, 4067);
  EXPECT_TRUE(parse_descriptors(page));
  store_le<std::uint32_t>(page.data() + 17, 4068);
  EXPECT_FALSE(parse_descriptors(page));
  const std::vector<std::uint8_t> xattr{1, 0, 2, 0, 'a', 'b'};
  EXPECT_FALSE(parse_xattr(xattr));
  EXPECT_FALSE(parse_flags(xattr));
  EXPECT_FALSE(parse_runs(xattr));
  EXPECT_FALSE(parse_extent_table(xattr));
}

TEST(LvsCodec, ShadowsComeBackAsTheyWere) {
  Page page{};
  seal_page(page, {blob_id_of(9), 0, 0, kNoPage});
  const Page shadow = make_shadow(page, 9);
  auto decoded = decode_shadow(shadow);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->target, 9U);
  EXPECT_EQ(decoded->original, page);
  EXPECT_FALSE(decode_shadow(page));
}

}  // namespace
}  // namespace capstan::storage::lvs
