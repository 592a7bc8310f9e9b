// Why this file exists: the bytes of a store file and nothing else (FORMAT.md beside it): one
// entry, the chain of entries, and which part of a file that was not closed properly is to be
// trusted. It does no I/O: it works on the file as memory.
//
// The format is simd-r-drive's (datastore sections 2 and 3). An entry says where the one before it
// ended, so a file is read from its end; keys are not stored, only their hashes.
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace capstan::storage::kv {

inline constexpr std::uint64_t kMetadataBytes = 20;
inline constexpr std::uint64_t kTombstoneBytes = 21;         // one zero byte, then metadata
inline constexpr std::uint64_t kAlignment = 64;              // of payloads we write
inline constexpr std::uint64_t kFileBytesMax = 1ULL << 48U;  // offsets have 48 bits in an index
inline constexpr std::array<std::uint8_t, 1> kTombstone = {0};

struct Metadata {
  std::uint64_t key_hash = 0;
  std::uint64_t prev_offset = 0;  // the tail before this entry
  std::uint32_t checksum = 0;     // CRC-32 of the payload
  bool operator==(const Metadata&) const = default;
};
Metadata decode_metadata(const std::uint8_t* from);
void encode_metadata(const Metadata& metadata, std::uint8_t* to);

// Zero bytes between a tail and the payload that follows it.
constexpr std::uint64_t padding(std::uint64_t tail, std::uint64_t alignment = kAlignment) {
  return (alignment - tail % alignment) % alignment;
}

// The hash under which a store knows a key: XXH3-64, seed 0.
std::uint64_t hash_of(ByteView key);
// 16 further bits of a key, never 0 and independent of hash_of(): two keys with one hash are told
// apart by them. They are not in the file.
std::uint16_t verifier_of(ByteView key);

// A key inside of a namespace: an ordinary key of 16 bytes (datastore section 10).
std::array<std::uint8_t, 16> namespaced_key(ByteView prefix, ByteView key);

struct Entry {
  std::uint64_t begin = 0;  // of the payload
  std::uint64_t end = 0;    // of the payload; the metadata follows
  bool tombstone = false;
  Metadata metadata;
  std::uint64_t tail() const { return end + kMetadataBytes; }
  std::uint64_t size() const { return end - begin; }
};

// The entry whose payload ends at `end` in a file that is known to be a valid chain.
inline Entry entry_at(const std::uint8_t* file, std::uint64_t end, std::uint64_t alignment) {
  Entry entry;
  entry.end = end;
  entry.metadata = decode_metadata(file + end);
  const std::uint64_t previous = entry.metadata.prev_offset;
  entry.tombstone = end - previous == 1 && file[previous] == 0;
  entry.begin = entry.tombstone ? previous : previous + padding(previous, alignment);
  return entry;
}

// The entry that ends at `tail`, if there can be one: the strict rules of FORMAT.md, "Valid". Its
// checksum is looked at only where the padding or half of the metadata is in doubt.
std::optional<Entry> entry_before(ByteView file, std::uint64_t tail, std::uint64_t alignment);
bool checksum_right(ByteView file, const Entry& entry);
// Whether a damaged value looks like one that a power cut tore: what a 512-byte sector of the file
// has of the payload is all zeros, as what never arrived reads. Else a bit of it rotted.
bool looks_torn(ByteView file, const Entry& entry);

// What a file is.
struct Recovery {
  enum class Kind : std::uint8_t {
    kClean,    // all of it is a store of the current format (also an empty file)
    kOld,      // a store of an older format (up to `tail`); it must not be written
    kTorn,     // the bytes behind `tail` are what a crash left of writes
    kForeign,  // nothing in it is an entry: a torn first write, or no store at all
    // Too much of it looks like entries that prove wrong: what a crash left cannot be told from
    // what was there, so nothing may be cut off.
    kUndecided,
  };
  Kind kind = Kind::kClean;
  std::uint64_t tail = 0;
  std::uint64_t alignment = kAlignment;
  std::uint64_t entries = 0;  // in the chain that ends at `tail`, tombstones included
  bool sound_end = false;  // kTorn: the file's last entry is undamaged, something before it is not
};
Recovery recover(ByteView file);

}  // namespace capstan::storage::kv
