// Why this file exists: the independent reader is held against bytes of a real pool (lvs-format
// section 17, vector a) and against small images with one broken rule each.
#include "sim/lvs_reader.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/checksum.h"

namespace capstan::sim {
namespace {

constexpr std::size_t kPage = 4096;

// An image of which only some pages exist.
struct Image {
  std::map<std::uint64_t, std::vector<std::uint8_t>> pages;
  std::uint64_t size = 64ULL << 20;

  std::vector<std::uint8_t>& page(std::uint64_t number) {
    auto& bytes = pages[number];
    bytes.resize(kPage);
    return bytes;
  }
  void put(std::uint64_t number, std::size_t at, const std::vector<std::uint8_t>& bytes) {
    std::copy(bytes.begin(), bytes.end(), page(number).begin() + static_cast<std::ptrdiff_t>(at));
  }
  void seal(std::uint64_t number) {
    auto& bytes = page(number);
    store_le(bytes.data() + 4092, crc32c(ByteView(bytes).first(4092)));
  }
  LvsImage read() const {
    return read_lvs(
        [this](std::uint64_t at, MutableBytes into) {
          for (std::size_t i = 0; i < into.size(); i += kPage) {
            const auto found = pages.find((at + i) / kPage);
            auto part = into.subspan(i, kPage);
            if (found == pages.end()) {
              std::fill(part.begin(), part.end(), std::uint8_t{0});
            } else {
              std::copy(found->second.begin(), found->second.end(), part.begin());
            }
          }
        },
        size);
  }
};

std::vector<std::uint8_t> hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == ' ') continue;
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
    ++i;
  }
  return bytes;
}

// Vector a: an empty pool of 64 MiB, unloaded cleanly by SPDK.
Image vector_a() {
  Image image;
  image.put(0, 0,
            hex("53 50 44 4b 42 4c 4f 42 03 00 00 00 00 10 00 00"
                "01 00 00 00 00 00 00 00 01 00 00 00 00 00 40 00"
                "01 00 00 00 01 00 00 00 02 00 00 00 01 00 00 00"
                "04 00 00 00 10 00 00 00 4c 56 4f 4c 53 54 4f 52"
                "45 00 00 00 00 00 00 00 03 00 00 00 01 00 00 00"
                "00 00 00 04 00 00 00 00 00 02 00 00 00 10 00 00"));
  image.put(0, 4092, hex("c4 24 9b 1f"));
  for (std::uint8_t type = 0; type < 3; ++type) {
    image.put(1U + type, 0, {type, 0x10, 0, 0, 0, 1});
  }
  image.put(4, 0,
            hex("00 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00"
                "03 18 00 00 00 04 00 00 00 00 00 00 00 00 00 00"
                "00 00 00 00 00 00 00 00 00 00 00 00 00 02 2d 00"
                "00 00 04 00 25 00 75 75 69 64 38 37 65 64 31 34"
                "36 62 2d 36 35 36 31 2d 34 61 66 38 2d 38 63 38"
                "34 2d 31 66 35 64 61 31 62 33 30 31 39 37 00 02"
                "0d 00 00 00 04 00 05 00 6e 61 6d 65 6c 76 73 41"
                "00 05 08"));
  image.put(4, 4088, hex("ff ff ff ff a2 b7 ab dc"));
  return image;
}

void append(std::vector<std::uint8_t>& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    to.push_back(static_cast<std::uint8_t>(i < 8 ? value >> (8 * i) : 0));
}

void append_xattr(std::vector<std::uint8_t>& to, const std::string& name,
                  const std::string& value) {
  append(to, 2, 1);
  append(to, 4 + name.size() + value.size(), 4);
  append(to, name.size(), 2);
  append(to, value.size(), 2);
  to.insert(to.end(), name.begin(), name.end());
  to.insert(to.end(), value.begin(), value.end());
}

// Adds a thin volume of one group to a dirty image: root in md page `root`, extents in `extents`.
void add_volume(Image& image, std::uint32_t root, std::uint32_t extents, const std::string& name,
                const std::vector<std::uint32_t>& clusters) {
  std::vector<std::uint8_t> bytes;
  append(bytes, 1ULL << 32 | root, 8);
  append(bytes, 0, 8);
  append(bytes, 3, 1), append(bytes, 24, 4), append(bytes, 5, 8), append(bytes, 0, 16);
  append_xattr(bytes, "name", name + std::string(64 - name.size(), '\0'));
  append_xattr(bytes, "uuid", "00000000-0000-0000-0000-00000000000" + std::to_string(root) + '\0');
  append(bytes, 5, 1), append(bytes, 16, 4), append(bytes, clusters.size(), 8);
  append(bytes, extents, 4), append(bytes, 1, 4);
  image.put(4 + root, 0, bytes);
  image.put(4 + root, 4088, {0xFF, 0xFF, 0xFF, 0xFF});
  image.seal(4 + root);

  bytes.clear();
  append(bytes, 1ULL << 32 | root, 8), append(bytes, 0, 8);
  append(bytes, 6, 1), append(bytes, 4 + 4 * clusters.size(), 4), append(bytes, 0, 4);
  for (const auto cluster : clusters) append(bytes, cluster, 4);
  image.put(4 + extents, 0, bytes);
  image.put(4 + extents, 4088, {0xFF, 0xFF, 0xFF, 0xFF});
  image.seal(4 + extents);
}

