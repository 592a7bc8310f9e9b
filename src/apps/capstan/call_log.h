// Why this file exists: -l, --log-requests: what this program asks and what it is told, on standard
// error in the form of Octez's client (http-rpc section 14.4), whatever the wire: a line ">>>>N:"
// with the operation and its request, then "<<<<N:" with the code and the answer, one for each
// message of a stream. Meant for the one who runs the program: what it prints is not cut, and
// metadata (tokens) is never in it.
#pragma once

#include <memory>

#include "client/remote.h"

namespace capstan::apps {

// Numbers the calls of the program; outlives the remotes.
struct CallLog {
  unsigned next = 0;
};
std::unique_ptr<client::Remote> logging_remote(std::unique_ptr<client::Remote> remote,
                                               CallLog& log);

// The event rpc_http_attempt of http-rpc section 15.4, one line on standard error.
void print_attempt(const client::HttpAttempt& attempt);

}  // namespace capstan::apps
