// Why this file exists: encoders and decoders of the lvstore structures (lvs_codec.h). Field
// offsets are written once, here, next to each other for reading and writing; FORMAT.md explains
// them.
#include "storage/pool/lvs_codec.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/checksum.h"
#include "base/limits.h"

namespace capstan::storage::lvs {
namespace {

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::kDataLoss, std::move(what), EILSEQ);
}

// One list of the 4- and 8-byte fields of the super block, walked by decoder and encoder.
template <class Super, class Visit>
void for_each_field(Super& super, Visit visit) {
  visit(8, super.version);
  visit(12, super.length);
  visit(16, super.clean);
  visit(20, super.super_blob);
  visit(28, super.cluster_size);
  visit(32, super.page_mask_start);
  visit(36, super.page_mask_len);
  visit(40, super.cluster_mask_start);
  visit(44, super.cluster_mask_len);
  visit(48, super.md_start);
  visit(52, super.md_len);
  visit(72, super.blobid_mask_start);
  visit(76, super.blobid_mask_len);
  visit(80, super.size);
  visit(88, super.io_unit_size);
  visit(92, super.md_page_size);
}
constexpr std::size_t kTypeOffset = 56, kReservedOffset = 96, kChecksumOffset = 4092;
constexpr std::size_t kFirstSectorBytes = 512;  // the least that cannot tear
constexpr std::size_t kCleanOffset = 16, kNextOffset = 4088;

bool is_power_of_two_between(std::uint32_t value, std::uint32_t low, std::uint32_t high) {
  return value >= low && value <= high && (value & (value - 1)) == 0;
}

// What the fields claim must lie inside the device and in the order of section 2.
Result<void> check_fields(const SuperBlock& super, std::uint64_t device_bytes) {
  if (super.size > device_bytes) {
    return damaged("the pool is " + std::to_string(super.size) + " bytes, the device only " +
                   std::to_string(device_bytes) + ": give it the whole device");
  }
  if (!is_power_of_two_between(super.page_stride(), 4096, 65536))
    return damaged("metadata page size " + std::to_string(super.md_page_size));
  if (!is_power_of_two_between(super.block_size(), 512, 65536))
    return damaged("block size " + std::to_string(super.io_unit_size));
  std::uint64_t stride = super.page_stride();
  if (super.cluster_size == 0 || super.cluster_size % stride != 0 ||
      super.cluster_size % super.block_size() != 0)
    return damaged("cluster size " + std::to_string(super.cluster_size));
  std::uint64_t bytes = super.size ? super.size : device_bytes;
  std::uint64_t clusters = bytes / super.cluster_size;
  if (clusters > 0xFFFFFFFF) return damaged("more clusters than the format can number");
  std::uint64_t md_end = (std::uint64_t{super.md_start} + super.md_len) * stride;
  if (super.md_len == 0 || super.md_start == 0 || md_end > clusters * super.cluster_size)
    return damaged("the metadata region lies outside of the pool");
  auto mask_fits = [&](std::uint64_t start, std::uint64_t len, std::uint64_t bits) {
    return start >= 1 && start + len <= super.md_start && len * stride >= mask_bytes(bits);
  };
  if (!mask_fits(super.page_mask_start, super.page_mask_len, super.md_len) ||
      !mask_fits(super.cluster_mask_start, super.cluster_mask_len, clusters) ||
      (super.blobid_mask_len != 0 &&
       !mask_fits(super.blobid_mask_start, super.blobid_mask_len, super.md_len)))
    return damaged("the masks do not fit their places");
  if (clusters > limits::kPoolClustersMax || super.md_len > limits::kPoolMdPagesMax) {
    return fail(Code::kFailedPrecondition,
                "a pool of " + std::to_string(clusters) + " clusters and " +
                    std::to_string(super.md_len) + " metadata pages; this node handles " +
                    std::to_string(limits::kPoolClustersMax) + " and " +
                    std::to_string(limits::kPoolMdPagesMax),
                ENOTSUP);
  }
  return {};
}

}  // namespace

bool has_super_signature(ByteView page) {
  return page.size() >= kSuperSignature.size() &&
         as_text(page.first(kSuperSignature.size())) == kSuperSignature;
}

