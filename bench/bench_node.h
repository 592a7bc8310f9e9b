// Why this file exists: a real node for benchmarks of whole calls: io-engine from the folder of the
// benchmark itself, with its sockets in a folder of its own, a fresh port, and its CPU time as the
// scheduler counted it. Ended and removed by the destructor.
// What does not work ends the program: a benchmark has nobody to report an error to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace capstan::bench {

// A program that was built beside the benchmark; ended by the destructor, and with the benchmark.
class BenchProcess {
 public:
  // `prepare` runs in the new process before the program does.
  BenchProcess(const std::string& program, const std::vector<std::string>& arguments,
               const std::string& log, void (*prepare)() = nullptr);
  ~BenchProcess();
  BenchProcess(const BenchProcess&) = delete;
  BenchProcess& operator=(const BenchProcess&) = delete;

  bool ended() const;
  // Of all its threads since the start, in microseconds.
  double cpu_us() const;
  double resident_bytes() const;
  pid_t pid() const { return child_; }

 private:
  pid_t child_ = 0;
};

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
  std::string gateway_socket() const { return path("gateway.sock"); }
  std::uint16_t port() const { return port_; }
  double cpu_us() const { return process_->cpu_us(); }
  const BenchProcess& process() const { return *process_; }

 private:
  std::string folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<BenchProcess> process_;
};

// A TCP port of this machine that nobody listens on, below those that connections are given.
std::uint16_t free_port();
// A gateway before a node; ends before it does.
class BenchGateway {
 public:
  // Returns when it answers from its mirror.
  explicit BenchGateway(const BenchNode& node, const std::vector<std::string>& flags = {},
                        void (*prepare)() = nullptr);
  std::uint16_t port() const { return port_; }
  const BenchProcess& process() const { return process_; }

 private:
  std::uint16_t port_;
  BenchProcess process_;
};

// What does not work ends the program.
[[noreturn]] void give_up(const std::string& why);

double now_us();
double median(std::vector<double> values);
// A blocking connection to a Unix stream socket; negative when there is none.
int connect_stream(const std::string& path);
// The same to a port of this machine, which must be there.
int connect_port(std::uint16_t port);
// All of a request, on a blocking connection.
void send_all(int socket, const std::string& text);
// As many as the system lets this process have.
void raise_descriptor_limit();
// A JSON-RPC call on a connection of its own, which must succeed; `params` is a JSON text.
void must_call(const BenchNode& node, const std::string& method, const std::string& params);
// In memory.
void make_pool(const BenchNode& node, const std::string& name, int mebibytes);
void make_replica(const BenchNode& node, const std::string& pool, const std::string& uuid,
                  std::uint64_t bytes, bool thin);
// Sends one JSON text and takes the answer up to its newline into `into`; false when the peer is
// gone. The answer stands in `into` from the front.
bool ask(int socket, const std::string& request, std::string& into);

}  // namespace capstan::bench
