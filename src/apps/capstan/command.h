// Why this file exists: the command line is declared once, in the tables behind commands() and
// global_flags(). Parsing, --help and the completions of three shells come from these tables; each
// row names the coroutine that carries it out.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/task.h"

namespace capstan::apps {

class Session;

struct Parameter {
  std::string_view name;  // "POOL"; empty: no more parameters
  std::string_view help;
  bool required = true;
  bool repeated = false;  // the last one may be
};

struct Flag {
  std::string_view names;  // "-s,--size"; empty: no more flags
  std::string_view value;  // "SIZE"; empty: a switch
  std::string_view help;
  std::string_view choices;  // "lvs|lvm"; empty: anything
  std::string_view fallback = {};
  bool required = false;
  bool repeated = false;
  // "size" for "-s,--size": how Arguments calls it.
  constexpr std::string_view name() const {
    const auto at = names.find("--");
    return names.substr(at == std::string_view::npos ? 1 : at + 2);
  }
};

// The values given for one command, by parameter or flag name; defaults are filled in.
class Arguments {
 public:
  bool given(std::string_view name) const { return !list(name).empty(); }
  bool on(std::string_view name) const { return given(name); }  // of a switch
  std::string text(std::string_view name) const;                // "" when not given
  const std::vector<std::string>& list(std::string_view name) const;
  Result<std::uint64_t> size(std::string_view name) const;  // kInvalidArgument names the flag
  std::map<std::string, std::vector<std::string>, std::less<>> values;
};

struct Command {
  std::string_view group, name;  // "pool", "create"; no group: "completion"
  std::string_view help;
  std::array<Parameter, 4> parameters;
  std::array<Flag, 6> flags;
  // Null for commands that need no node: completion, and what another program does (sibling.h).
  core::Task<Result<void>> (*run)(Session& session, Arguments arguments);
};

struct Group {
  std::string_view name, help;
  Flag flag = {};  // one of all its commands that may also stand before the command
};

std::span<const Command> commands();
std::span<const Group> groups();
std::span<const Flag> global_flags();

// What a command line asks for.
struct Invocation {
  const Command* command = nullptr;
  Arguments arguments;               // of the command
  Arguments global;                  // of the program
  std::optional<std::string> print;  // --help, --version: print and be done
};

// Errors are usage errors.
Result<Invocation> parse_command_line(std::vector<std::string> arguments);

// The completion script for "bash", "zsh" or "fish".
Result<std::string> completion_script(std::string_view shell);

}  // namespace capstan::apps
