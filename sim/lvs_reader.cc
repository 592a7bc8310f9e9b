// Why this file exists: the checks behind lvs_reader.h, written from the format's description only.
#include "sim/lvs_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <string_view>

namespace capstan::sim {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::uint32_t kNone = 0xFFFFFFFF;
using PageBytes = std::array<std::uint8_t, kPage>;

// Row n: what a byte does to the checksum n bytes later, so that eight are taken at a time.
constexpr auto kCrcTable = [] {
  std::array<std::array<std::uint32_t, 256>, 8> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78U : 0U);
    table[0][byte] = crc;
  }
  for (std::size_t row = 1; row < 8; ++row) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const auto crc = table[row - 1][byte];
      table[row][byte] = (crc >> 8) ^ table[0][crc & 0xFF];
    }
  }
  return table;
}();

// Not base/checksum.h on purpose: nothing in common with the pool.
std::uint32_t own_crc32c(ByteView bytes) {
  const auto& t = kCrcTable;
  std::uint32_t crc = 0xFFFFFFFF;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    word ^= crc;
    crc = t[7][word & 0xFF] ^ t[6][word >> 8 & 0xFF] ^ t[5][word >> 16 & 0xFF] ^
          t[4][word >> 24 & 0xFF] ^ t[3][word >> 32 & 0xFF] ^ t[2][word >> 40 & 0xFF] ^
          t[1][word >> 48 & 0xFF] ^ t[0][word >> 56];
  }
  for (const auto byte : bytes) crc = (crc >> 8) ^ t[0][(crc ^ byte) & 0xFF];
  return ~crc;
}

