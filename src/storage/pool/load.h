// Why this file exists: what a pool looks like on its device, found out without writing a byte
// (lvs-format section 11). Clean stores are read through their masks, all others by one pass over
// the metadata region. What a crash left behind is resolved in memory (recover.h); what has to be
// written for it is noted here and written by Store before its first change.
// Thread-safety: plain values; load_image runs on the device's core.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/task.h"
#include "storage/device/device.h"
#include "storage/pool/blob.h"
#include "storage/pool/layout.h"

namespace capstan::storage::lvs {

// When the metadata of a blob has to be written anew: maps before the markers that explain them.
enum class Rewrite : std::uint8_t { kNone, kFirst, kSecond };

struct BlobEntry {
  Blob blob;
  std::string fault;                      // why it cannot be used; empty = usable
  bool unreadable = false;                // its map is not known
  std::vector<std::uint32_t> disk_pages;  // every page that the disk names for it
  Rewrite rewrite = Rewrite::kNone;
  // The blob that must be repaired before this one may lose the marker that explains the repair.
  std::optional<std::uint64_t> depends_on = {};
};

struct StoreImage {
  SuperBlock super;
  Geometry geometry;
  bool dirty = false;       // masks were not used
  bool super_torn = false;  // the super block itself must be rewritten
  std::string name;
  Uuid uuid;
  std::map<std::uint64_t, BlobEntry> blobs;  // by id; the super blob included
  std::size_t damaged = 0;                   // how many of them could not be read
  std::uint64_t map_groups = 0;              // of 512 clusters, in the maps of all of them

  // Work for the first change, in this order.
  std::map<std::uint32_t, Page> restored;      // roots taken from their shadows
  std::vector<std::uint32_t> shadow_pages;     // to be zeroed, so that they can never win later
  std::vector<std::uint32_t> dead_roots;       // of blobs that recovery discarded
  std::vector<std::uint32_t> discarded_pages;  // reserved until the dead roots are gone

  // The masks of a clean store. Where blobs are unreadable, what they use is only known here.
  std::optional<Bitmap> mask_pages, mask_clusters;
  std::vector<std::string> notes;  // what recovery did, for the log

  bool has_repairs() const;
};

// What is wrong with a pool, for whoever checks one that no node has open (tools, tests).
struct Finding {
  enum class Kind : std::uint8_t {
    kDamage,  // a volume that cannot be used, or a pool whose masks would give its space away
    kRepair,  // found and put right in memory; the disk has it after the next repair
    kLeak,    // marked used, though nothing reaches it: space lost until the next repair
  } kind;
  std::string text;
};
std::vector<Finding> find_problems(const StoreImage& image);

// kNotFound: no signature. kDataLoss: damaged, the text says what. Errors of the device pass.
core::Task<Result<StoreImage>> load_image(Device& device);

}  // namespace capstan::storage::lvs
