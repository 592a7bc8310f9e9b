// Why this file exists: see stacked_device.h.
#include "storage/device/stacked_device.h"

#include "storage/device/io_timer.h"

namespace capstan::storage {

Result<std::shared_ptr<StackedDevice>> StackedDevice::make(std::shared_ptr<Device> below,
                                                           std::string name, Uuid uuid) {
  TRY(below->claim(name));
  return std::shared_ptr<StackedDevice>(new StackedDevice(std::move(below), std::move(name), uuid));
}

core::Task<Result<void>> StackedDevice::enter(std::uint64_t offset, std::uint64_t length,
                                              bool write) {
  CO_TRY(check_range(offset, length));
  const core::Nanos wait = delay(write);
  if (wait != 0) CO_TRY(co_await core::sleep_for(wait));
  co_return {};
}

core::Task<Result<void>> StackedDevice::read(std::uint64_t offset, MutableBytes into) {
  const IoTimer timer;
  CO_TRY(co_await enter(offset, into.size(), false));
  CO_TRY(co_await below_->read(offset, into));
  timer.done(stats().read, into.size());
  co_return {};
}

core::Task<Result<void>> StackedDevice::write(std::uint64_t offset, ByteView from) {
  const IoTimer timer;
  CO_TRY(co_await enter(offset, from.size(), true));
  CO_TRY(co_await below_->write(offset, from));
  timer.done(stats().write, from.size());
  co_return {};
}

core::Task<Result<void>> StackedDevice::flush() {
  CO_TRY(check_range(0, 0));
  co_return co_await below_->flush();
}

core::Task<Result<void>> StackedDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await enter(offset, length, true));
  CO_TRY(co_await below_->unmap(offset, length));
  timer.done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> StackedDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await enter(offset, length, true));
  CO_TRY(co_await below_->write_zeroes(offset, length));
  timer.done(stats().write, length);
  co_return {};
}

Result<std::shared_ptr<DelayDevice>> DelayDevice::make(std::shared_ptr<Device> below,
                                                       std::string name, Uuid uuid,
                                                       Latencies latencies) {
  TRY(below->claim(name));
  return std::shared_ptr<DelayDevice>(
      new DelayDevice(std::move(below), std::move(name), uuid, latencies));
}

core::Nanos DelayDevice::delay(bool write) {
  const bool slow = (write ? ++writes_ : ++reads_) % 100 == 0;
  if (write) return slow ? latencies_.p99_write : latencies_.average_write;
  return slow ? latencies_.p99_read : latencies_.average_read;
}

}  // namespace capstan::storage