Image two_volumes() {
  auto image = vector_a();
  image.put(0, 16, {0});  // dirty
  image.seal(0);
  add_volume(image, 1, 3, "one", {0, 1, 2});
  add_volume(image, 2, 4, "two", {5, 0});
  return image;
}

std::string problems(const Image& image) {
  std::string text;
  for (const auto& problem : image.read().problems) text += problem + "\n";
  return text;
}

TEST(LvsReader, ReadsARealPool) {
  const auto image = vector_a().read();
  EXPECT_EQ(image.state, LvsImage::State::kClean);
  EXPECT_EQ(problems(vector_a()), "");
  EXPECT_EQ(image.name, "lvsA");
  EXPECT_EQ(image.uuid, "87ed146b-6561-4af8-8c84-1f5da1b30197");
  EXPECT_EQ(image.total_clusters, 16U);
  EXPECT_EQ(image.md_clusters, 1U);
  EXPECT_EQ(image.used_pages, 1U);
  EXPECT_TRUE(image.blobs.empty());
}

TEST(LvsReader, AbsentAndDamaged) {
  EXPECT_EQ(Image{}.read().state, LvsImage::State::kAbsent);
  auto image = vector_a();
  image.put(0, 30, {1});
  EXPECT_EQ(image.read().state, LvsImage::State::kDamaged);
  auto torn = vector_a();
  torn.put(0, 16, {0});  // the clean word without its checksum
  EXPECT_EQ(torn.read().state, LvsImage::State::kDirty);
  EXPECT_EQ(problems(torn), "");
}

TEST(LvsReader, ReadsVolumes) {
  const auto image = two_volumes().read();
  EXPECT_EQ(problems(two_volumes()), "");
  EXPECT_EQ(image.state, LvsImage::State::kDirty);
  ASSERT_EQ(image.blobs.size(), 2U);
  EXPECT_EQ(image.blobs[0].clusters, (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(image.blobs[0].allocated(), 2U);
  EXPECT_EQ(image.used_clusters, 3U);
  EXPECT_EQ(image.used_pages, 5U);
  EXPECT_NE(image.find("00000000-0000-0000-0000-000000000002"), nullptr);
}

TEST(LvsReader, FindsEachBrokenRule) {
  auto shared = two_volumes();
  add_volume(shared, 5, 6, "three", {5});
  EXPECT_NE(problems(shared).find("cluster 5 belongs to 'two' and to 'three'"), std::string::npos);

  auto page = two_volumes();
  add_volume(page, 5, 4, "three", {9, 0});
  EXPECT_NE(problems(page).find("metadata page 4 belongs to"), std::string::npos);

  auto outside = two_volumes();
  add_volume(outside, 5, 6, "three", {16});
  EXPECT_NE(problems(outside).find("outside of the data area"), std::string::npos);

  auto extents = two_volumes();
  extents.put(4 + 3, 100, {1});  // breaks the checksum of the extent page
  EXPECT_NE(problems(extents).find("extent page 3 is not valid"), std::string::npos);

  auto masks = two_volumes();  // marked clean, but the masks know of no volume
  masks.put(0, 16, {1});
  masks.seal(0);
  EXPECT_NE(problems(masks).find("mask of pages"), std::string::npos);
  EXPECT_NE(problems(masks).find("mask of clusters"), std::string::npos);
  EXPECT_NE(problems(masks).find("mask of blob ids"), std::string::npos);
}

TEST(LvsReader, ATornRootIsTakenFromItsShadow) {
  auto image = two_volumes();
  auto shadow = image.page(4 + 1);
  store_le<std::uint32_t>(shadow.data() + 8, 0x80000000);
  store_le<std::uint32_t>(shadow.data() + 12, 1);
  image.page(4 + 9) = shadow;
  image.seal(4 + 9);
  EXPECT_EQ(image.read().blobs.size(), 2U);  // ignored while the root is whole
  image.put(4 + 1, 200, {1, 2, 3});
  const auto repaired = image.read();
  EXPECT_EQ(problems(image), "");
  EXPECT_EQ(repaired.blobs.size(), 2U);
  image.pages.erase(4 + 9);
  EXPECT_EQ(image.read().blobs.size(), 1U);
}

}  // namespace
}  // namespace capstan::sim
