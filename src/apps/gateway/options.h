// Why this file exists: the gateway's own table of options.
#pragma once

#include "apps/serving/options.h"

namespace capstan::gateway {

// In the order of --help.
std::span<const apps::OptionSpec> options();

Result<apps::CommandLine> parse_command_line(std::vector<std::string> arguments,
                                             const apps::Variables& variables);

}  // namespace capstan::gateway
