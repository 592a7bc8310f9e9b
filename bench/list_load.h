// Why this file exists: clients that list pools over HTTP/1.1, each list on a connection of its
// own, because a server ends the connection after an answer in pieces. One thread and one epoll.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace capstan::bench {

class ListLoad {
 public:
  // At most `parallel` at a time.
  ListLoad(std::uint16_t port, std::size_t parallel);
  ~ListLoad();
  ListLoad(const ListLoad&) = delete;
  ListLoad& operator=(const ListLoad&) = delete;

  // For so long; `rate` lists in a second, 0: as many as are answered.
  void run(double milliseconds, double rate);
  // Until those under way are answered.
  void drain();
  // Answered; and of those not with a whole list.
  std::uint64_t answered = 0, wrong = 0;

 private:
  struct Slot {
    int socket = -1;
    std::string head, tail;  // the first and the last bytes of the answer
  };
  void begin(std::size_t at);
  void listen(int timeout);
  void read(std::size_t at);

  std::uint16_t port_;
  int poller_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;
};

// The same as a process of its own, nice, on the core of the clients, switched on and off.
class ListProcess {
 public:
  ListProcess(std::uint16_t port, std::size_t parallel);
  ~ListProcess();
  ListProcess(const ListProcess&) = delete;
  ListProcess& operator=(const ListProcess&) = delete;

  void start() { shared_->on = true; }
  // Returns when nothing is under way.
  void stop();
  std::uint64_t answered() const { return shared_->answered; }
  std::uint64_t wrong() const { return shared_->wrong; }

 private:
  struct Shared {
    std::atomic<bool> on{false}, busy{false};
    std::atomic<std::uint64_t> answered{0}, wrong{0};
  };
  Shared* shared_ = nullptr;
  pid_t child_ = 0;
};

}  // namespace capstan::bench
