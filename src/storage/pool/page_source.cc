// Why this file exists: the reads of a pool load (page_source.h): runs of neighbouring pages become
// one request of up to a MiB, a window of requests is in flight, all-zero pages cost no checksum.
#include "storage/pool/page_source.h"

#include <algorithm>

#include "base/limits.h"
#include "core/buffer.h"
#include "core/reactor.h"
#include "core/scope.h"

namespace capstan::storage::lvs {

std::uint32_t PageSource::pages_per_read() const {
  return static_cast<std::uint32_t>(limits::kPoolScanReadBytes / geometry_.page_stride);
}

void PageSource::keep(std::uint32_t number, ByteView page) {
  auto& slot = pages_[number];
  slot = std::make_unique<Page>();
  std::ranges::copy(page.first(kPageBytes), slot->begin());
}

ByteView PageSource::page(std::uint32_t number) const {
  if (auto replaced = replaced_.find(number); replaced != replaced_.end()) return *replaced->second;
  auto found = pages_.find(number);
  CAPSTAN_ASSERT(found != pages_.end());
  return *found->second;
}

void PageSource::replace(std::uint32_t number, const Page& page) {
  replaced_[number] = std::make_unique<Page>(page);
}

void PageSource::trim() {
  if (pages_.size() > limits::kPoolScanKeptPages) pages_.clear();
}

core::Task<void> PageSource::read_span(PageSource* self, Span span, Result<void>* result) {
  const std::size_t stride = self->geometry_.page_stride;
  core::Buffer buffer(span.count * stride);
  *result = co_await self->device_.read(self->geometry_.md_page(span.first), buffer.bytes());
  if (!*result) co_return;
  for (std::uint32_t i = 0; i < span.count; ++i)
    self->keep(span.first + i, buffer.view().subspan(i * stride, kPageBytes));
}

core::Task<Result<void>> PageSource::read_spans(std::vector<Span> spans) {
  Result<void> first_error;
  for (std::size_t at = 0; at < spans.size() && first_error; at += limits::kPoolLoadReadsInFlight) {
    const std::size_t count = std::min(spans.size() - at, limits::kPoolLoadReadsInFlight);
    std::vector<Result<void>> results(count);
    core::Scope scope;
    for (std::size_t i = 0; i < count; ++i)
      scope.spawn(read_span(this, spans[at + i], &results[i]));
    co_await scope.join();
    for (Result<void>& result : results) {
      if (!result && first_error) first_error = std::move(result);
    }
  }
  co_return first_error;
}

core::Task<Result<void>> PageSource::prefetch(std::vector<std::uint32_t> numbers) {
  std::ranges::sort(numbers);
  std::vector<Span> spans;
  for (std::uint32_t number : numbers) {
    CAPSTAN_ASSERT(number < geometry_.md_len);
    if (pages_.contains(number)) continue;
    if (!spans.empty() && number < spans.back().first + spans.back().count) continue;
    if (!spans.empty() && number == spans.back().first + spans.back().count &&
        spans.back().count < pages_per_read())
      ++spans.back().count;
    else
      spans.push_back({number, 1});
  }
  co_return co_await read_spans(std::move(spans));
}

struct PageSource::ScanRead {
  core::Buffer buffer{limits::kPoolScanReadBytes};
  std::uint32_t first = 0, count = 0;
  Result<void> result;
};

core::Task<void> PageSource::read_ahead(PageSource* self, ScanRead* read) {
  const std::size_t bytes = std::size_t{read->count} * self->geometry_.page_stride;
  read->result = co_await self->device_.read(self->geometry_.md_page(read->first),
                                             read->buffer.bytes().first(bytes));
}

void PageSource::look_at(std::uint32_t number, ByteView page, Scan& scan) {
  if (all_zero(page)) return;
  const PageHeader header = page_header(page);
  const bool own_place = header.id == blob_id_of(number) && header.sequence == 0;
  if (!checksum_matches(page)) {
    if (own_place) scan.torn_roots.push_back(number);
    return;
  }
  if (header.sequence & kShadowBit)
    scan.shadows.push_back(number);
  else if (own_place)
    scan.roots.push_back(number);
  if (pages_.size() < limits::kPoolScanKeptPages) keep(number, page);
}

core::Task<Result<PageSource::Scan>> PageSource::scan() {
  Scan scan;
  std::vector<ScanRead> reads(limits::kPoolScanReadsInFlight);
  for (std::uint32_t next = 0; next < geometry_.md_len;) {
    core::Scope scope;
    for (ScanRead& read : reads) {
      read.first = next;
      read.count = std::min(pages_per_read(), geometry_.md_len - next);
      next += read.count;
      if (read.count != 0) scope.spawn(read_ahead(this, &read));
    }
    co_await scope.join();
    for (ScanRead& read : reads) {
      if (read.count == 0) continue;
      CO_TRY(std::move(read.result));
      for (std::uint32_t i = 0; i < read.count; ++i) {
        const std::size_t at = std::size_t{i} * geometry_.page_stride;
        look_at(read.first + i, read.buffer.view().subspan(at, kPageBytes), scan);
      }
      co_await core::yield();
    }
  }
  co_return scan;
}

}  // namespace capstan::storage::lvs
