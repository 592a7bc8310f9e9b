// Why this file exists: from the global flags to the options of a channel: address, name look-up,
// certificates. Runs before the reactor does, because name look-up and files block.
#pragma once

#include "apps/capstan/command.h"
#include "apps/capstan/printer.h"
#include "client/remote.h"

namespace capstan::apps {

// What the environment says about calls.
struct CallEnvironment {
  std::string token;        // CAPSTAN_TOKEN: when --token is not given
  std::string traceparent;  // TRACEPARENT: the trace of which every call is a part (W3C)
};
struct NodeWay {
  client::RemoteOptions options;         // with the first of the addresses
  std::vector<core::Address> addresses;  // all that the node's name stands for, at least one
};
// kUnavailable when the host cannot be found; everything else is a usage error.
Result<NodeWay> way_to_node(const Arguments& global, const CallEnvironment& environment);
// What to do about a connection on which nothing was understood: TLS on one side only, or a
// certificate that nobody vouches for. Other errors stay what they are.
Error with_remedy(Error error, const client::RemoteOptions& options);
Result<core::Nanos> call_timeout(const Arguments& global);
// --interval of a command that looks again and again: at least 100 ms, at most an hour.
Result<core::Nanos> interval_of(const Arguments& arguments);
Printer::Options printer_options(const Arguments& global);

}  // namespace capstan::apps
