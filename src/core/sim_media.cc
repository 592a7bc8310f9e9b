// Why this file exists: the cache model of sim_media.h. The shapes of a power failure are chosen
// per cut, because independent coin flips alone almost never produce the cases that break storage
// code: everything but one write there, only the last write there, whole writes out of order.
#include "core/sim_media.h"

#include <algorithm>

namespace capstan::core {

namespace {
constexpr std::size_t kPendingMax = 8192;  // older changes reach the medium by themselves
}

void SparseBytes::read(std::uint64_t offset, MutableBytes into) const {
  for (auto page = pages_.lower_bound(offset / kPage); !into.empty();) {
    const std::uint64_t in_page = offset % kPage;
    const auto part =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPage - in_page, into.size()));
    if (page == pages_.end() || page->first != offset / kPage) {
      std::memset(into.data(), 0, part);
    } else {
      std::memcpy(into.data(), page->second->data() + in_page, part);
      ++page;
    }
    offset += part;
    into = into.subspan(part);
  }
}

void SparseBytes::write(std::uint64_t offset, ByteView from) {
  while (!from.empty()) {
    const std::uint64_t in_page = offset % kPage;
    const auto part =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPage - in_page, from.size()));
    auto& page = pages_[offset / kPage];
    if (!page) page = part == kPage ? std::make_unique_for_overwrite<Page>() : new_page();
    std::memcpy(page->data() + in_page, from.data(), part);
    offset += part;
    from = from.subspan(part);
  }
}

std::unique_ptr<SparseBytes::Page> SparseBytes::new_page() {
  auto page = std::make_unique_for_overwrite<Page>();
  page->fill(0);
  return page;
}

void SparseBytes::zero(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  auto page = pages_.lower_bound(offset / kPage);
  while (page != pages_.end() && page->first * kPage < end) {
    const std::uint64_t start = page->first * kPage;
    const std::uint64_t from = std::max(offset, start), to = std::min(end, start + kPage);
    if (to - from == kPage) {
      page = pages_.erase(page);
      continue;
    }
    std::memset(page->second->data() + (from - start), 0, static_cast<std::size_t>(to - from));
    ++page;
  }
}

void SparseBytes::zero_from(std::uint64_t offset) {
  if (offset % kPage != 0) zero(offset, kPage - offset % kPage);
  pages_.erase(pages_.lower_bound((offset + kPage - 1) / kPage), pages_.end());
}

void SparseBytes::copy_range(const SparseBytes& other, std::uint64_t offset, std::uint64_t length) {
  zero(offset, length);
  const std::uint64_t end = offset + length;
  for (auto page = other.pages_.lower_bound(offset / kPage);
       page != other.pages_.end() && page->first * kPage < end; ++page) {
    const std::uint64_t start = page->first * kPage;
    const std::uint64_t from = std::max(offset, start), to = std::min(end, start + kPage);
    write(from, ByteView(*page->second).subspan(from - start, to - from));
  }
}

void SimMedia::apply_to(SparseBytes& image, std::uint64_t& size, const SimChange& change) {
  switch (change.kind) {
    case SimChange::Kind::kWrite:
      image.write(change.offset, change.data);
      size = std::max(size, change.offset + change.length);
      break;
    case SimChange::Kind::kZero:
      image.zero(change.offset, change.length);
      size = std::max(size, change.offset + change.length);
      break;
    case SimChange::Kind::kResize:
      if (change.length < size) image.zero_from(change.length);
      size = change.length;
      break;
  }
}

void SimMedia::add_mirror(MutableBytes mirror) {
  current_.read(0, mirror.first(static_cast<std::size_t>(std::min(size_, mirror.size()))));
  mirrors_.push_back(mirror);
}

void SimMedia::remove_mirror(const std::uint8_t* data) {
  std::erase_if(mirrors_, [data](const MutableBytes& mirror) { return mirror.data() == data; });
}

void SimMedia::update_mirrors(const SimChange& change, std::uint64_t old_size) {
  const bool resize = change.kind == SimChange::Kind::kResize;
  const std::uint64_t from = resize ? change.length : change.offset;
  const std::uint64_t to = resize ? old_size : change.offset + change.length;
  for (const auto& mirror : mirrors_) {
    const std::uint64_t end = std::min<std::uint64_t>(to, mirror.size());
    if (from >= end) continue;
    current_.read(
        from, mirror.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(end - from)));
  }
}

void SimMedia::apply(SimChange change) {
  const std::uint64_t old_size = size_;
  apply_to(current_, size_, change);
  update_mirrors(change, old_size);
  pending_.push_back(std::move(change));
  if (!cached_) {
    sync_to(last_change());
  } else if (pending_.size() > kPendingMax) {
    sync_to(first_pending_ + kPendingMax / 2);
  }
}

