// Why this file exists: turns the tables of command.h into a command line. The only file of this
// program that includes CLI11.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <list>

#include "apps/capstan/command.h"
#include "base/size_text.h"
#include "capstan_version.h"
#include "rpc/error_text.h"

namespace capstan::apps {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  }
  return parts;
}

// One declared value and where CLI11 leaves it.
struct Slot {
  std::string_view name, fallback;
  std::vector<std::string> values;
  CLI::Option* option = nullptr;
};

void add_flag(CLI::App& app, const Flag& flag, std::list<Slot>& slots) {
  Slot& slot = slots.emplace_back(Slot{flag.name(), flag.fallback, {}, nullptr});
  std::string help(flag.help);
  if (flag.value.empty()) {
    // Const: CLI11 takes any other string for the variable to set, not for the help.
    const std::string& switch_help = help;
    slot.option = app.add_flag(std::string(flag.names), switch_help);
    return;
  }
  if (!flag.choices.empty()) help += " (" + std::string(flag.choices) + ")";
  if (!flag.fallback.empty()) help += " [default: " + std::string(flag.fallback) + "]";
  slot.option = app.add_option(std::string(flag.names), slot.values, help);
  slot.option->type_name(std::string(flag.value))->required(flag.required);
  slot.option->expected(1)->allow_extra_args(false);
  if (flag.repeated) slot.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  if (!flag.choices.empty()) {
    slot.option->check(
        [choices = split(flag.choices, '|')](const std::string& value) -> std::string {
          if (std::ranges::find(choices, value) != choices.end()) return {};
          std::string text = "'" + value + "' is not accepted. Give";
          for (const std::string& choice : choices) text += " " + choice;
          return text;
        });
  }
}

void add_parameter(CLI::App& app, const Parameter& parameter, std::list<Slot>& slots) {
  Slot& slot = slots.emplace_back(Slot{parameter.name, {}, {}, nullptr});
  slot.option =
      app.add_option(std::string(parameter.name), slot.values, std::string(parameter.help));
  slot.option->required(parameter.required)->type_name("");
  if (!parameter.repeated) {
    slot.option->expected(1)->allow_extra_args(false);
  }
}

// CLI11 takes [a,b] for two values and [] or {} for none; JSON is one word. The mark keeps it so.
constexpr char kOneWord = '\x01';

void mark_words(std::vector<std::string>& words) {
  for (std::string& word : words) {
    if (word.starts_with('[') || word.starts_with('{')) word.insert(word.begin(), kOneWord);
  }
}

void unmark_words(std::list<Slot>& slots) {
  for (Slot& slot : slots) {
    for (std::string& value : slot.values) {
      if (value.starts_with(kOneWord)) value.erase(0, 1);
    }
  }
}

Arguments collect(std::list<Slot>& slots) {
  Arguments arguments;
  for (Slot& slot : slots) {
    auto& values = arguments.values[std::string(slot.name)];
    if (slot.option->count() > 0 && slot.values.empty())
      values = {"true"};  // a switch
    else
      values = std::move(slot.values);
    if (values.empty() && !slot.fallback.empty()) values = {std::string(slot.fallback)};
  }
  return arguments;
}

std::string unmarked(std::string text) {
  std::erase(text, kOneWord);
  return text;
}

// CLI11 says only that a command is missing; the user wants to know which word was no command, and
// which words are.
std::string explained(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* deepest = &app;
  std::string path = "capstan";
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands().front();
    path += " " + deepest->get_name();
  }
  const auto all = deepest->get_subcommands([](const CLI::App*) { return true; });
  if (all.empty()) return error.what();
  const auto unknown = app.remaining(true);
  if (unknown.empty()) {
    if (error.get_name() != "RequiredError") return error.what();
  } else if (unknown.front().starts_with('-')) {
    return "unknown option '" + unknown.front() + "'";
  }
  std::string known;
  for (const CLI::App* one : all) known += (known.empty() ? "" : ", ") + one->get_name();
  if (unknown.empty()) return "'" + path + "' needs a command: " + known;
  return "'" + unknown.front() + "' is no command of '" + path + "'. Known are " + known;
}

// Everything but local paths and what a store keeps travels as text in messages, which is UTF-8.
Result<void> take_text(std::list<Slot>& slots) {
  unmark_words(slots);
  for (const Slot& slot : slots) {
    constexpr std::string_view kFree[] = {"FILE", "file", "input", "to", "KEY", "NEW", "VALUE"};
    if (std::ranges::find(kFree, slot.name) != std::end(kFree)) continue;
    if (slot.name.starts_with("tls-") || slot.name == "token") continue;
    for (const std::string& value : slot.values) {
      const std::string shown = rpc::valid_utf8(value);
      if (shown == value) continue;
      return fail(Code::kInvalidArgument,
                  std::string(slot.name) + ": '" + shown + "' is not UTF-8 text");
    }
  }
  return {};
}

