// Why this file exists: the bytes of an lvstore, and nothing else: super block, masks, metadata
// pages, descriptors (FORMAT.md beside this file has the tables). No I/O, no policy: callers decide
// what a damaged page means. Every decoder checks every length and accepts any input.
// Thread-safety: pure functions and plain values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "storage/pool/bitmap.h"

namespace capstan::storage::lvs {

inline constexpr std::size_t kPageBytes = 4096;  // a page structure, whatever its stride
inline constexpr std::size_t kPageHeaderBytes = 16;
inline constexpr std::size_t kDescriptorBytes = 4072;  // room for descriptors in one page
inline constexpr std::size_t kDescriptorEnd = kPageHeaderBytes + kDescriptorBytes;
inline constexpr std::uint32_t kNoPage = 0xFFFFFFFF;
inline constexpr std::uint64_t kNoBlob = ~0ULL;
inline constexpr std::uint64_t kBlobIdBit = 1ULL << 32;
inline constexpr std::uint32_t kGroupClusters = 512;     // clusters per extent page
inline constexpr std::uint32_t kShadowBit = 0x80000000;  // sequence of a shadow page (section 14.7)
inline constexpr std::string_view kSuperSignature = "SPDKBLOB";
inline constexpr std::string_view kStoreType{"LVOLSTORE\0\0\0\0\0\0\0", 16};

inline constexpr std::uint64_t kFlagThin = 1, kFlagInternalXattr = 2, kFlagExtentTable = 4,
                               kFlagExternalSnapshot = 8, kKnownInvalidFlags = 15;
inline constexpr std::uint64_t kFlagReadOnly = 1;  // data_ro word
inline constexpr std::uint64_t kKnownDataRoFlags = 1, kKnownMdRoFlags = 3;
inline constexpr std::uint64_t kClearNone = 1, kClearUnmap = 2, kClearMask = 3;  // md_ro word

enum class DescriptorType : std::uint8_t {
  kPadding = 0,
  kExtentRle = 1,
  kXattr = 2,
  kFlags = 3,
  kXattrInternal = 4,
  kExtentTable = 5,
  kExtentPage = 6,
};

using Page = std::array<std::uint8_t, kPageBytes>;

inline std::uint64_t blob_id_of(std::uint32_t root_page) {
  return kBlobIdBit | root_page;
}
inline std::uint32_t root_page_of(std::uint64_t blob_id) {
  return static_cast<std::uint32_t>(blob_id & 0xFFFFFFFF);
}

// --- super block -------------------------------------------------------------------------------

struct SuperBlock {
  std::uint32_t version = 3, length = kPageBytes, clean = 0;
  std::uint64_t super_blob = kNoBlob;
  std::uint32_t cluster_size = 0;
  std::uint32_t page_mask_start = 0, page_mask_len = 0;
  std::uint32_t cluster_mask_start = 0, cluster_mask_len = 0;
  std::uint32_t md_start = 0, md_len = 0;
  std::string bstype{kStoreType};
  std::uint32_t blobid_mask_start = 0, blobid_mask_len = 0;
  std::uint64_t size = 0;          // as stored; 0 means the whole device
  std::uint32_t io_unit_size = 0;  // as stored; 0 means 4096
  std::uint32_t md_page_size = 0;  // as stored; 0 means 4096
  std::vector<std::uint8_t> reserved = std::vector<std::uint8_t>(3996);  // kept byte for byte

