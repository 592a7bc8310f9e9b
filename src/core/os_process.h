// Why this file exists: what the system tells a process about itself, and what a process may ask
// for itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/task.h"

namespace capstan::core {

// The counters of getrusage(2) since the process began.
struct ProcessUsage {
  std::int64_t soft_faults = 0, hard_faults = 0, swaps = 0;
  std::int64_t in_block_ops = 0, out_block_ops = 0;
  std::int64_t ipc_sent = 0, ipc_received = 0, signals = 0;
  std::int64_t voluntary_switches = 0, involuntary_switches = 0;
};
Result<ProcessUsage> process_usage();

// Raises the number of files and sockets this process may have open to what the system allows it
// (the usual default is a fraction of that) and answers it.
Result<std::uint64_t> raise_descriptor_limit();

// Goes on as the program `name` in the folder of this one, with these arguments behind its name;
// returns only when that fails. Before reactors and threads exist.
Error become_sibling(const std::string& name, const std::vector<std::string>& arguments);

// A program in the folder of this one, running as a child of this process. Only the process that
// started it hears of its end. Needs reactors of the real Env.
class ChildProcess {
 public:
  // `arguments` stand behind its name; of the environment it gets `variables` ("NAME=value") alone.
  // It blocks no signals and has this process's standard streams, and as kReadyDescriptor what
  // report_ready() tells. It may run on `cpus`, or, with none, where the calling thread may.
  static Result<std::unique_ptr<ChildProcess>> start(const std::string& name,
                                                     const std::vector<std::string>& arguments,
                                                     const std::vector<std::string>& variables,
                                                     const std::vector<unsigned>& cpus = {});
  // Kills it if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  int pid() const { return pid_; }
  void signal(int number);
  // Whether it has called report_ready(); false once it has ended without. Once.
  Task<bool> ready();
  // How it ended, in words: "exit code 1", "signal 9".
  Task<Result<std::string>> wait();

 private:
  ChildProcess(int pid, int descriptor, int told)
      : pid_(pid), descriptor_(descriptor), told_(told) {}
  int pid_, descriptor_, told_;
  bool ended_ = false;
};

// Tells the process that started this one as a ChildProcess that it does now what it is for. Of a
// process that something else has started nothing comes of it.
inline constexpr int kReadyDescriptor = 3;
void report_ready();

// The environment of this process, as ChildProcess takes it.
std::vector<std::string> environment_variables();

int own_pid();

// From now on SIGTERM comes when `parent`, the process that started this one, ends.
// kFailedPrecondition: it has ended already.
Result<void> end_with_parent(int parent);

// Lets another thread of this core run: for the rare short wait on a thread that was interrupted.
void yield_thread();

}  // namespace capstan::core
