// Why this file exists: replica I/O for benchmarks of what something else takes from it. Three
// processes read a replica of a node again and again with ExportImage over gRPC. They must cost
// next to nothing, or one measures them instead of the node: they look at the heads of HTTP/2
// frames and let the kernel throw the data away. The pool is in memory, so that the node and not a
// disk is what limits.
//
// The machine's cores are divided: the node has the first one for itself, readers and everybody
// else share the second. What does not work ends the program.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "bench/bench_node.h"

namespace capstan::bench {

inline constexpr int kNodesCore = 0, kClientsCore = 1;
// The process and those that it starts from now on.
void stay_on(int core);
// Behind the readers; with a real-time policy (chrt -r N, N of 2 or more), which keeps the other
// programs of a busy machine out of it, at the lowest priority of that.
void be_nice();

// A pool and in it a replica full of data.
void make_export(const BenchNode& node);

class Readers {
 public:
  explicit Readers(std::uint16_t port);
  ~Readers();
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;
  // They are all at work.
  void check();
  std::uint64_t bytes() const { return *bytes_; }

 private:
  static constexpr int kReaders = 3;
  std::atomic<std::uint64_t>* bytes_ = nullptr;
  pid_t children_[kReaders] = {};
};

struct Window {
  double rate = 0;  // megabytes per second
  double cpu = 0;   // of the node, in microseconds for each megabyte, calls of clients included
  double busy = 0;  // of the node, share of the time
};
Window measure_window(const BenchNode& node, Readers& readers);

struct Series {
  std::vector<double> rates, cpu, busy;
  void add(const Window& window);
  // Without the end of the line.
  void print(const char* what) const;
};

}  // namespace capstan::bench
