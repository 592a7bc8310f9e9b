// Why this file exists: see list_load.h.
#include "bench/list_load.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "bench/bench_node.h"
#include "bench/export_readers.h"

namespace capstan::bench {

namespace {

constexpr int kEvents = 256;
constexpr double kSliceMs = 20, kPatienceMs = 30'000;
constexpr std::size_t kEdgeBytes = 16;  // enough to see the status and the last chunk

}  // namespace

ListLoad::ListLoad(std::uint16_t port, std::size_t parallel)
    : port_(port), poller_(epoll_create1(EPOLL_CLOEXEC)), slots_(parallel) {
  for (std::size_t i = 0; i < parallel; ++i) free_.push_back(i);
}

ListLoad::~ListLoad() {
  for (const auto& slot : slots_) {
    if (slot.socket >= 0) close(slot.socket);
  }
  close(poller_);
}

void ListLoad::begin(std::size_t at) {
  Slot& slot = slots_[at];
  slot.head.clear();
  slot.tail.clear();
  slot.socket = connect_port(port_);
  send_all(slot.socket, "GET /pools HTTP/1.1\r\nHost: bench\r\n\r\n");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = at;
  epoll_ctl(poller_, EPOLL_CTL_ADD, slot.socket, &event);
}

void ListLoad::read(std::size_t at) {
  Slot& slot = slots_[at];
  char buffer[1U << 16];
  const ssize_t got = recv(slot.socket, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got > 0) {
    const std::string_view bytes(buffer, static_cast<std::size_t>(got));
    slot.head.append(bytes.substr(0, kEdgeBytes - std::min(slot.head.size(), kEdgeBytes)));
    slot.tail.append(bytes.substr(bytes.size() - std::min(bytes.size(), kEdgeBytes)));
    slot.tail.erase(0, slot.tail.size() - std::min(slot.tail.size(), kEdgeBytes));
    return;
  }
  close(slot.socket);
  slot.socket = -1;
  free_.push_back(at);
  ++answered;
  if (!slot.head.starts_with("HTTP/1.1 200 ") || !slot.tail.ends_with("\r\n0\r\n\r\n")) ++wrong;
}

void ListLoad::listen(int timeout) {
  epoll_event events[kEvents];
  const int count = epoll_wait(poller_, events, kEvents, timeout);
  for (int i = 0; i < count; ++i) read(events[i].data.u64);
}

void ListLoad::run(double milliseconds, double rate) {
  const double begun = now_us(), end = begun + milliseconds * 1000;
  double due = 0;
  for (double now = begun; now < end; now = now_us()) {
    due = rate == 0 ? static_cast<double>(free_.size()) : due;
    const double late = rate == 0 ? due : (now - begun) * rate / 1e6 - due;
    for (int i = 0; i < static_cast<int>(late) && !free_.empty(); ++i) {
      const std::size_t at = free_.back();
      free_.pop_back();
      begin(at);
      due += rate == 0 ? 0 : 1;
    }
    listen(1);
  }
}

void ListLoad::drain() {
  const double end = now_us() + kPatienceMs * 1000;
  while (free_.size() != slots_.size()) {
    if (now_us() > end) give_up("lists are not answered");
    listen(10);
  }
}

// --- ListProcess ---------------------------------------------------------------------------------

ListProcess::ListProcess(std::uint16_t port, std::size_t parallel) {
  void* memory =
      mmap(nullptr, sizeof *shared_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) give_up("no shared memory");
  shared_ = new (memory) Shared;
  child_ = fork();
  if (child_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  stay_on(kClientsCore);
  be_nice();
  ListLoad load(port, parallel);
  while (true) {
    if (!shared_->on) {
      load.drain();
      shared_->busy = false;
      poll(nullptr, 0, 1);
      continue;
    }
    shared_->busy = true;
    load.run(kSliceMs, 0);
    shared_->answered = load.answered;
    shared_->wrong = load.wrong;
  }
}

ListProcess::~ListProcess() {
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

void ListProcess::stop() {
  shared_->on = false;
  while (shared_->busy) {
    if (waitpid(child_, nullptr, WNOHANG) != 0) give_up("the process that lists is gone");
    poll(nullptr, 0, 1);
  }
}

}  // namespace capstan::bench
