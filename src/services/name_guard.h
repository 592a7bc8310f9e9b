// Why this file exists: what holding a name of a table of locks is, for every such table: it goes
// with its owner, may be moved and given back early. `Locks` has unlock(const std::string& name).
// Lifetimes: a guard does not outlive its table. Thread-safety: that of the table.
#pragma once

#include <string>
#include <utility>

namespace capstan::services {

template <class Locks>
class NameGuard {
 public:
  NameGuard() = default;
  NameGuard(Locks* locks, std::string name) : locks_(locks), name_(std::move(name)) {}
  NameGuard(NameGuard&& other) noexcept
      : locks_(std::exchange(other.locks_, nullptr)), name_(std::move(other.name_)) {}
  NameGuard& operator=(NameGuard&& other) noexcept {
    if (this != &other) {
      release();
      locks_ = std::exchange(other.locks_, nullptr);
      name_ = std::move(other.name_);
    }
    return *this;
  }
  ~NameGuard() { release(); }
  void release() {
    if (locks_) std::exchange(locks_, nullptr)->unlock(name_);
  }
  bool owns() const { return locks_ != nullptr; }

 private:
  Locks* locks_ = nullptr;
  std::string name_;
};

}  // namespace capstan::services