Result<DecodedSuper> decode_super(ByteView page, std::uint64_t device_bytes) {
  if (page.size() < kPageBytes || !has_super_signature(page)) {
    // Eight damaged bytes must not turn a pool into an empty disk. Whoever removes a pool zeroes
    // at least the first block, and the type is in it.
    if (page.size() >= kPageBytes &&
        as_text(page.subspan(kTypeOffset, kStoreType.size())) == kStoreType)
      return damaged("its signature is wrong");
    return fail(Code::kNotFound, "no pool signature", EILSEQ);
  }
  DecodedSuper result;
  SuperBlock& super = result.super;
  for_each_field(super, [&](std::size_t offset, auto& field) {
    field = load_le<std::remove_reference_t<decltype(field)>>(page.data() + offset);
  });
  if (super.version < 1 || super.version > 3)
    return damaged("version " + std::to_string(super.version) + " of the format is unknown");
  if (!checksum_matches(page)) {
    // Only `clean` and the checksum change in daily use, and they lie in different sectors: a torn
    // write leaves one of them old, so the checksum fits the other value of `clean`.
    Page other;
    std::ranges::copy(page.first(kPageBytes), other.begin());
    for (std::uint32_t clean : {0U, 1U}) {
      store_le<std::uint32_t>(other.data() + kCleanOffset, clean);
      if (checksum_matches(other)) result.torn = true;
    }
    if (!result.torn) return damaged("the checksum of the super block is wrong");
    super.clean = 0;
  }
  super.bstype = std::string(as_text(page.subspan(kTypeOffset, kStoreType.size())));
  if (super.bstype != kStoreType)
    return fail(Code::kDataLoss, "a blobstore that holds no volumes (another store type)", ENXIO);
  super.reserved.assign(page.begin() + kReservedOffset, page.begin() + kChecksumOffset);
  TRY(check_fields(super, device_bytes));
  return result;
}

Page encode_super(const SuperBlock& super) {
  Page page{};
  std::ranges::copy(as_bytes(kSuperSignature), page.begin());
  for_each_field(
      super, [&](std::size_t offset, const auto& field) { store_le(page.data() + offset, field); });
  CAPSTAN_ASSERT(super.bstype.size() == kStoreType.size());
  CAPSTAN_ASSERT(super.reserved.size() == kChecksumOffset - kReservedOffset);
  std::ranges::copy(as_bytes(super.bstype), page.begin() + kTypeOffset);
  std::ranges::copy(super.reserved, page.begin() + kReservedOffset);
  store_le(page.data() + kChecksumOffset, crc32c(ByteView(page).first(kChecksumOffset)));
  return page;
}

Result<void> keep_checksum(const SuperBlock& before, SuperBlock& after) {
  constexpr std::size_t kSpare = kFirstSectorBytes - 4 - kReservedOffset;
  const auto spare = MutableBytes(after.reserved).subspan(kSpare, 4);
  if (!all_zero(ByteView(after.reserved).first(kSpare)) ||
      !all_zero(ByteView(after.reserved).subspan(kSpare + 4))) {
    return fail(Code::kFailedPrecondition,
                "the super block was written by a newer format: only that can change its size",
                EPERM);
  }
  const auto checksum_with = [&](std::uint32_t bits) {
    store_le(spare.data(), bits);
    return load_le<std::uint32_t>(encode_super(after).data() + kChecksumOffset);
  };
  // The checksum is linear: each of the 32 bits flips the same checksum bits whatever the others
  // are. What has to be flipped is therefore a sum of columns, found by elimination.
  const std::uint32_t base = checksum_with(0);
  struct Column {
    std::uint32_t flips = 0, bits = 0;
  };
  std::array<Column, 32> by_highest{};
  for (unsigned bit = 0; bit < 32; ++bit) {
    Column column{checksum_with(1U << bit) ^ base, 1U << bit};
    while (column.flips != 0) {
      Column& pivot = by_highest[static_cast<std::size_t>(std::bit_width(column.flips)) - 1];
      if (pivot.flips == 0) {
        pivot = column;
        break;
      }
      column = {column.flips ^ pivot.flips, column.bits ^ pivot.bits};
    }
  }
  std::uint32_t rest = base ^ load_le<std::uint32_t>(encode_super(before).data() + kChecksumOffset);
  std::uint32_t bits = 0;
  while (rest != 0) {
    const Column& pivot = by_highest[static_cast<std::size_t>(std::bit_width(rest)) - 1];
    CAPSTAN_ASSERT(pivot.flips != 0);  // 32 neighbouring bits reach every checksum
    rest ^= pivot.flips;
    bits ^= pivot.bits;
  }
  store_le(spare.data(), bits);
  return {};
}

bool checksum_matches(ByteView page) {
  CAPSTAN_ASSERT(page.size() >= kPageBytes);
  return load_le<std::uint32_t>(page.data() + kChecksumOffset) ==
         crc32c(page.first(kChecksumOffset));
}

PageHeader page_header(ByteView page) {
  CAPSTAN_ASSERT(page.size() >= kPageBytes);
  return {load_le<std::uint64_t>(page.data()), load_le<std::uint32_t>(page.data() + 8),
          load_le<std::uint32_t>(page.data() + 12),
          load_le<std::uint32_t>(page.data() + kNextOffset)};
}