  std::uint32_t block_size() const { return io_unit_size ? io_unit_size : kPageBytes; }
  std::uint32_t page_stride() const { return md_page_size ? md_page_size : kPageBytes; }
};

struct DecodedSuper {
  SuperBlock super;
  bool torn = false;  // the checksum only matched with the other value of `clean`: treat as dirty
};

// "SPDKBLOB" at the start.
bool has_super_signature(ByteView page);
// kNotFound when there is no trace of a pool, kDataLoss (EILSEQ, or ENXIO for another store type)
// when damaged, kFailedPrecondition when larger than limits::kPoolClustersMax. `device_bytes`
// bounds what the fields may claim.
Result<DecodedSuper> decode_super(ByteView page, std::uint64_t device_bytes);
Page encode_super(const SuperBlock& super);
// Chooses the last four reserved bytes of the first 512 so that `after` has the checksum of
// `before`: then the first sector is all that differs. kFailedPrecondition when other reserved
// bytes are in use: a newer format may mean something by these four, too.
Result<void> keep_checksum(const SuperBlock& before, SuperBlock& after);

// --- metadata pages ----------------------------------------------------------------------------

struct PageHeader {
  std::uint64_t id = 0;
  std::uint32_t sequence = 0, reserved = 0, next = kNoPage;
};

bool checksum_matches(ByteView page);  // bytes 0..4091 against the CRC at 4092; zeros never match
PageHeader page_header(ByteView page);
void seal_page(MutableBytes page, const PageHeader& header);  // header, next and checksum

struct Descriptor {
  DescriptorType type;  // may be a number that has no name
  ByteView body;
};
// kDataLoss when a descriptor runs past the page.
Result<std::vector<Descriptor>> parse_descriptors(ByteView page);

struct Flags {
  std::uint64_t invalid = 0, data_ro = 0, md_ro = 0;
};
struct Xattr {
  std::string name, value;
  bool operator==(const Xattr&) const = default;
};
// extent_rle: {cluster, count}; extent table: {page, count}; 0 in `first` means holes.
struct Run {
  std::uint32_t first = 0, count = 0;
  bool operator==(const Run&) const = default;
};
struct ExtentTable {
  std::uint64_t num_clusters = 0;
  std::vector<Run> entries;
};
struct ExtentPage {
  std::uint32_t start_cluster = 0;
  std::vector<std::uint32_t> clusters;
};

Result<Flags> parse_flags(ByteView body);
Result<Xattr> parse_xattr(ByteView body);
Result<std::vector<Run>> parse_runs(ByteView body);
Result<ExtentTable> parse_extent_table(ByteView body);
// The whole page: checksum, sequence 0, first descriptor of type 6. The id is ignored.
Result<ExtentPage> decode_extent_page(ByteView page);
Page encode_extent_page(std::uint64_t blob_id, std::uint32_t start_cluster,
                        std::span<const std::uint32_t> clusters);

// Lays descriptors out over as many pages as they need; a descriptor never spans pages, runs are
// split. seal() numbers and links the pages.
class ChainWriter {
 public:
  ChainWriter();
  void add_flags(const Flags& flags);
  // False, adding nothing, when it would not even fit an empty page.
  bool add_xattr(DescriptorType type, const Xattr& xattr);
  void add_runs(std::span<const Run> runs);
  void add_extent_table(const ExtentTable& table);
  std::size_t pages() const { return pages_.size(); }
  // `numbers`: the md page of each page, root first.
  std::vector<Page> seal(std::uint64_t blob_id, std::span<const std::uint32_t> numbers) &&;

 private:
  std::size_t room() const { return kDescriptorEnd - used_; }
  MutableBytes begin(DescriptorType type, std::size_t body_bytes);
  void next_page();
  std::vector<Page> pages_;
  std::size_t used_ = kPageHeaderBytes;  // bytes of the last page
};

// A shadow of `page` (section 14.7), which stands or will stand at md page `target`.
Page make_shadow(const Page& page, std::uint32_t target);
struct Shadow {
  std::uint32_t target = 0;
  Page original;
};
// Nothing when this is no valid shadow page.
std::optional<Shadow> decode_shadow(ByteView page);

// --- masks -------------------------------------------------------------------------------------

enum class MaskType : std::uint8_t { kPages = 0, kClusters = 1, kBlobIds = 2 };

// Bytes that a mask of `bits` bits takes, before rounding to pages.
inline std::uint64_t mask_bytes(std::uint64_t bits) {
  return 5 + (bits + 7) / 8;
}
// Zero-padded to `bytes`.
std::vector<std::uint8_t> encode_mask(MaskType type, const Bitmap& bits, std::size_t bytes);
// kDataLoss when type or length are wrong. A cluster mask may be longer than `bits`.
Result<Bitmap> decode_mask(MaskType type, std::uint64_t bits, ByteView raw);

}  // namespace capstan::storage::lvs
