// Why this file exists: group commit. A barrier makes everything that was completed before it
// durable; while one flush is in flight, everyone who needs the next one waits for the same next
// one (lvs-format section 14.1). A failed flush is final: the kernel may have dropped the data, so
// a later success would be a lie.
// Thread-safety: one core.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/sync.h"
#include "core/task.h"
#include "storage/device/device.h"
#include "storage/pool/request_watch.h"

namespace capstan::storage::lvs {

class Barrier {
 public:
  Barrier(Device& device, RequestWatch& watch) : device_(device), watch_(watch) {}

  // Everything completed before this call is on stable storage afterwards.
  core::Task<Result<void>> pass();
  // Runs `action` once everything completed before this call is durable (at the latest with the
  // next barrier that somebody asks for). Dropped when a barrier fails.
  void after(std::move_only_function<void()> action);
  bool has_actions() const { return !actions_.empty(); }
  const std::optional<Error>& failure() const { return failure_; }
  std::uint64_t flushes() const { return started_; }

 private:
  Device& device_;
  RequestWatch& watch_;
  std::uint64_t started_ = 0, finished_ = 0;
  bool running_ = false;
  core::Event changed_;
  std::optional<Error> failure_;
  std::vector<std::move_only_function<void()>> actions_;
};

}  // namespace capstan::storage::lvs
