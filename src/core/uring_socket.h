// Why this file exists: the door to real sockets; used only by uring_env.cc.
#pragma once

#include <memory>

#include "core/env.h"

namespace capstan::core {
// `kept_bytes`: from where on sends of accepted TCP connections need no copy (Stream::kept_bytes).
std::unique_ptr<Network> make_uring_network(std::size_t kept_bytes);
}  // namespace capstan::core
