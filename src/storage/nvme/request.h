// Why this file exists: one command from its capsule to its completion, as the connection, the
// controller and the I/O commands see it, and what they may ask of the queue that it came over.
// Requests belong to their connection, which uses them again. Thread-safety: one core at a time: a
// connection that runs on another core lends them to the core of the devices (away.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/task.h"
#include "storage/device/device.h"
#include "storage/nvme/budget.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

struct Request {
  enum class State : std::uint8_t {
    kFree,
    kWaiting,    // for memory
    kReceiving,  // data that was asked for with R2T
    kDraining,   // the same, but the command has been answered already (Abort)
    kRunning,
    kHeld,  // an Asynchronous Event Request
  };
  Command command;
  State state = State::kFree;
  static constexpr std::size_t kNotActive = SIZE_MAX;
  std::uint16_t tag = 0;              // of R2T; position in the table, from 1
  std::size_t position = kNotActive;  // among the commands that await an answer
  bool bad_digest = false;
  bool lent = false;        // to the devices' core: until it is back, its connection looks at this,
                            // `tag` and `position` only
  bool aborted = false;     // while kWaiting
  core::Buffer data;        // of either direction
  std::size_t data_at = 0;  // where data begins in it; headers go in front
  ByteView borrowed;        // data still in the read buffer, until own_data()
  bool may_borrow = false;  // `loans`: its connection gains by that
  std::vector<Loan> loans;  // data to the host that lies in its device, in place of `data`
  std::uint32_t length = 0;              // of the data
  std::uint32_t received = 0;            // of `length`, by H2CData
  std::uint32_t dword0 = 0, dword1 = 0;  // of the completion
  Budget::Share share;
  // The other half of a fused pair, once both have come. For the devices' core to follow, while
  // both are there: a half that was lost is used for something else.
  Request* partner = nullptr;

  // Where data of the host lies, borrowed or not.
  ByteView content() { return borrowed.empty() ? payload() : borrowed; }
  // What is borrowed, in memory of its own.
  void own_data();
  MutableBytes payload() { return data.bytes().subspan(data_at, length); }
  // Memory for `bytes` of data, with room for headers in front and behind when that saves a copy.
  void allocate(std::uint32_t bytes);
  // `bytes` of data to the host from where the device has them; false when it does not lend them,
  // or a copy is cheaper.
  bool borrow(Device& device, std::uint64_t offset, std::uint32_t bytes);
  // Memory for data to the host, filled with `content` and zeros.
  void reply(std::uint32_t bytes, ByteView content);
};

// A connected queue pair, as its controller sees it.
class Queue {
 public:
  virtual ~Queue() = default;
  // Ends the connection; nothing further is sent.
  virtual void end(std::string reason) = 0;
  // Answers a request of this queue.
  virtual void complete(Request& request, Status status) = 0;
  // Forgets a held request without an answer.
  virtual void drop(Request& request) = 0;
  // Ends a command that does not run; false when there is none of that id or it runs. The queue
  // stays until this has returned.
  virtual core::Task<bool> abort(std::uint16_t command) = 0;
};

}  // namespace capstan::storage::nvme