std::uint16_t u16(ByteView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] | bytes[at + 1] << 8);
}
std::uint32_t u32(ByteView bytes, std::size_t at) {
  return u16(bytes, at) | static_cast<std::uint32_t>(u16(bytes, at + 2)) << 16;
}
std::uint64_t u64(ByteView bytes, std::size_t at) {
  return u32(bytes, at) | static_cast<std::uint64_t>(u32(bytes, at + 4)) << 32;
}
void put32(PageBytes& page, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) page[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

bool crc_ok(ByteView page) {
  return u32(page, 4092) == own_crc32c(page.first(4092));
}
bool zero(ByteView page) {
  return page[0] == 0 && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

class Reader {
 public:
  Reader(const LvsRead& read, std::uint64_t device_bytes) : read_(read), device_(device_bytes) {}
  LvsImage run();

 private:
  struct Table {
    bool present = false;
    std::uint64_t clusters = 0;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> entries;  // page, count
  };

  void problem(std::string text) { image_.problems.push_back(std::move(text)); }
  bool super();
  void load_pages();
  void restore_shadows();
  bool is_root(std::uint32_t at) const;
  LvsBlob blob(std::uint32_t root);
  bool descriptors(LvsBlob& blob, Table& table, ByteView bytes);
  bool extents(LvsBlob& blob, const Table& table);
  void account();
  void check_masks();
  // The bits that are set, in order.
  std::vector<std::uint64_t> mask(std::uint8_t type, std::uint32_t start, std::uint32_t pages,
                                  std::uint64_t bits);
  void check_mask(const char* what, const std::vector<std::uint64_t>& stored,
                  std::vector<std::uint64_t> reachable);
  // Counts what the blobs name and complains about what two of them do.
  struct Named {
    std::uint64_t number;
    std::size_t blob;  // 0: the super blob
    auto operator<=>(const Named&) const = default;
  };
  std::uint64_t count(const char* what, std::vector<Named> named);
  const PageBytes& page(std::uint32_t number) const { return stored_[place_[number]]; }

  const LvsRead& read_;
  std::uint64_t device_;
  PageBytes super_{};
  LvsImage image_;
  std::deque<PageBytes> stored_{1};   // pages that are not zero, behind one that is
  std::vector<std::uint32_t> place_;  // of each page in it
  std::vector<bool> valid_;
  std::optional<LvsBlob> super_blob_;
};

bool Reader::super() {
  if (device_ < kPage) return false;
  read_(0, super_);
  const ByteView s(super_);
  if (std::string(s.begin(), s.begin() + 8) != "SPDKBLOB") return false;
  image_.state = LvsImage::State::kDamaged;
  bool torn = false;
  if (!crc_ok(s)) {
    for (const std::uint32_t clean : {0U, 1U}) {  // only `clean` and `crc` change in daily use
      auto copy = super_;
      put32(copy, 16, clean);
      torn |= own_crc32c(ByteView(copy).first(4092)) == u32(s, 4092);
    }
    if (!torn) return problem("super block: wrong checksum"), false;
  }
  const auto version = u32(s, 8), stride = u32(s, 92);
  if (version != 3) return problem("super block: version " + std::to_string(version)), false;
  if (stride != 0 && stride != kPage) return problem("super block: page size"), false;
  image_.super_blob = u64(s, 20);
  image_.cluster_size = u32(s, 28);
  image_.md_start = u32(s, 48);
  image_.md_len = u32(s, 52);
  image_.io_unit_size = u32(s, 88);
  image_.masks_start = std::min({u32(s, 32), u32(s, 40), u32(s, 72)});
  const auto size = u64(s, 80);
  if (size > device_ || image_.cluster_size == 0 || image_.cluster_size % kPage != 0) {
    return problem("super block: size or cluster size"), false;
  }
  image_.total_clusters = size / image_.cluster_size;
  const std::uint64_t end = (std::uint64_t{image_.md_start} + image_.md_len) * kPage;
  image_.md_clusters =
      static_cast<std::uint32_t>((end + image_.cluster_size - 1) / image_.cluster_size);
  if (image_.md_clusters > image_.total_clusters) return problem("super block: layout"), false;
  if (std::string(s.begin() + 56, s.begin() + 72) != std::string("LVOLSTORE\0\0\0\0\0\0\0", 16)) {
    return problem("super block: bstype"), false;
  }
  image_.state = u32(s, 16) == 1 && !torn ? LvsImage::State::kClean : LvsImage::State::kDirty;
  return true;
}

void Reader::load_pages() {
  constexpr std::uint32_t kPiece = 32;
  place_.resize(image_.md_len);
  valid_.resize(image_.md_len);
  std::vector<std::uint8_t> piece(kPiece * kPage);
  for (std::uint32_t first = 0; first < image_.md_len; first += kPiece) {
    const auto pages = std::min(kPiece, image_.md_len - first);
    read_((std::uint64_t{image_.md_start} + first) * kPage,
          MutableBytes(piece).first(pages * kPage));
    for (std::uint32_t i = 0; i < pages; ++i) {
      const auto bytes = ByteView(piece).subspan(i * kPage, kPage);
      if (zero(bytes)) continue;
      place_[first + i] = static_cast<std::uint32_t>(stored_.size());
      std::memcpy(stored_.emplace_back().data(), bytes.data(), kPage);
      valid_[first + i] = crc_ok(bytes);
    }
  }
}

// Section 14.7: a valid page with bit 31 of the sequence set is the copy of a root that was about
// to be written in place; it counts when that root is torn.
void Reader::restore_shadows() {
  std::map<std::uint32_t, PageBytes> restored;
  for (std::uint32_t i = 0; i < image_.md_len; ++i) {
    if (!valid_[i] || !(u32(page(i), 8) & 0x80000000U)) continue;
    ++image_.shadow_pages;
    const auto target = u32(page(i), 12);
    if (target >= image_.md_len || valid_[target]) continue;
    // Without its id in the first sector the root never was durable, or was erased.
    if (u64(page(target), 0) != (1ULL << 32 | target)) continue;
    auto copy = page(i);
    put32(copy, 8, u32(copy, 8) & 0x7FFFFFFFU);
    put32(copy, 12, 0);
    put32(copy, 4092, own_crc32c(ByteView(copy).first(4092)));
    const auto [place, fresh] = restored.emplace(target, copy);
    if (!fresh && place->second != copy) {
      problem("page " + std::to_string(target) + " is torn and has two different shadows");
    }
  }
  for (const auto& [target, copy] : restored) {
    stored_[place_[target]] = copy;
    valid_[target] = true;
  }
}

bool Reader::is_root(std::uint32_t at) const {
  return valid_[at] && u32(page(at), 8) == 0 && u64(page(at), 0) == (1ULL << 32 | at);
}

bool Reader::descriptors(LvsBlob& blob, Table& table, ByteView bytes) {
  std::size_t at = 16;
  while (at + 5 <= 4088) {
    const auto type = bytes[at];
    const auto length = u32(bytes, at + 1);
    if (type == 0 && length == 0) return true;
    if (length > 4088 - at - 5) return blob.fault = "descriptor longer than its page", false;
    const auto body = bytes.subspan(at + 5, length);
    at += 5 + length;
    if (type == 0) continue;
    if (type == 2 || type == 4) {
      if (length < 4 || length != 4U + u16(body, 0) + u16(body, 2)) {
        return blob.fault = "attribute with a wrong length", false;
      }
      const std::string name(body.begin() + 4, body.begin() + 4 + u16(body, 0));
      auto& attributes = type == 2 ? blob.xattrs : blob.internal;
      if (!attributes.emplace(name, std::string(body.begin() + 4 + u16(body, 0), body.end()))
               .second) {
        return blob.fault = "attribute '" + name + "' twice", false;
      }
    } else if (type == 3) {
      if (length != 24) return blob.fault = "flags with a wrong length", false;
      if (u64(body, 0) & ~0xFULL) return blob.fault = "unknown invalid flag", false;
      blob.thin = u64(body, 0) & 1;
      blob.read_only = u64(body, 8) != 0;
    } else if (type == 5) {
      if (length < 8 || length % 8 != 0) return blob.fault = "extent table length", false;
      table.present = true;
      table.clusters = u64(body, 0);
      for (std::size_t i = 8; i < length; i += 8) {
        table.entries.emplace_back(u32(body, i), u32(body, i + 4));
      }
    } else if (type == 1) {
      if (length == 0 || length % 8 != 0) return blob.fault = "extent run length", false;
      for (std::size_t i = 0; i < length; i += 8) {
        const auto cluster = u32(body, i), count = u32(body, i + 4);
        if (count > image_.total_clusters) return blob.fault = "extent run too long", false;
        for (std::uint32_t k = 0; k < count; ++k) {
          blob.clusters.push_back(cluster == 0 ? 0 : cluster + k);
        }
      }
    } else {
      return blob.fault = "descriptor of type " + std::to_string(type), false;
    }
  }
  return true;
}

bool Reader::extents(LvsBlob& blob, const Table& table) {
  if (table.clusters > image_.total_clusters * 64) return blob.fault = "size", false;
  blob.clusters.assign(table.clusters, 0);
  std::uint64_t group = 0;
  bool ended = false;
  for (const auto& [at, count] : table.entries) {
    if (at == 0) {
      if (!blob.thin) return blob.fault = "hole in a thick volume", false;
      group += count;
      continue;
    }
    if (count != 1 || at >= image_.md_len || !valid_[at]) {
      return blob.fault = "extent page " + std::to_string(at) + " is not valid", false;
    }
    const ByteView bytes(page(at));
    const auto length = u32(bytes, 17);
    if (u32(bytes, 8) != 0 || bytes[16] != 6 || length < 4 || length % 4 != 0 || length > 4067 ||
        u32(bytes, 21) != group * 512) {
      return blob.fault = "extent page " + std::to_string(at) + " has a wrong form", false;
    }
    blob.pages.push_back(at);
    const std::uint64_t stored = (length - 4) / 4;
    const std::uint64_t first = group * 512;
    const std::uint64_t wanted =
        first >= table.clusters ? 0 : std::min<std::uint64_t>(512, table.clusters - first);
    if (ended && stored != 0) return blob.fault = "extents behind the end", false;
    for (std::uint64_t i = 0; i < std::min(stored, wanted); ++i) {
      blob.clusters[first + i] = u32(bytes, 25 + 4 * i);
    }
    if (stored < wanted && !blob.thin) {
      blob.clusters.resize(first + stored);
      ended = true;
    }
    ++group;
  }
  if (group != (table.clusters + 511) / 512) return blob.fault = "number of groups", false;
  return true;
}

LvsBlob Reader::blob(std::uint32_t root) {
  LvsBlob result;
  result.id = 1ULL << 32 | root;
  Table table;
  std::uint32_t sequence = 0;
  for (std::uint32_t at = root; at != kNone; ++sequence) {
    if (at >= image_.md_len || !valid_[at] || u64(page(at), 0) != result.id ||
        u32(page(at), 8) != sequence || std::count(result.pages.begin(), result.pages.end(), at)) {
      result.fault = "chain page " + std::to_string(at) + " is not valid";
      return result;
    }
    result.pages.push_back(at);
    if (!descriptors(result, table, page(at))) return result;
    at = u32(page(at), 4088);
  }
  result.chain_pages = result.pages.size();
  if (table.present && !extents(result, table)) return result;
  for (std::size_t i = 0; i < result.clusters.size(); ++i) {
    const auto cluster = result.clusters[i];
    if (cluster == 0 && !result.thin) result.fault = "hole in a thick volume";
    if (cluster != 0 && (cluster < image_.md_clusters || cluster >= image_.total_clusters)) {
      result.fault = "cluster " + std::to_string(cluster) + " is outside of the data area";
    }
  }
  return result;
}

std::uint64_t Reader::count(const char* what, std::vector<Named> named) {
  const auto name = [this](std::size_t blob) {
    return blob == 0 ? std::string("the super blob") : image_.blobs[blob - 1].text("name");
  };
  std::ranges::sort(named);
  std::uint64_t numbers = 0;
  std::size_t owner = 0;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (i == 0 || named[i].number != named[i - 1].number) {
      owner = named[i].blob;
      ++numbers;
      continue;
    }
    problem(std::string(what) + " " + std::to_string(named[i].number) + " belongs to '" +
            name(owner) + "' and to '" + name(named[i].blob) + "'");
  }
  return numbers;
}

void Reader::account() {
  std::vector<Named> clusters, pages;
  auto take = [&](const LvsBlob& blob, std::size_t number, const std::string& name) {
    if (!blob.fault.empty()) problem("'" + name + "' is faulted: " + blob.fault);
    for (const auto cluster : blob.clusters) {
      if (cluster != 0) clusters.push_back({cluster, number});
    }
    for (const auto page : blob.pages) pages.push_back({page, number});
  };
  take(*super_blob_, 0, "the super blob");
  for (std::size_t i = 0; i < image_.blobs.size(); ++i) {
    const auto& blob = image_.blobs[i];
    const auto name = blob.text("name");
    take(blob, i + 1, name);
    if (blob.fault.empty() && (name.empty() || blob.xattrs.at("name").size() > 64)) {
      problem("blob at page " + std::to_string(blob.id & 0xFFFFFFFF) + " has no proper name");
    }
    if (blob.fault.empty() && blob.text("uuid").size() != 36) problem("'" + name + "' has no uuid");
  }
  image_.used_clusters = count("cluster", std::move(clusters));
  image_.used_pages = count("metadata page", std::move(pages));
}

std::vector<std::uint64_t> Reader::mask(std::uint8_t type, std::uint32_t start, std::uint32_t pages,
                                        std::uint64_t bits) {
  std::vector<std::uint8_t> bytes(std::size_t{pages} * kPage);
  read_(std::uint64_t{start} * kPage, bytes);
  std::vector<std::uint64_t> set;
  if (bytes.size() < 5 + (bits + 7) / 8 || bytes[0] != type || u32(bytes, 1) != bits) {
    problem("mask " + std::to_string(type) + " has a wrong head");
    return set;
  }
  for (std::size_t i = 5; i < bytes.size(); ++i) {
    if (bytes[i] == 0) continue;
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (bytes[i] >> bit & 1) set.push_back((i - 5) * 8 + bit);
    }
  }
  return set;
}

