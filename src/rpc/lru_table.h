// Why this file exists: what is remembered of clients must be bounded, and cost the same for ten as
// for a million of them: a table by text of at most `capacity` entries, where the one that was used
// longest ago makes room. Finding does not allocate.
// Thread-safety: one core.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/assert.h"

namespace capstan::rpc {

template <class Value>
class LruTable {
 public:
  explicit LruTable(std::size_t capacity) : capacity_(capacity) { CAPSTAN_ASSERT(capacity > 0); }
  LruTable(const LruTable&) = delete;
  LruTable& operator=(const LruTable&) = delete;

  // Null when it is not there; else it is the most recently used one now. Valid until the next put.
  Value* find(std::string_view key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }
  // Adds what find() did not find.
  Value& put(std::string_view key, Value value) {
    CAPSTAN_ASSERT(!index_.contains(key));
    if (entries_.size() == capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
      ++evicted_;
    }
    entries_.emplace_front(std::string(key), std::move(value));
    index_.emplace(entries_.front().first, entries_.begin());
    return entries_.front().second;
  }
  void clear() {
    index_.clear();
    entries_.clear();
  }
  std::size_t size() const { return entries_.size(); }
  std::size_t evicted() const { return evicted_; }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;  // the most recently used first
  const std::size_t capacity_;
  Entries entries_;
  std::unordered_map<std::string_view, typename Entries::iterator> index_;  // views of the keys
  std::size_t evicted_ = 0;
};

}  // namespace capstan::rpc
