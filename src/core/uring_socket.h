// Why this file exists: the door to real sockets; used only by uring_env.cc.
#pragma once

#include <memory>

#include "core/env.h"

namespace capstan::core {
std::unique_ptr<Network> make_uring_network();
}  // namespace capstan::core
