// Why this file exists: -l, --log-requests: what this program asks and what it is told, on standard
// error in the form of Octez's client (http-rpc section 14.4): over HTTP a line ">>>>N: URI" with
// the body, then "<<<<N: 200 OK" with the answer, one for each piece of an endless one; on other
// wires the operation stands for the URI and the code's name for the status. Meant for the one who
// runs the program: what it prints is not cut, metadata (tokens) is never in it, and of bytes of
// users (values of stores) only how many there are.
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

// The same over HTTP, for HttpOptions.
std::unique_ptr<client::HttpLog> log_of_http(CallLog& log);

// The event rpc_http_attempt of http-rpc section 15.4, one line on standard error.
void print_attempt(const client::HttpAttempt& attempt);

}  // namespace capstan::apps
