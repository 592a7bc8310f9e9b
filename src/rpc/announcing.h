// Why this file exists: the wires show a client that its endless answer has begun, also when there
// is nothing to say yet. Once that is shown, an error cannot be the answer any more. Whoever
// answers with somebody else's words, as a gateway does, holds this back until that one has begun.
//
// A sink that announces derives from this publicly, and from MessageSink, too: it is found with
// dynamic_cast. Thread-safety: one core. Lifetimes: as those of rpc/directory.h.
#pragma once

namespace capstan::rpc {

class Announcing {
 public:
  virtual ~Announcing() = default;
  // Nothing is announced before release_announcement(). Before the handler takes its request.
  virtual void hold_announcement() = 0;
  // The handler waits for something to tell, with call.metadata.initial as it leaves.
  virtual void release_announcement() = 0;
};

}  // namespace capstan::rpc
