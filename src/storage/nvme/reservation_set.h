// Why this file exists: the reservation of a namespace that is being served: its present state, the
// order of changes, and where it is kept through power loss. A change is tried on a copy and made
// durable before anybody sees it, so a host that has an answer can rely on it.
//
// Lifetimes: shared by a namespace and the commands that run on it. Thread-safety: one core.
#pragma once

#include <memory>
#include <string>

#include "base/uuid.h"
#include "core/env.h"
#include "core/sync.h"
#include "storage/nvme/reservations.h"

namespace capstan::storage::nvme {

// A file of the form in PROTOCOL.md. Nothing is there until a host asks for persistence.
struct ReservationFile {
  core::FileSystem* files = nullptr;  // null: reservations end with the process
  std::string path;
  Uuid device;
};

class ReservationSet {
 public:
  explicit ReservationSet(ReservationFile file) : file_(std::move(file)) {}

  bool durable() const { return file_.files != nullptr; }
  const std::string& path() const { return file_.path; }
  // False until load() has succeeded; always true without a file.
  bool loaded() const { return loaded_ || !durable(); }
  // Reads the file, once. While it cannot be read nobody may use the namespace: it says who may.
  core::Task<Result<void>> load();

  const Reservations& state() const { return state_; }
  // Held from looking at the state to commit().
  core::Mutex& turn() { return turn_; }
  // Makes `wanted` durable where that was asked for, then the state.
  core::Task<Result<void>> commit(Reservations wanted);

 private:
  ReservationFile file_;
  Reservations state_;
  bool loaded_ = false;
  core::Mutex turn_;
};

// Removes such a file; one that is not there is no error.
core::Task<Result<void>> remove_reservation_file(core::FileSystem& files, std::string path);

}  // namespace capstan::storage::nvme
