// Why this file exists: what coroutines of one core wait for besides I/O: an event, a lock, a
// bounded queue. Waiters are served first come, first served, always through the reactor's ready
// queue, so waking never recurses. Guards release in their destructor and may be held across
// awaits: that is what they are for.
// Thread-safety: one core.
#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "core/cancel.h"
#include "core/reactor.h"
#include "core/task.h"

namespace capstan::core {

// A level: wait() returns while it is set. notify_all() wakes the present waiters without setting.
class Event {
 public:
  ~Event() { CAPSTAN_ASSERT(waiters_.empty()); }
  void set() {
    set_ = true;
    notify_all();
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  void notify_all() {
    if (waiters_.empty()) return;
    for (auto waiter : waiters_) Reactor::current()->make_ready(waiter);
    waiters_.clear();  // nobody has run yet; whoever waits again finds the memory there
  }
  struct Wait {
    Event& event;
    bool await_ready() const noexcept { return event.set_; }
    void await_suspend(std::coroutine_handle<> handle) { event.waiters_.push_back(handle); }
    void await_resume() const noexcept {}
  };
  Wait wait() { return Wait{*this}; }
  std::size_t waiters() const { return waiters_.size(); }

 private:
  bool set_ = false;
  std::vector<Suspended> waiters_;
};

// A readers-writer lock, FIFO between both kinds. lock() / lock_shared() are awaited and give a
// Guard; try_lock() and try_lock_shared() give one or nothing. Who waits is linked through the
// frames that wait, so a lock costs 32 bytes and no allocation.
class SharedMutex {
 public:
  class Guard {
   public:
    Guard() = default;
    Guard(SharedMutex* mutex, bool shared) : mutex_(mutex), shared_(shared) {}
    Guard(Guard&& other) noexcept
        : mutex_(std::exchange(other.mutex_, nullptr)), shared_(other.shared_) {}
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) {
        release();
        mutex_ = std::exchange(other.mutex_, nullptr);
        shared_ = other.shared_;
      }
      return *this;
    }
    ~Guard() { release(); }
    void release() {
      if (mutex_) std::exchange(mutex_, nullptr)->unlock(shared_);
    }
    bool owns() const { return mutex_ != nullptr; }

   private:
    SharedMutex* mutex_ = nullptr;
    bool shared_ = false;
  };

  SharedMutex() = default;
  ~SharedMutex() { CAPSTAN_ASSERT(!first_ && readers_ == 0 && !writer_); }
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  struct Acquire {
    SharedMutex& mutex;
    bool shared;
    Suspended suspended = {};
    Acquire* next = nullptr;
    bool await_ready() const { return !mutex.first_ && mutex.take(shared); }
    void await_suspend(std::coroutine_handle<> handle) {
      suspended = Suspended(handle);
      (mutex.first_ ? mutex.last_->next : mutex.first_) = this;
      mutex.last_ = this;
    }
    Guard await_resume() const { return Guard(&mutex, shared); }
  };
  Acquire lock() { return {*this, false}; }
  Acquire lock_shared() { return {*this, true}; }
  std::optional<Guard> try_lock() { return attempt(false); }
  std::optional<Guard> try_lock_shared() { return attempt(true); }
  bool busy() const { return writer_ || readers_ != 0; }

 private:
  std::optional<Guard> attempt(bool shared) {
    if (first_ || !take(shared)) return std::nullopt;
    return Guard(this, shared);
  }
  bool take(bool shared) {
    if (writer_ || (!shared && readers_ != 0)) return false;
    shared ? void(++readers_) : void(writer_ = true);
    return true;
  }
  void unlock(bool shared) {
    shared ? void(--readers_) : void(writer_ = false);
    while (first_ && take(first_->shared)) {
      const Acquire* woken = first_;
      first_ = woken->next;  // before the frame that it stands in goes on
      Reactor::current()->make_ready(woken->suspended);
    }
  }
  std::size_t readers_ = 0;
  bool writer_ = false;
  Acquire* first_ = nullptr;  // the longest waiting, and from there on by age
  Acquire* last_ = nullptr;   // meaningless while nobody waits
};

// A plain lock is a SharedMutex of which only lock() is used.
using Mutex = SharedMutex;

// A bounded queue. push() suspends while it is full, pop() while it is empty; close() lets pop()
// drain what is left and then answer nothing, and makes push() answer false.
template <class T>
class Queue {
 public:
  explicit Queue(std::size_t capacity) : capacity_(capacity) {}

  Task<bool> push(T value) {
    while (!closed_ && items_.size() >= capacity_) co_await changed_.wait();
    if (closed_) co_return false;
    items_.push_back(std::move(value));
    changed_.notify_all();
    co_return true;
  }
  bool try_push(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    changed_.notify_all();
    return true;
  }
  Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) co_await changed_.wait();
    co_return try_pop();
  }
  std::optional<T> try_pop() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    changed_.notify_all();
    return value;
  }
  void close() {
    closed_ = true;
    changed_.notify_all();
  }
  bool closed() const { return closed_; }
  std::size_t size() const { return items_.size(); }
  bool full() const { return items_.size() >= capacity_; }

 private:
  std::size_t capacity_;
  std::deque<T> items_;
  bool closed_ = false;
  Event changed_;
};

}  // namespace capstan::core