void SimMedia::put(std::uint64_t offset, ByteView bytes) {
  sync_to(last_change());
  const std::uint64_t old_size = size_;
  current_.write(offset, bytes);
  durable_.write(offset, bytes);
  size_ = std::max(size_, offset + bytes.size());
  durable_size_ = std::max(durable_size_, size_);
  update_mirrors({SimChange::Kind::kWrite, offset, bytes.size(), {}}, old_size);
}

void SimMedia::sync_to(std::uint64_t change) {
  while (first_pending_ < change && !pending_.empty()) {
    apply_to(durable_, durable_size_, pending_.front());
    pending_.pop_front();
    ++first_pending_;
  }
}

void SimMedia::apply_torn(SimRandom& random, const SimChange& change) {
  if (change.kind == SimChange::Kind::kResize) return;
  for (std::uint64_t at = change.offset; at < change.offset + change.length;) {
    const std::uint64_t end = std::min((at / unit_ + 1) * unit_, change.offset + change.length);
    if (random.chance(50)) {
      SimChange part{change.kind, at, end - at, {}};
      if (change.kind == SimChange::Kind::kWrite) {
        const auto* data = change.data.data() + (at - change.offset);
        part.data.assign(data, data + (end - at));
      }
      apply(std::move(part));
    }
    at = end;
  }
}

void SimMedia::survive(const SimChange& change, SimRandom& random, unsigned percent) {
  if (percent == 0) return;
  if (percent >= 100 || change.kind == SimChange::Kind::kResize) {
    if (percent >= 100 || random.chance(percent)) apply_to(durable_, durable_size_, change);
    return;
  }
  for (std::uint64_t at = change.offset; at < change.offset + change.length;) {
    const std::uint64_t end = std::min((at / unit_ + 1) * unit_, change.offset + change.length);
    if (random.chance(percent)) {
      if (change.kind == SimChange::Kind::kWrite) {
        durable_.write(at, ByteView(change.data).subspan(at - change.offset, end - at));
      } else {
        durable_.zero(at, end - at);
      }
      durable_size_ = std::max(durable_size_, end);
    }
    at = end;
  }
}

void SimMedia::power_failed(SimRandom& random, std::vector<SimChange> in_flight) {
  std::vector<SimChange> changes(std::make_move_iterator(pending_.begin()),
                                 std::make_move_iterator(pending_.end()));
  first_pending_ += pending_.size();
  pending_.clear();
  const std::size_t completed = cached_ ? changes.size() : 0;
  for (std::size_t i = in_flight.size(); i > 1; --i) {
    std::swap(in_flight[i - 1], in_flight[random.below(i)]);
  }
  std::move(in_flight.begin(), in_flight.end(), std::back_inserter(changes));

  enum Shape : std::uint64_t {
    kNone,
    kAll,
    kPrefix,
    kSuffix,
    kAllButOne,
    kOnlyOne,
    kWhole,
    kTornFew,
    kTornHalf,
    kTornMost,
    kCompletedOnly,
    kShapes
  };
  const auto shape = static_cast<Shape>(random.below(kShapes));
  const std::size_t chosen = changes.empty() ? 0 : random.below(changes.size());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    unsigned percent = 0;
    switch (shape) {
      case kNone: break;
      case kAll: percent = 100; break;
      case kPrefix: percent = i < chosen ? 100 : i == chosen ? 50 : 0; break;
      case kSuffix: percent = i > chosen ? 100 : i == chosen ? 50 : 0; break;
      case kAllButOne: percent = i == chosen ? 0 : 100; break;
      case kOnlyOne: percent = i == chosen ? 100 : 0; break;
      case kWhole: percent = random.chance(50) ? 100 : 0; break;
      case kTornFew: percent = 10; break;
      case kTornHalf: percent = 50; break;
      case kTornMost: percent = 90; break;
      case kCompletedOnly: percent = i < completed ? 100 : 50; break;
      case kShapes: break;
    }
    survive(changes[i], random, percent);
  }
  for (const auto& change : changes) {
    if (change.kind != SimChange::Kind::kResize) {
      current_.copy_range(durable_, change.offset, change.length);
    }
  }
  if (size_ != durable_size_) {  // sizes differ only in files, which are small
    current_ = SparseBytes();
    durable_.zero_from(durable_size_);
    current_.copy_range(durable_, 0, durable_size_);
    size_ = durable_size_;
  }
}

}  // namespace capstan::core
