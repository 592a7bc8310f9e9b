// Why this file exists: commands about files and disks that no node has open, and about devices of
// other machines: `capstan kv --file PATH ...`, `capstan pool check|repair|dump`, `capstan nvme`.
// Programs that talk to nodes know nothing of storage, so this one becomes the program beside it
// that does; here is what that program is told. Pure values in, words out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/capstan/command.h"

namespace capstan::apps {

struct Sibling {
  std::string program;             // in the folder of this one
  std::vector<std::string> words;  // its arguments
};

// Nothing when the command is for a node, or prints something. Errors are usage errors.
Result<std::optional<Sibling>> sibling_of(const Invocation& invocation);

}  // namespace capstan::apps
