// Why this file exists: what an HTTP/1.1 peer may send, in bytes (http-rpc section 5.1).
#pragma once

#include <cstddef>

namespace capstan::limits {

inline constexpr std::size_t kHttp1LineBytes = 8U << 10;     // the request line
inline constexpr std::size_t kHttp1HeaderBytes = 64U << 10;  // request line and headers
inline constexpr std::size_t kHttp1ChunkLineBytes = 1024;    // a chunk's size and extensions
inline constexpr std::size_t kHttp1TrailerBytes = 8U << 10;  // after the last chunk

}  // namespace capstan::limits
