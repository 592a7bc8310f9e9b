// Why this file exists: readers of a store take no lock, so whoever replaces something they may be
// looking at (a table of the index, the view of the file) must know when the last of them has left.
// A reader is counted in and out; what is retired is freed once everybody who was inside at that
// time is gone. Counters are striped by key, so that readers on many cores do not meet.
//
// The second part is the publication: changes that belong together become visible together, because
// a reader that comes while they are being made waits for the few nanoseconds this takes.
// Thread-safety: enter() and wait_published() on any thread; the rest on the store's core.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/os_process.h"

namespace capstan::storage::kv {

class ReadGate {
 public:
  static constexpr unsigned kStripes = 16;

  ReadGate() = default;
  ReadGate(const ReadGate&) = delete;
  ReadGate& operator=(const ReadGate&) = delete;
  ~ReadGate() {  // nobody reads any more
    for (auto& free : old_) free();
    for (auto& free : fresh_) free();
  }

  class Section {
   public:
    explicit Section(std::atomic<std::uint64_t>& left) : left_(left) {}
    ~Section() { left_.fetch_add(1); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    std::atomic<std::uint64_t>& left_;
  };

  // What is found inside of the section stays until it ends. Sections are short: no await.
  Section enter(std::uint64_t key_hash) const {
    Stripe& stripe = stripes_[key_hash % kStripes];
    while (true) {
      const unsigned parity = epoch_.load() & 1U;
      stripe.entered[parity].fetch_add(1);
      if ((epoch_.load() & 1U) == parity) return Section(stripe.left[parity]);
      stripe.left[parity].fetch_add(1);  // the epoch ended meanwhile
    }
  }

  // Runs `free` when no reader can be inside that was there before this call.
  void retire(std::move_only_function<void()> free) {
    fresh_.push_back(std::move(free));
    advance();
  }
  // Frees what can be freed. True when nothing is left.
  bool advance() {
    for (int i = 0; i < 2 && !(fresh_.empty() && old_.empty()); ++i) {
      const unsigned epoch = epoch_.load();
      if (!idle((epoch + 1) & 1U)) return false;
      // Nobody of the epoch before is left: what was retired then cannot be seen any more.
      for (auto& free : old_) free();
      old_ = std::exchange(fresh_, {});
      epoch_.store(epoch + 1);
    }
    return fresh_.empty() && old_.empty();
  }
  // How often enter() succeeded or was tried again.
  std::uint64_t entries() const {
    std::uint64_t sum = 0;
    for (const auto& stripe : stripes_) sum += stripe.entered[0] + stripe.entered[1];
    return sum;
  }

  // --- publication ---
  void begin_publication() {
    lock();
    publications_.fetch_add(1);
  }
  void end_publication() {
    publications_.fetch_add(1);
    locked_.store(false, std::memory_order_release);
  }
  // Keeps publications out: for a reader of many keys that was disturbed too often. No await.
  class Hold {
   public:
    explicit Hold(const ReadGate& gate) : gate_(gate) { gate_.lock(); }
    ~Hold() { gate_.locked_.store(false, std::memory_order_release); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    const ReadGate& gate_;
  };
  // Waits while changes are being published; answers which publication was the last.
  std::uint64_t wait_published() const {
    for (unsigned spins = 0;; ++spins) {
      const std::uint64_t seen = publications_.load(std::memory_order_acquire);
      if ((seen & 1U) == 0) return seen;
      if (spins > kSpins) core::yield_thread();  // the publisher's thread was interrupted
    }
  }
  // Whether what was read since wait_published() is of one moment.
  bool unchanged_since(std::uint64_t publication) const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return publications_.load(std::memory_order_relaxed) == publication;
  }

 private:
  static constexpr unsigned kSpins = 100;
  void lock() const {
    for (unsigned spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
      if (spins > kSpins) core::yield_thread();
    }
  }
  struct alignas(64) Stripe {
    std::array<std::atomic<std::uint64_t>, 2> entered{}, left{};
  };
  bool idle(unsigned parity) const {
    std::uint64_t left = 0, entered = 0;
    for (const auto& stripe : stripes_) left += stripe.left[parity].load();
    for (const auto& stripe : stripes_) entered += stripe.entered[parity].load();
    return left == entered;
  }

  mutable std::array<Stripe, kStripes> stripes_;
  std::atomic<unsigned> epoch_{0};
  alignas(64) std::atomic<std::uint64_t> publications_{0};
  mutable std::atomic<bool> locked_{false};
  std::vector<std::move_only_function<void()>> fresh_, old_;
};

}  // namespace capstan::storage::kv
