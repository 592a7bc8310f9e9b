// Why this file exists: standard input and output as something a coroutine awaits, for programs in
// a pipe (`capstan image export r1 - | gzip`). They may be pipes, terminals or files; positions are
// those of the stream itself, so `>>` appends and a partly read input goes on where it was.
// Only on a UringReactor; one operation at a time on each.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "core/cancel.h"
#include "core/task.h"

namespace capstan::core {

// Both may wait for the other program as long as it likes; the token ends that with its error.

// Reads until `into` is full or the input ends; answers the bytes read.
Task<Result<std::size_t>> read_standard_input(MutableBytes into, CancelToken token = {});
// All bytes, or an error; a reader that left is kUnavailable with EPIPE.
Task<Result<void>> write_standard_output(ByteView from, CancelToken token = {});

}  // namespace capstan::core
