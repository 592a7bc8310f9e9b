// Why this file exists: the one place where DAOS's error numbers and our codes meet. A reply of
// this node carries both (api/drpc/reply.proto); the numbers are those of drpc section 10, negated.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace capstan::wire::drpc {

// -1005 for kNotFound, 0 for kOk. No two codes share a number.
std::int32_t drpc_status_number(Code code);
// What a peer's reply says; 0 is kOk, an unknown number kUnknown.
Code drpc_code_of_status(std::int32_t status);

}  // namespace capstan::wire::drpc
