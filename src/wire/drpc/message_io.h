// Why this file exists: whole messages over a packet socket, the same for servers and clients. A
// message of one packet is read where the packet lies; the chunks of a longer one are received
// straight into its place, header apart. Sending gathers header and body from where they are.
//
// Memory: one packet buffer for each reader, and a message buffer that grows with what has
// arrived, not with what a header promises.
// Thread-safety: one core.
#pragma once

#include <optional>
#include <span>

#include "core/env.h"
#include "wire/drpc/drpc_codec.h"
#include "wire/drpc/memory.h"

namespace capstan::wire::drpc {

class MessageReader {
 public:
  // `framing` kUndecided: the first packet decides. The socket outlives the reader; `budget`, if
  // any, too.
  MessageReader(core::PacketSocket& socket, Framing framing, std::size_t message_bytes_max,
                MemoryBudget* budget)
      : socket_(socket),
        framing_(framing),
        limit_(message_bytes_max),
        message_(budget),
        budget_(budget) {}

  // The next message, valid until the next call; nothing at the end of the connection. After an
  // error the connection is of no further use.
  core::Task<Result<std::optional<ByteView>>> next();
  // No packet of the next message has arrived.
  bool waiting() const { return waiting_; }
  Framing framing() const { return framing_; }
  // Hands the message that next() gave on; `part` is within it.
  Body take(ByteView part);

 private:
  Result<void> prepare();
  core::Task<Result<ByteView>> chunked(ByteView first);
  Result<void> grow(const ChunkSequence& sequence);

  core::PacketSocket& socket_;
  Framing framing_;
  std::size_t limit_;
  Memory packet_, message_;
  MemoryBudget* budget_;
  bool waiting_ = false;
};

// Sends one message made of the parts (at most kMessageParts, which live until it returns). In the
// legacy framing it is one packet, for which the socket's buffer is enlarged when needed.
inline constexpr std::size_t kMessageParts = core::PacketSocket::kPartsMax - 1;
core::Task<Result<void>> send_message(core::PacketSocket& socket, bool legacy,
                                      std::span<const ByteView> parts);

}  // namespace capstan::wire::drpc
