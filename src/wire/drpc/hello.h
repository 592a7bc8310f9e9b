// Why this file exists: module 0, method 0, the greeting that DAOS's own test tools call to see
// whether a server speaks dRPC (drpc section 13).
#pragma once

#include <memory>

#include "wire/drpc/module.h"

namespace capstan::wire::drpc {

std::unique_ptr<Module> make_hello_module();

}  // namespace capstan::wire::drpc