void seal_page(MutableBytes page, const PageHeader& header) {
  CAPSTAN_ASSERT(page.size() == kPageBytes);
  store_le(page.data(), header.id);
  store_le(page.data() + 8, header.sequence);
  store_le(page.data() + 12, header.reserved);
  store_le(page.data() + kNextOffset, header.next);
  store_le(page.data() + kChecksumOffset, crc32c(page.first(kChecksumOffset)));
}

Result<std::vector<Descriptor>> parse_descriptors(ByteView page) {
  CAPSTAN_ASSERT(page.size() >= kPageBytes);
  std::vector<Descriptor> result;
  std::size_t at = kPageHeaderBytes;
  while (at + 5 <= kDescriptorEnd) {
    auto type = static_cast<DescriptorType>(page[at]);
    std::uint64_t length = load_le<std::uint32_t>(page.data() + at + 1);
    if (type == DescriptorType::kPadding && length == 0) break;
    if (at + 5 + length > kDescriptorEnd) return damaged("a descriptor runs past its page");
    if (type != DescriptorType::kPadding) result.push_back({type, page.subspan(at + 5, length)});
    at += 5 + length;
  }
  return result;
}

Result<Flags> parse_flags(ByteView body) {
  if (body.size() != 24) return damaged("flags of " + std::to_string(body.size()) + " bytes");
  return Flags{load_le<std::uint64_t>(body.data()), load_le<std::uint64_t>(body.data() + 8),
               load_le<std::uint64_t>(body.data() + 16)};
}

Result<Xattr> parse_xattr(ByteView body) {
  if (body.size() < 4) return damaged("an attribute of " + std::to_string(body.size()) + " bytes");
  std::size_t name = load_le<std::uint16_t>(body.data());
  std::size_t value = load_le<std::uint16_t>(body.data() + 2);
  if (body.size() != 4 + name + value) return damaged("lengths of an attribute disagree");
  return Xattr{std::string(as_text(body.subspan(4, name))),
               std::string(as_text(body.subspan(4 + name)))};
}

Result<std::vector<Run>> parse_runs(ByteView body) {
  if (body.empty() || body.size() % 8 != 0)
    return damaged("an extent list of " + std::to_string(body.size()) + " bytes");
  std::vector<Run> runs(body.size() / 8);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i] = {load_le<std::uint32_t>(body.data() + 8 * i),
               load_le<std::uint32_t>(body.data() + 8 * i + 4)};
  }
  return runs;
}

Result<ExtentTable> parse_extent_table(ByteView body) {
  if (body.size() < 8)
    return damaged("an extent table of " + std::to_string(body.size()) + " bytes");
  ExtentTable table{load_le<std::uint64_t>(body.data()), {}};
  if (body.size() > 8) {
    TRY_SET(table.entries, parse_runs(body.subspan(8)));
  }
  return table;
}

Result<ExtentPage> decode_extent_page(ByteView page) {
  if (!checksum_matches(page)) return damaged("checksum");
  if (page_header(page).sequence != 0) return damaged("sequence number");
  if (page[kPageHeaderBytes] != static_cast<std::uint8_t>(DescriptorType::kExtentPage))
    return damaged("first descriptor");
  std::size_t length = load_le<std::uint32_t>(page.data() + kPageHeaderBytes + 1);
  if (length < 4 || length % 4 != 0 || length > kDescriptorBytes - 5)
    return damaged("length " + std::to_string(length));
  const std::uint8_t* body = page.data() + kPageHeaderBytes + 5;
  ExtentPage result{load_le<std::uint32_t>(body), std::vector<std::uint32_t>(length / 4 - 1)};
  for (std::size_t i = 0; i < result.clusters.size(); ++i)
    result.clusters[i] = load_le<std::uint32_t>(body + 4 + 4 * i);
  return result;
}

Page encode_extent_page(std::uint64_t blob_id, std::uint32_t start_cluster,
                        std::span<const std::uint32_t> clusters) {
  CAPSTAN_ASSERT(clusters.size() <= kGroupClusters);
  Page page{};
  std::uint8_t* at = page.data() + kPageHeaderBytes;
  at[0] = static_cast<std::uint8_t>(DescriptorType::kExtentPage);
  store_le(at + 1, static_cast<std::uint32_t>(4 + 4 * clusters.size()));
  store_le(at + 5, start_cluster);
  for (std::size_t i = 0; i < clusters.size(); ++i) store_le(at + 9 + 4 * i, clusters[i]);
  seal_page(page, {blob_id, 0, 0, kNoPage});
  return page;
}

ChainWriter::ChainWriter() : pages_(1) {}

void ChainWriter::next_page() {
  pages_.emplace_back();
  used_ = kPageHeaderBytes;
}

