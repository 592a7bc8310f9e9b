// Why this file exists: a port that speaks gRPC may be asked plain HTTP over the same HTTP/2
// connection. Whoever answers such requests is a guest of the connection: it gets the events of its
// streams and nothing else. Adapters do not know each other, so this is only the place at the
// table. Thread-safety: one core.
#pragma once

#include <functional>
#include <memory>

#include "core/env.h"
#include "core/task.h"
#include "wire/http2/http2_session.h"

namespace capstan::wire {

class Guest : public Http2Events {
 public:
  // Endless answers end; the others may.
  virtual void drain() = 0;
  // Every call is cancelled.
  virtual void abort() = 0;
  // Until the last call has ended; the connection's streams are closed by then.
  virtual core::Task<void> join() = 0;
  virtual std::size_t calls_in_flight() const = 0;
};

// Made for one connection; everything given outlives the guest. `wake`: there is output to send.
using GuestFactory = std::function<std::unique_ptr<Guest>(
    Http2Session& http2, const core::PeerInfo& peer, std::function<void()> wake)>;

}  // namespace capstan::wire
