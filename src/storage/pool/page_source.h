// Why this file exists: metadata pages are read in large requests, many in flight, instead of one
// by one (lvs-format section 16). A PageSource is the loader's read-only window on the metadata
// region; it lives only during a load and keeps limits::kPoolScanKeptPages pages, no matter how
// many there are.
// Thread-safety: one core; at most one call in progress.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/task.h"
#include "storage/device/device.h"
#include "storage/pool/layout.h"
#include "storage/pool/lvs_codec.h"

namespace capstan::storage::lvs {

class PageSource {
 public:
  PageSource(Device& device, const Geometry& geometry) : device_(device), geometry_(geometry) {}

  // Reads what is not there yet; afterwards page() answers for all of them. Numbers < md_len.
  core::Task<Result<void>> prefetch(std::vector<std::uint32_t> numbers);
  ByteView page(std::uint32_t number) const;
  // Replaces what the device holds (a page restored from its shadow), until the end.
  void replace(std::uint32_t number, const Page& page);
  // Drops what was read when there is much of it. Views of page() end here.
  void trim();

  // What a pass over the whole region found, ascending.
  struct Scan {
    std::vector<std::uint32_t> roots;       // valid, at their own place
    std::vector<std::uint32_t> torn_roots;  // checksum wrong, but the id is that of the place
    std::vector<std::uint32_t> shadows;     // valid shadow pages
  };
  core::Task<Result<Scan>> scan();

 private:
  struct Span {
    std::uint32_t first, count;
  };
  static core::Task<void> read_span(PageSource* self, Span span, Result<void>* result);
  struct ScanRead;
  static core::Task<void> read_ahead(PageSource* self, ScanRead* read);
  void look_at(std::uint32_t number, ByteView page, Scan& scan);
  core::Task<Result<void>> read_spans(std::vector<Span> spans);
  void keep(std::uint32_t number, ByteView page);
  std::uint32_t pages_per_read() const;

  Device& device_;
  Geometry geometry_;
  std::unordered_map<std::uint32_t, std::unique_ptr<Page>> pages_, replaced_;
};

}  // namespace capstan::storage::lvs
