// Why this file exists: which store a command means that was given none. The node's first one,
// which every wire but HTTP says by leaving the name out; over HTTP the name is a part of the path,
// so the node is asked for it.
#pragma once

#include <string>

#include "apps/capstan/command.h"
#include "apps/capstan/session.h"

namespace capstan::apps {

// What the request's field `store` must be for --store as it was given. kNotFound: the node has no
// store.
core::Task<Result<std::string>> store_name(Session& session, const Arguments& arguments);

}  // namespace capstan::apps
