// Why this file exists: what only real sockets have and few need, without a place in core/env.h.
#pragma once

#include "core/env.h"

namespace capstan::core {

// Whatever arrives on a TCP connection is acknowledged at once instead of with the next answer or
// 40 ms later. For peers that send one request in several writes with Nagle's algorithm on: their
// later writes wait for the acknowledgement of the first. Does nothing on other streams.
void acknowledge_at_once(Stream& stream);
// The stream is going to be used, or closed, on another core than this one, which has used it.
// While nobody reads or writes.
void leave_core(Stream& stream);

}  // namespace capstan::core
