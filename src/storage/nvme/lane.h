// Why this file exists: the way between the core of the devices (home) and another core that runs
// connections. What either side has for the other in one turn of its reactor leaves as one message:
//
//     connections ──► letters of a turn ──► post ──► commands          (to_home)
//     connections ◄── post ◄── letters of a turn ◄── answers           (to_there)
//
// Letters of one direction arrive in the order in which they were written, and after everything
// that was posted before they left. Each direction is touched by the core that sends on it.
// Lifetimes: run() is a task of home and ends after close(); what letters point to is alive until
// they have arrived, which is the business of those who write them (away.h).
#pragma once

#include <cstdint>
#include <vector>

#include "core/env.h"
#include "core/sync.h"
#include "storage/nvme/request.h"

namespace capstan::storage::nvme {

class Away;

struct Letter {
  enum class Kind : std::uint8_t {
    kTake,    // home: a command has come
    kRun,     // home: its data is there
    kAnswer,  // home: it has got `status` without running
    kMemory,  // home: `bytes` of memory are free again
    kAsk,     // there: memory for `bytes` of its data was taken, ask the host for them
    kDone,    // there: it has got `status`; its data takes `bytes` of memory
  };
  Away* away = nullptr;
  Request* request = nullptr;
  Status status = {};
  std::uint32_t bytes = 0;
  Kind kind = Kind::kTake;
};

class Lane {
 public:
  // `core`: the number of `there` as statistics name it.
  Lane(core::Reactor& home, core::Reactor& there, unsigned core);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  core::Reactor& home() const { return home_; }
  core::Reactor& there() const { return there_; }
  unsigned core() const { return core_; }

  // --- at home ---
  core::Task<void> run();
  void close();
  void to_there(Letter letter) { to_there_.write(letter); }
  // Queues connected to it so far, and commands answered.
  struct Use {
    std::uint64_t queues = 0, commands = 0;
  };
  Use& use() { return use_; }
  const Use& use() const { return use_; }

  // --- on the other core ---
  void to_home(Letter letter) { to_home_.write(letter); }
  // Sends what has been written, now.
  void flush_home() { to_home_.flush(); }

 private:
  class Direction {
   public:
    explicit Direction(core::Reactor& to) : to_(to) {}
    void write(Letter letter);
    void flush();
    core::Task<bool> run();
    void close();

   private:
    core::Reactor& to_;
    std::vector<Letter> letters_;
    core::Event wake_;
    bool closing_ = false;
  };
  core::Task<void> run_home();

  core::Reactor& home_;
  core::Reactor& there_;
  unsigned core_;
  Use use_;
  // Far enough apart that the cores do not wait for each other's cache lines.
  alignas(64) Direction to_there_;
  alignas(64) Direction to_home_;
};

}  // namespace capstan::storage::nvme
