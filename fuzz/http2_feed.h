// What the fuzz targets of HTTP/2 sessions have in common: bytes of a peer in pieces, time that
// goes on between them, and the end that every session comes to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>

#include "base/assert.h"
#include "wire/http2/http2_session.h"

namespace capstan::fuzz {

inline constexpr std::size_t kHttp2CollectBytes = 1U << 20;

// The first byte of `input` says how large the pieces of the rest are. `good`: whether the session
// is alive so far. `open`: the application's streams, all of which the session must have closed.
// `read` gets what the session sends.
template <class Read>
void feed_http2(wire::Http2Session& session, ByteView input, bool good,
                const std::set<wire::Http2Stream*>& open, Read read) {
  wire::ByteQueue out;
  const std::size_t part = input[0] + 1U;
  ByteView rest = input.subspan(1);
  for (std::uint64_t now = 1; good && !rest.empty(); now += 1'000'000) {
    const auto piece = rest.first(std::min(part, rest.size()));
    rest = rest.subspan(piece.size());
    good = session.receive(piece, now).has_value();
    out.clear();
    good = session.collect(out, kHttp2CollectBytes).has_value() && good;
    read(out.view());
  }
  session.abandon(wire::Http2Error::kCancel);
  CAPSTAN_ASSERT(open.empty() && session.open_streams() == 0);
}

}  // namespace capstan::fuzz
