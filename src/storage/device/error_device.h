// Why this file exists: a Device that fails on order, wrapped around one that works. Tests walk
// "fail the n-th operation" over every multi-step change with it, and fault injection puts it under
// a child of a nexus. A failed operation does not reach the wrapped device at all.
//
//     ErrorInjectingDevice device(inner);
//     device.inject({.kinds = {IoKind::kWrite}, .skip = 3, .count = 1});   // the 4th write fails
//     device.inject({.kinds = {IoKind::kRead}, .offset = 0, .length = 4096});  // a bad sector
//     device.inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
//     device.resume_held();                          // reads wait until here
//     device.cut_power(5);                           // the 5th operation and all later ones fail
//
// Counters count what was asked for, failed or not. Thread-safety: the core of the inner device.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/sync.h"
#include "storage/device/device.h"

namespace capstan::storage {

enum class IoKind : std::uint8_t { kRead, kWrite, kFlush, kUnmap, kWriteZeroes };
inline constexpr std::size_t kIoKinds = 5;
std::string_view io_kind_name(IoKind kind);

// One rule. An operation matches when its kind is listed and its range touches the rule's; a flush
// has no range and matches any.
struct InjectedFault {
  static constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();
  enum class Action : std::uint8_t {
    kFail,     // with `code` and `sys_errno`, without reaching the wrapped device
    kHold,     // wait for resume_held(), then go on
    kCorrupt,  // one byte of what is read, or of what is written, becomes another
  };
  std::vector<IoKind> kinds;  // empty: every kind
  std::uint64_t offset = 0;
  std::uint64_t length = kForever;  // from offset; kForever: to the end
  std::uint64_t skip = 0;           // matching operations let through first
  std::uint64_t count = kForever;   // matching operations failed after those
  Code code = Code::kInternal;
  int sys_errno = EIO;
  Action action = Action::kFail;
  std::uint64_t corrupt_offset = 0;  // within the operation's data; beyond its end: nothing
  std::uint8_t corrupt_value = 0;
};

class ErrorInjectingDevice final : public Device {
 public:
  explicit ErrorInjectingDevice(std::shared_ptr<Device> inner);
  // With an identity of its own, as a device beside the wrapped one, which is claimed already and
  // released when nothing uses this one any more.
  ErrorInjectingDevice(std::shared_ptr<Device> inner, std::string name, Uuid uuid);
  ~ErrorInjectingDevice() override {
    if (own_) inner_->release();
  }

  const std::string& name() const override { return own_ ? own_->name : inner_->name(); }
  Uuid uuid() const override { return own_ ? own_->uuid : inner_->uuid(); }
  std::uint32_t block_size() const override { return inner_->block_size(); }
  std::uint64_t num_blocks() const override { return inner_->num_blocks(); }
  std::string_view product() const override {
    return own_ ? "Error Injection Disk" : inner_->product();
  }

  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;

  bool supports_unmap() const override { return inner_->supports_unmap(); }
  bool volatile_cache() const override { return inner_->volatile_cache(); }
  bool atomic_4k() const override { return inner_->atomic_4k(); }
  core::Task<Result<bool>> rescan() override { return inner_->rescan(); }
  core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                    std::uint64_t length) override {
    return inner_->allocated(offset, length);
  }

  // Adds a rule; all rules are looked at for each operation, in order, and the first that fires
  // decides. The number identifies it for fired() and remove().
  std::size_t inject(InjectedFault fault);
  void remove(std::size_t rule);
  std::uint64_t fired(std::size_t rule) const;
  void clear();  // all rules, and the power is back
  void resume_held();
  std::size_t held() const { return held_; }

  // The n-th operation from now (1: the next one) and everything after it fails with EIO.
  void cut_power(std::uint64_t nth = 1);
  // Nothing further gets through.
  bool power_is_off() const { return operations_ >= power_off_after_; }

  std::uint64_t operations() const { return operations_; }
  std::uint64_t operations(IoKind kind) const { return by_kind_[static_cast<std::size_t>(kind)]; }
  std::uint64_t failures() const { return failures_; }
  const std::shared_ptr<Device>& inner() const { return inner_; }

 private:
  struct Rule {
    InjectedFault fault;
    std::uint64_t matched = 0, fired = 0;
    bool active = true;
  };
  struct Own {
    std::string name;
    Uuid uuid;
  };
  struct Corruption {
    std::uint64_t offset = 0;
    std::uint8_t value = 0;
  };
  using Verdict = std::optional<Corruption>;
  // Counts the operation, fails or holds it when a rule says so, or says what to corrupt.
  core::Task<Result<Verdict>> pass(IoKind kind, std::uint64_t offset, std::uint64_t length);
  Result<const InjectedFault*> judge(IoKind kind, std::uint64_t offset, std::uint64_t length);
  core::Task<void> hold();

  std::shared_ptr<Device> inner_;
  std::optional<Own> own_;
  std::vector<Rule> rules_;
  std::array<std::uint64_t, kIoKinds> by_kind_{};
  std::uint64_t operations_ = 0, failures_ = 0;
  std::size_t held_ = 0;
  std::uint64_t resumed_ = 0;  // calls of resume_held()
  core::Event resume_;
  std::uint64_t power_off_after_ = InjectedFault::kForever;  // operations let through
};

}  // namespace capstan::storage
