// Why this file exists: a store is opened from whatever a file holds. Whatever the bytes: no crash,
// no read outside of the file, what recovery accepts can be walked to the beginning, a recovered
// tail is accepted at once the next time, and cutting never takes an entry that was whole, in
// whatever format.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/checksum.h"
#include "storage/kv/kv_codec.h"

namespace {

using namespace capstan;
using namespace capstan::storage::kv;

// Entries in front of the input, so that it is also tried as a tail.
std::vector<std::uint8_t> with_entries(ByteView input, unsigned entries, std::uint64_t alignment) {
  std::vector<std::uint8_t> file;
  for (unsigned i = 0; i < entries; ++i) {
    const std::uint64_t tail = file.size();
    file.resize(tail + padding(tail, alignment));
    const std::uint64_t begin = file.size();
    file.insert(file.end(), 10 + i, static_cast<std::uint8_t>('a' + i));
    const std::uint64_t end = file.size();
    file.resize(end + kMetadataBytes);
    const ByteView payload(file.data() + begin, end - begin);
    encode_metadata({hash_of(payload), tail, crc32(payload)}, file.data() + end);
  }
  file.insert(file.end(), input.begin(), input.end());
  return file;
}

void walk(ByteView file, const Recovery& found) {
  std::uint64_t entries = 0;
  for (std::uint64_t tail = found.tail; tail != 0; ++entries) {
    const auto entry = entry_before(file, tail, found.alignment);
    CAPSTAN_ASSERT(entry && entry->begin < entry->end && entry->tail() == tail);
    CAPSTAN_ASSERT(entry->metadata.prev_offset < tail);
    (void)checksum_right(file, *entry);
    tail = entry->metadata.prev_offset;
  }
  CAPSTAN_ASSERT(entries == found.entries);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  const auto plain = recover(input);
  CAPSTAN_ASSERT(plain.tail <= size);
  walk(input, plain);
  const auto again = recover(input.first(plain.tail));
  CAPSTAN_ASSERT(again.tail == plain.tail);
  if (size == 0) return 0;
  const unsigned entries = 2 + input.front() % 3;
  for (const std::uint64_t alignment : {64U, 16U, 1U}) {
    const auto file = with_entries(input.subspan(1), entries, alignment);
    const auto found = recover(file);
    walk(file, found);
    CAPSTAN_ASSERT(found.tail >= file.size() - (size - 1));
  }
  return 0;
}
