// Why this file exists: what the two halves of grpc_bench share.
#pragma once

#include <string>

#include "core/env.h"

namespace capstan::bench {

inline constexpr char kEcho[] = "grpc.testing.TestService/UnaryCall";
// The first response parameter says the size of a message and, as its interval, how many.
inline constexpr char kStream[] = "grpc.testing.TestService/StreamingOutputCall";
inline constexpr char kListPools[] = "mayastor.v1.PoolRpc/ListPools";

// "HOST:PORT" or "unix:PATH".
core::Address address_of(const std::string& text);
std::string file_text(const std::string& path);
// Serves until SIGTERM, with TLS when there is a folder of certificates; prints "ready".
int serve_on(const std::string& address, const std::string& certificates);

}  // namespace capstan::bench
