// Why this file exists: a real node for benchmarks of whole calls: io-engine from the folder of the
// benchmark itself, with its sockets in a folder of its own, a fresh port, and its CPU time as the
// scheduler counted it. Ended and removed by the destructor.
// What does not work ends the program: a benchmark has nobody to report an error to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace capstan::bench {

class BenchNode {
 public:
  // `flags` follow the ones for sockets, port and state. Returns when the node answers.
  explicit BenchNode(const std::vector<std::string>& flags = {});
  ~BenchNode();
  BenchNode(const BenchNode&) = delete;
  BenchNode& operator=(const BenchNode&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string rpc_socket() const { return path("rpc.sock"); }
  std::string drpc_socket() const { return path("rpc-drpc.sock"); }
  std::uint16_t port() const { return port_; }
  // Of all its threads since the start, in microseconds.
  double cpu_us() const;

 private:
  std::string folder_;
  pid_t child_ = 0;
  std::uint16_t port_ = 0;
};

// A TCP port of this machine that nobody listens on, below those that connections are given.
std::uint16_t free_port();
double now_us();
double median(std::vector<double> values);
// A blocking connection to a Unix stream socket.
int connect_stream(const std::string& path);
// Sends one JSON text and takes the answer up to its newline into `into`; false when the peer is
// gone. The answer stands in `into` from the front.
bool ask(int socket, const std::string& request, std::string& into);

}  // namespace capstan::bench
