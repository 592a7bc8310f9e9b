// Why this file exists: what others have named (pools, keys, events, errors of a node) is shown on
// a terminal, which takes control characters for orders: a name must not clear the screen, colour
// what follows or look like the next line. They are shown as JSON writes them ("\u001b"), so a JSON
// text stays the same JSON. No I/O. Thread-safety: plain functions.
#pragma once

#include <string>
#include <string_view>

namespace capstan {

// One name, or one line.
std::string visible(std::string_view text);
// A text of several lines: line ends and tabs stay.
std::string visible_lines(std::string_view text);

}  // namespace capstan