void Reader::check_mask(const char* what, const std::vector<std::uint64_t>& stored,
                        std::vector<std::uint64_t> reachable) {
  std::ranges::sort(reachable);
  const auto twice = std::ranges::unique(reachable);
  reachable.erase(twice.begin(), twice.end());
  if (stored == reachable) return;
  std::string text = std::string("mask of ") + what + " of a clean pool is wrong: at";
  std::vector<std::uint64_t> wrong;
  std::ranges::set_symmetric_difference(stored, reachable, std::back_inserter(wrong));
  for (const auto at : wrong) {
    const bool set = std::ranges::binary_search(stored, at);
    text += " " + std::to_string(at) + (set ? "(set)" : "(clear)");
  }
  problem(text);
}

void Reader::check_masks() {
  std::vector<std::uint64_t> pages, clusters, ids;
  for (std::uint32_t i = 0; i < image_.md_clusters; ++i) clusters.push_back(i);
  auto take = [&](const LvsBlob& blob) {
    ids.push_back(blob.id & 0xFFFFFFFF);
    pages.insert(pages.end(), blob.pages.begin(), blob.pages.end());
    clusters.insert(clusters.end(), blob.clusters.begin(), blob.clusters.end());
  };
  take(*super_blob_);
  for (const auto& blob : image_.blobs) take(blob);
  clusters.push_back(0);  // holes are 0, and so is the super block's cluster
  const ByteView s(super_);
  check_mask("pages", mask(0, u32(s, 32), u32(s, 36), image_.md_len), pages);
  check_mask("clusters", mask(1, u32(s, 40), u32(s, 44), image_.total_clusters), clusters);
  check_mask("blob ids", mask(2, u32(s, 72), u32(s, 76), image_.md_len), ids);
}