MutableBytes ChainWriter::begin(DescriptorType type, std::size_t body_bytes) {
  CAPSTAN_ASSERT(5 + body_bytes <= kDescriptorBytes);
  if (5 + body_bytes > room()) next_page();
  std::uint8_t* at = pages_.back().data() + used_;
  at[0] = static_cast<std::uint8_t>(type);
  store_le(at + 1, static_cast<std::uint32_t>(body_bytes));
  used_ += 5 + body_bytes;
  return {at + 5, body_bytes};
}

void ChainWriter::add_flags(const Flags& flags) {
  MutableBytes body = begin(DescriptorType::kFlags, 24);
  store_le(body.data(), flags.invalid);
  store_le(body.data() + 8, flags.data_ro);
  store_le(body.data() + 16, flags.md_ro);
}

bool ChainWriter::add_xattr(DescriptorType type, const Xattr& xattr) {
  std::size_t bytes = 4 + xattr.name.size() + xattr.value.size();
  if (5 + bytes > kDescriptorBytes) return false;
  MutableBytes body = begin(type, bytes);
  store_le(body.data(), static_cast<std::uint16_t>(xattr.name.size()));
  store_le(body.data() + 2, static_cast<std::uint16_t>(xattr.value.size()));
  std::ranges::copy(as_bytes(xattr.name), body.begin() + 4);
  std::ranges::copy(as_bytes(xattr.value), body.begin() + 4 + xattr.name.size());
  return true;
}

void ChainWriter::add_runs(std::span<const Run> runs) {
  while (!runs.empty()) {
    if (room() < 5 + 8) next_page();
    std::size_t count = std::min(runs.size(), (room() - 5) / 8);
    MutableBytes body = begin(DescriptorType::kExtentRle, 8 * count);
    for (std::size_t i = 0; i < count; ++i) {
      store_le(body.data() + 8 * i, runs[i].first);
      store_le(body.data() + 8 * i + 4, runs[i].count);
    }
    runs = runs.subspan(count);
  }
}

void ChainWriter::add_extent_table(const ExtentTable& table) {
  std::span<const Run> runs = table.entries;
  do {
    if (room() < 5 + 8 + (runs.empty() ? 0U : 8U)) next_page();
    std::size_t count = std::min(runs.size(), (room() - 13) / 8);
    MutableBytes body = begin(DescriptorType::kExtentTable, 8 + 8 * count);
    store_le(body.data(), table.num_clusters);
    for (std::size_t i = 0; i < count; ++i) {
      store_le(body.data() + 8 + 8 * i, runs[i].first);
      store_le(body.data() + 12 + 8 * i, runs[i].count);
    }
    runs = runs.subspan(count);
  } while (!runs.empty());
}

std::vector<Page> ChainWriter::seal(std::uint64_t blob_id,
                                    std::span<const std::uint32_t> numbers) && {
  CAPSTAN_ASSERT(numbers.size() == pages_.size());
  for (std::uint32_t i = 0; i < pages_.size(); ++i) {
    std::uint32_t next = i + 1 < numbers.size() ? numbers[i + 1] : kNoPage;
    seal_page(pages_[i], {blob_id, i, 0, next});
  }
  return std::move(pages_);
}

Page make_shadow(const Page& page, std::uint32_t target) {
  Page shadow = page;
  PageHeader header = page_header(page);
  header.sequence |= kShadowBit;
  header.reserved = target;
  seal_page(shadow, header);
  return shadow;
}

std::optional<Shadow> decode_shadow(ByteView page) {
  PageHeader header = page_header(page);
  if ((header.sequence & kShadowBit) == 0 || !checksum_matches(page)) return std::nullopt;
  Shadow shadow{header.reserved, {}};
  std::ranges::copy(page.first(kPageBytes), shadow.original.begin());
  header.sequence &= ~kShadowBit;
  header.reserved = 0;
  seal_page(shadow.original, header);
  return shadow;
}

std::vector<std::uint8_t> encode_mask(MaskType type, const Bitmap& bits, std::size_t bytes) {
  CAPSTAN_ASSERT(mask_bytes(bits.size()) <= bytes);
  std::vector<std::uint8_t> raw(bytes);
  raw[0] = static_cast<std::uint8_t>(type);
  store_le(raw.data() + 1, static_cast<std::uint32_t>(bits.size()));
  bits.to_bytes(MutableBytes(raw).subspan(5));
  return raw;
}

Result<Bitmap> decode_mask(MaskType type, std::uint64_t bits, ByteView raw) {
  if (raw.size() < 5 || raw[0] != static_cast<std::uint8_t>(type)) return damaged("type of a mask");
  std::uint64_t stored = load_le<std::uint32_t>(raw.data() + 1);
  if (stored != bits && !(type == MaskType::kClusters && stored > bits))
    return damaged("length of a mask");
  if (mask_bytes(bits) > raw.size()) return damaged("size of a mask");
  return Bitmap::from_bytes(bits, raw.subspan(5));
}

}  // namespace capstan::storage::lvs
