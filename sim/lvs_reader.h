// Why this file exists: a second opinion. This reader implements lvs-format sections 3-7, 11 and
// 14.7 from the text alone and shares no code with src/storage/pool, so a mistake in the pool's
// idea of the format cannot hide itself. It reads whole images, changes nothing, and lists every
// rule that the image breaks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace capstan::sim {

struct LvsBlob {
  std::uint64_t id = 0;
  bool thin = false, read_only = false;
  std::map<std::string, std::string> xattrs, internal;  // raw values
  std::vector<std::uint32_t> clusters;                  // by index; 0 = hole
  std::vector<std::uint32_t> pages;                     // root, chain, extent pages
  std::size_t chain_pages = 0;                          // how many of them are root and chain
  std::string fault;                                    // why it cannot be read; empty when it can

  std::string text(const std::string& key) const;  // an attribute cut at its first NUL
  std::uint64_t allocated() const;
};

struct LvsImage {
  enum class State { kAbsent, kDamaged, kDirty, kClean } state = State::kAbsent;
  std::uint32_t cluster_size = 0, md_start = 0, md_len = 0, md_clusters = 0, io_unit_size = 0;
  std::uint64_t total_clusters = 0, super_blob = 0;
  std::uint32_t masks_start = 0;      // the first page of any mask; they end at md_start
  std::vector<LvsBlob> blobs;         // without the super blob
  std::string name, uuid;             // of the pool
  std::uint64_t used_clusters = 0;    // data clusters reachable from blobs
  std::uint64_t used_pages = 0;       // metadata pages reachable, the super blob's included
  std::uint64_t shadow_pages = 0;     // copies of roots, whether they count or not
  std::vector<std::string> problems;  // broken rules, empty for a sound image

  const LvsBlob* find(const std::string& uuid) const;
};

// `read` fills a buffer from a byte offset of the device.
using LvsRead = std::function<void(std::uint64_t offset, MutableBytes into)>;
LvsImage read_lvs(const LvsRead& read, std::uint64_t device_bytes);

}  // namespace capstan::sim