constexpr char kVersion[] = "capstan version " CAPSTAN_RELEASE ", revision " CAPSTAN_VERSION "\n";
constexpr char kCommonFooter[] =
    "\nThe options of 'capstan --help' (--bind, --endpoint, --output, --timeout, --tls-…) may\n"
    "stand here too; where a short one has another meaning here, write the long one.";
constexpr char kMainFooter[] =
    "\nExit codes: 0 done, 1 the node or the system refused, 2 wrong usage, 3 the node cannot be\n"
    "reached or does not answer in time. With -o json errors still go to standard error as text.";

// The position of the first word from `at` on that is no flag and no flag's value.
std::size_t next_word(const std::vector<std::string>& words, std::size_t at) {
  for (; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (!word.starts_with('-') || word == "-") return at;
    if (word.find('=') != std::string::npos) continue;
    for (const Flag& flag : global_flags()) {
      const auto names = split(flag.names, ',');
      if (!flag.value.empty() && std::ranges::find(names, word) != names.end()) ++at;
    }
  }
  return at;
}

// `rpc OPERATION` is short for `rpc call OPERATION`.
void complete_rpc(std::vector<std::string>& words) {
  const std::size_t group = next_word(words, 0);
  if (group >= words.size() || words[group] != "rpc") return;
  const std::size_t word = next_word(words, group + 1);
  if (word >= words.size()) return;
  const bool known = std::ranges::any_of(commands(), [&](const Command& command) {
    return command.group == "rpc" && command.name == words[word];
  });
  if (!known) words.insert(words.begin() + static_cast<std::ptrdiff_t>(word), "call");
}

}  // namespace

const std::vector<std::string>& Arguments::list(std::string_view name) const {
  static const std::vector<std::string> kNone;
  const auto found = values.find(name);
  return found == values.end() ? kNone : found->second;
}

std::string Arguments::text(std::string_view name) const {
  const auto& all = list(name);
  return all.empty() ? std::string() : all.front();
}

Result<std::uint64_t> Arguments::size(std::string_view name) const {
  auto parsed = parse_size(text(name));
  if (!parsed) {
    return std::unexpected(std::move(parsed).error().within("--" + std::string(name)));
  }
  return parsed;
}

Result<Invocation> parse_command_line(std::vector<std::string> arguments) {
  CLI::App app("capstan: talks to a Capstan storage node", "capstan");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kMainFooter);
  std::list<Slot> global;
  bool version = false;
  app.add_flag("-V,--version", version, "Print the version");
  for (const Flag& flag : global_flags()) add_flag(app, flag, global);

  std::map<std::string_view, CLI::App*> parents;
  std::map<std::string_view, std::list<Slot>> before;  // what stood before the command
  for (const Group& group : groups()) {
    CLI::App* parent = app.add_subcommand(std::string(group.name), std::string(group.help));
    parent->require_subcommand(1)->fallthrough();
    parents[group.name] = parent;
    if (!group.flag.names.empty()) add_flag(*parent, group.flag, before[group.name]);
  }
  struct Declared {
    const Command* command;
    CLI::App* app;
    std::list<Slot> slots;
  };
  std::list<Declared> declared;
  for (const Command& command : commands()) {
    CLI::App* parent = command.group.empty() ? &app : parents[command.group];
    CLI::App* own = parent->add_subcommand(std::string(command.name), std::string(command.help));
    own->fallthrough();
    own->footer(kCommonFooter);
    Declared& row = declared.emplace_back(Declared{&command, own, {}});
    for (const Parameter& parameter : command.parameters) {
      if (!parameter.name.empty()) add_parameter(*own, parameter, row.slots);
    }
    for (const Flag& flag : command.flags) {
      if (!flag.names.empty()) add_flag(*own, flag, row.slots);
    }
  }
  complete_rpc(arguments);
  mark_words(arguments);
  std::ranges::reverse(arguments);  // CLI11 takes them from the back
  Invocation invocation;
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    invocation.print = app.help();
    return invocation;
  } catch (const CLI::ParseError& error) {
    if (version) {
      invocation.print = kVersion;
      return invocation;
    }
    return fail(Code::kInvalidArgument, unmarked(explained(app, error)));
  }
  if (version) {
    invocation.print = kVersion;
    return invocation;
  }
  TRY(take_text(global));
  for (Declared& row : declared) {
    if (!row.app->parsed()) continue;
    TRY(take_text(row.slots));
    invocation.command = row.command;
    invocation.arguments = collect(row.slots);
    for (auto& [name, values] : collect(before[row.command->group]).values) {
      if (!values.empty()) invocation.arguments.values[name] = std::move(values);
    }
  }
  invocation.global = collect(global);
  return invocation;
}

}  // namespace capstan::apps
