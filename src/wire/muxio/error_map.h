// Why this file exists: what an Error is on this wire. Muxio knows four statuses and a text, and
// the released clients show the text of status 2 only, so that is what every refusal is: the bare
// message for the DataStore methods, whose texts are part of the protocol, and "CODE: text" for our
// own operations, which our clients turn back into the code.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/muxio/muxio_codec.h"

namespace capstan::wire::muxio {

// The payload of an answer with status kSystemError.
std::string error_payload(const Error& error, bool bare);
// What an answer of any status but kSuccess means.
Error error_of(Status status, std::string_view payload);

}  // namespace capstan::wire::muxio
