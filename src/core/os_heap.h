// Why this file exists: what a process asks of its heap.
#pragma once

namespace capstan::core {

// Keeps freed memory up to a bound, blocks of a few MiB included, instead of giving it back to the
// system and taking it again, page by page and zeroed, for the next message of that size: that was
// more than half of what a message of 64 KiB cost. Before threads exist.
void keep_freed_memory();

}  // namespace capstan::core
