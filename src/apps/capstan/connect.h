// Why this file exists: from the global flags to the options of a channel: address, name look-up,
// certificates. Runs before the reactor does, because name look-up and files block.
#pragma once

#include "apps/capstan/command.h"
#include "apps/capstan/printer.h"
#include "client/remote.h"

namespace capstan::apps {

// kUnavailable when the host cannot be found; everything else is a usage error.
Result<client::RemoteOptions> remote_options(const Arguments& global);
Result<core::Nanos> call_timeout(const Arguments& global);
Printer::Options printer_options(const Arguments& global);

}  // namespace capstan::apps