LvsImage Reader::run() {
  if (!super()) return std::move(image_);
  load_pages();
  if (image_.state == LvsImage::State::kDirty) restore_shadows();
  for (std::uint32_t at = 0; at < image_.md_len; ++at) {
    if (!is_root(at)) continue;
    auto found = blob(at);
    if (found.id == image_.super_blob) {
      super_blob_ = std::move(found);
    } else {
      image_.blobs.push_back(std::move(found));
    }
  }
  if (!super_blob_) {
    problem("no super blob");
    image_.state = LvsImage::State::kDamaged;
    return std::move(image_);
  }
  image_.name = super_blob_->text("name");
  image_.uuid = super_blob_->text("uuid");
  account();
  if (image_.state == LvsImage::State::kClean) check_masks();
  return std::move(image_);
}

std::string_view cut(const LvsBlob& blob, const std::string& key) {
  const auto found = blob.xattrs.find(key);
  if (found == blob.xattrs.end()) return {};
  return std::string_view(found->second).substr(0, found->second.find('\0'));
}

}  // namespace

std::string LvsBlob::text(const std::string& key) const {
  return std::string(cut(*this, key));
}

std::uint64_t LvsBlob::allocated() const {
  return static_cast<std::uint64_t>(
      std::count_if(clusters.begin(), clusters.end(), [](std::uint32_t c) { return c != 0; }));
}

const LvsBlob* LvsImage::find(const std::string& text) const {
  const auto found = std::find_if(blobs.begin(), blobs.end(),
                                  [&](const LvsBlob& blob) { return cut(blob, "uuid") == text; });
  return found == blobs.end() ? nullptr : &*found;
}

LvsImage read_lvs(const LvsRead& read, std::uint64_t device_bytes) {
  return Reader(read, device_bytes).run();
}

}  // namespace capstan::sim
