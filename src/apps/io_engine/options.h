// Why this file exists: the storage node's own table of options.
#pragma once

#include "apps/serving/options.h"

namespace capstan::apps {

// In the order of --help.
std::span<const OptionSpec> options();

// The command line of the node.
Result<CommandLine> parse_command_line(std::vector<std::string> arguments,
                                       const Variables& variables);

}  // namespace capstan::apps
