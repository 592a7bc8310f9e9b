// Why this file exists: the real environment: io_uring files and sockets, one reactor per core, the
// system's clock and random numbers. Made in main(); everything else sees core::Env.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "core/env.h"
#include "core/uring_reactor.h"

namespace capstan::core {

struct UringOptions {
  unsigned cores = 1;
  int poll_us = 20;  // see UringReactor::create
  Reactor::StallObserver on_stall;
  // Core i, with the threads that the kernel gives its ring, runs on CPU cpus[i] alone; empty: all
  // run where the system puts them. The system must have them (core/os_thread.h). Kernels
  // before 6.2 keep their own threads to the memory node of that CPU only.
  std::vector<unsigned> cpus = {};
  // From so many bytes on a write that may keep its memory goes without a copy on accepted TCP
  // connections, where kernel and network can do that; SIZE_MAX: never.
  std::size_t zero_copy_bytes = limits::kZeroCopySendBytes;
};

class UringEnv final : public Env {
 public:
  // Fails with one clear line when the kernel refuses io_uring.
  static Result<std::unique_ptr<UringEnv>> create(UringOptions options);
  ~UringEnv() override;

  // Runs `task` on core 0, which is the calling thread, until it is complete; the other cores run
  // beside it on threads of their own.
  void run(Task<void> task);

  std::uint64_t wall_clock_ns() const override;
  void fill_random(MutableBytes out) override;
  FileSystem& files() override { return *files_; }
  Network& network() override { return *network_; }
  unsigned cores() const override { return static_cast<unsigned>(1 + others_.size()); }
  Reactor& reactor(unsigned core) override;

  static std::uint64_t wall_clock(const void*);  // in the form core::Log takes

 private:
  struct Core;
  UringEnv();
  static Result<void> start(Core& core, unsigned number, const UringOptions& options);
  std::unique_ptr<UringReactor> main_;
  std::vector<std::unique_ptr<Core>> others_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Network> network_;
};

}  // namespace capstan::core
