// Why this file exists: the head of a request as a call over HTTP sends it: the request line, what
// the answer may be in, the deadline, and metadata as headers. No I/O.
#pragma once

#include <string>

#include "base/result.h"
#include "client/channel.h"
#include "wire/rest/negotiation.h"
#include "wire/rest/request_writer.h"

namespace capstan::client {

// Metadata as whole lines. kUnimplemented for what a header cannot carry.
Result<std::string> header_lines(const MetadataList& metadata);

// What answers may be in, with Octez's preferences (http-rpc sections 7.1 and 15.1).
std::string accept_header(const wire::rest::MediaTypes& media);

// With the empty line. `stream`: the body comes in chunks; else its length is said. The deadline is
// what is left of it now.
Result<std::string> http_head(const ChannelOptions& channel, const CallOptions& call,
                              const std::string& accept, const wire::rest::OutgoingRequest& request,
                              bool stream);

}  // namespace capstan::client
