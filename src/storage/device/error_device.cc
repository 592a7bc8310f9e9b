// Why this file exists: see error_device.h.
#include "storage/device/error_device.h"

#include <algorithm>

#include "base/assert.h"
#include "storage/device/io_timer.h"

namespace capstan::storage {
namespace {

bool matches(const InjectedFault& fault, IoKind kind, std::uint64_t offset, std::uint64_t length) {
  if (!fault.kinds.empty() && std::ranges::find(fault.kinds, kind) == fault.kinds.end()) {
    return false;
  }
  if (kind == IoKind::kFlush) return true;
  const bool starts_before_end =
      fault.length == InjectedFault::kForever || offset < fault.offset + fault.length;
  return starts_before_end && offset + length > fault.offset;
}

}  // namespace

std::string_view io_kind_name(IoKind kind) {
  static constexpr std::array<std::string_view, kIoKinds> kNames = {"read", "write", "flush",
                                                                    "unmap", "write_zeroes"};
  return kNames[static_cast<std::size_t>(kind)];
}

ErrorInjectingDevice::ErrorInjectingDevice(std::shared_ptr<Device> inner)
    : inner_(std::move(inner)) {
  CAPSTAN_ASSERT(inner_ != nullptr);
}

ErrorInjectingDevice::ErrorInjectingDevice(std::shared_ptr<Device> inner, std::string name,
                                           Uuid uuid)
    : ErrorInjectingDevice(std::move(inner)) {
  own_ = Own{std::move(name), uuid};
}

std::size_t ErrorInjectingDevice::inject(InjectedFault fault) {
  rules_.push_back({std::move(fault), 0, 0, true});
  return rules_.size() - 1;
}

void ErrorInjectingDevice::remove(std::size_t rule) {
  rules_.at(rule).active = false;
}

std::uint64_t ErrorInjectingDevice::fired(std::size_t rule) const {
  return rules_.at(rule).fired;
}

void ErrorInjectingDevice::clear() {
  for (Rule& rule : rules_) rule.active = false;
  power_off_after_ = InjectedFault::kForever;
}

void ErrorInjectingDevice::cut_power(std::uint64_t nth) {
  CAPSTAN_ASSERT(nth >= 1);
  power_off_after_ = operations_ + nth - 1;
}

void ErrorInjectingDevice::resume_held() {
  ++resumed_;
  resume_.notify_all();
}

core::Task<void> ErrorInjectingDevice::hold() {
  ++held_;
  for (const auto seen = resumed_; seen == resumed_;) co_await resume_.wait();
  --held_;
}

Result<const InjectedFault*> ErrorInjectingDevice::judge(IoKind kind, std::uint64_t offset,
                                                         std::uint64_t length) {
  const bool off = power_is_off();
  ++operations_;
  ++by_kind_[static_cast<std::size_t>(kind)];
  const auto what = [&] {
    return "device '" + name() + "': " + std::string(io_kind_name(kind)) + " of " +
           std::to_string(length) + " bytes at " + std::to_string(offset);
  };
  if (off) {
    ++failures_;
    return fail(Code::kInternal, what() + ": the power is off (injected)", EIO);
  }
  for (Rule& rule : rules_) {
    if (!rule.active || !matches(rule.fault, kind, offset, length)) continue;
    ++rule.matched;
    if (rule.matched <= rule.fault.skip || rule.fired >= rule.fault.count) continue;
    ++rule.fired;
    if (rule.fault.action != InjectedFault::Action::kFail) return &rule.fault;
    ++failures_;
    return fail(rule.fault.code, what() + ": injected fault", rule.fault.sys_errno);
  }
  return nullptr;
}

core::Task<Result<ErrorInjectingDevice::Verdict>> ErrorInjectingDevice::pass(IoKind kind,
                                                                             std::uint64_t offset,
                                                                             std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  CO_TRY_SET(const InjectedFault* fault, judge(kind, offset, length));
  if (!fault) co_return Verdict();
  if (fault->action == InjectedFault::Action::kCorrupt) {
    co_return Verdict(Corruption{fault->corrupt_offset, fault->corrupt_value});
  }
  co_await hold();
  CO_TRY(check_range(offset, length));  // it may be gone by now
  co_return Verdict();
}

core::Task<Result<void>> ErrorInjectingDevice::read(std::uint64_t offset, MutableBytes into) {
  const IoTimer timer;
  CO_TRY_SET(const Verdict corruption, co_await pass(IoKind::kRead, offset, into.size()));
  CO_TRY(co_await inner_->read(offset, into));
  if (corruption && corruption->offset < into.size()) into[corruption->offset] = corruption->value;
  timer.done(stats().read, into.size());
  co_return {};
}

core::Task<Result<void>> ErrorInjectingDevice::write(std::uint64_t offset, ByteView from) {
  const IoTimer timer;
  CO_TRY_SET(const Verdict corruption, co_await pass(IoKind::kWrite, offset, from.size()));
  if (corruption && corruption->offset < from.size()) {
    std::vector<std::uint8_t> changed(from.begin(), from.end());
    changed[corruption->offset] = corruption->value;
    CO_TRY(co_await inner_->write(offset, changed));
  } else {
    CO_TRY(co_await inner_->write(offset, from));
  }
  timer.done(stats().write, from.size());
  co_return {};
}

core::Task<Result<void>> ErrorInjectingDevice::flush() {
  CO_TRY(co_await pass(IoKind::kFlush, 0, 0));
  co_return co_await inner_->flush();
}

core::Task<Result<void>> ErrorInjectingDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await pass(IoKind::kUnmap, offset, length));
  CO_TRY(co_await inner_->unmap(offset, length));
  timer.done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> ErrorInjectingDevice::write_zeroes(std::uint64_t offset,
                                                            std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await pass(IoKind::kWriteZeroes, offset, length));
  CO_TRY(co_await inner_->write_zeroes(offset, length));
  timer.done(stats().write, length);
  co_return {};
}

}  // namespace capstan::storage
