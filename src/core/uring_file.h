// Why this file exists: the door to real files and disks; used only by uring_env.cc.
#pragma once

#include <memory>

#include "core/env.h"

namespace capstan::core {
std::unique_ptr<FileSystem> make_uring_files();
}  // namespace capstan::core
