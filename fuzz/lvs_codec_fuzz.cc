// Why this file exists: a pool is read from whatever a disk holds. Whatever the bytes: no crash, no
// index outside of the pool, and what is accepted is written back the same.
// The input is cut into a super block and up to eight metadata pages, all given right checksums so
// that the parsers behind them are reached.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/checksum.h"
#include "storage/pool/blob.h"
#include "storage/pool/lvs_codec.h"

namespace {

using namespace capstan;
using namespace capstan::storage::lvs;

Page take_page(ByteView& input) {
  Page page{};
  const std::size_t count = std::min(input.size(), kPageBytes - 8);
  std::ranges::copy(input.first(count), page.begin());
  input = input.subspan(count);
  return page;
}

void fuzz_super(Page page) {
  std::ranges::copy(as_bytes(kSuperSignature), page.begin());
  std::ranges::copy(as_bytes(kStoreType), page.begin() + 56);
  store_le(page.data() + 4092, crc32c(ByteView(page).first(4092)));
  constexpr std::uint64_t kDevice = 1ULL << 40;
  auto decoded = decode_super(page, kDevice);
  if (!decoded) return;
  CAPSTAN_ASSERT(encode_super(decoded->super) == page);
  const Geometry geometry(decoded->super, kDevice);
  CAPSTAN_ASSERT(geometry.md_clusters <= geometry.total_clusters);
  CAPSTAN_ASSERT(geometry.md_page(geometry.md_len - 1) + kPageBytes <= kDevice);
}

void fuzz_blob(std::vector<Page> pages) {
  Geometry geometry;
  geometry.cluster_size = 1U << 20;
  geometry.md_len = 64;
  geometry.md_clusters = 1;
  geometry.total_clusters = 4096;
  const std::uint32_t root = 3;
  for (std::uint32_t i = 0; i < pages.size(); ++i) {
    const bool extents = pages[i][16] == 6;
    const std::uint32_t next = !extents && i + 1 < pages.size() ? i + 1 + root : kNoPage;
    seal_page(pages[i], {blob_id_of(root), extents ? 0 : i, 0, next});
  }
  BlobReader reader(root, geometry);
  for (std::uint32_t at = root;;) {
    auto next = reader.take(at, pages[at - root]);
    if (!next) return;
    if (*next == kNoPage) break;
    if (*next < root || *next - root >= pages.size()) return;
    at = *next;
  }
  auto page_of = [&](std::uint32_t number) {
    CAPSTAN_ASSERT(number < geometry.md_len);
    return ByteView(pages[number % pages.size()]);
  };
  if (!reader.finish(page_of)) return;
  const Blob& blob = reader.blob();
  CAPSTAN_ASSERT(blob.groups.size() == (blob.num_clusters + 511) / 512);
  blob.for_each_cluster([&](std::uint64_t index, std::uint32_t cluster) {
    CAPSTAN_ASSERT(index < blob.num_clusters && geometry.is_data_cluster(cluster));
  });
  if (blob.num_clusters < 1U << 20) (void)encode_chain(blob);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView input(data, size);
  if (input.empty()) return 0;
  const unsigned kind = input.front() % 4;
  input = input.subspan(1);
  if (kind == 0) {
    fuzz_super(take_page(input));
  } else if (kind == 1) {
    (void)decode_mask(MaskType::kClusters, 100, input);
    Page page = take_page(input);
    (void)decode_shadow(page);
    seal_page(page, page_header(page));
    (void)decode_shadow(page);
    (void)decode_extent_page(page);
    (void)parse_descriptors(page);
  } else {
    std::vector<Page> pages;
    do pages.push_back(take_page(input));
    while (!input.empty() && pages.size() < 8);
    fuzz_blob(std::move(pages));
  }
  return 0;
}
