// Why this file exists: what leaves in one write, of a target or of a host: chunks that were
// waiting in a queue, in order, and where their bytes lie. A Chunk has view() and a Joined
// `joined`, whose memory is used again. Lifetimes: unchanged between take() and forget(); moving it
// moves no bytes. Thread-safety: one core.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "core/env.h"
#include "storage/nvme/joined.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

template <class Chunk>
struct Gathered {
  std::vector<Chunk> chunks;
  std::vector<ByteView> pieces;
  std::size_t bytes = 0, long_bytes = 0;  // of all, of those that were not joined

  // At least one; more as long as they fit into one write.
  void take(std::deque<Chunk>& waiting) {
    do {
      chunks.push_back(std::move(waiting.front()));
      waiting.pop_front();
      bytes += chunks.back().view().size();
      if (chunks.back().joined.empty()) long_bytes += chunks.back().view().size();
    } while (!waiting.empty() && chunks.size() < core::Stream::kPiecesMax &&
             bytes + waiting.front().view().size() <= limits::kOutputWriteBytes);
    // Only now: a short text moves with its chunk.
    for (const Chunk& chunk : chunks) pieces.push_back(chunk.view());
  }
  core::Task<Result<void>> write(core::Stream& stream) const {
    return pieces.size() == 1 ? stream.write(pieces[0]) : stream.write_pieces(pieces);
  }
  // The largest joined memory becomes `spare`.
  void forget(Joined& spare) {
    for (Chunk& chunk : chunks) {
      if (chunk.joined.capacity() <= spare.capacity()) continue;
      chunk.joined.clear();
      spare = std::move(chunk.joined);
    }
    chunks.clear();
    pieces.clear();
    bytes = long_bytes = 0;
  }
};

}  // namespace capstan::storage::nvme
