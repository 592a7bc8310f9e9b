// Why this file exists: completion scripts for bash, zsh and fish, written from the tables of
// command.h, so that they offer exactly what the program accepts.
#include <algorithm>

#include "apps/capstan/command.h"

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

// For single-quoted text in the three shells (all of them end the quote, escape, begin again).
std::string quoted(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out;
}

bool takes_file(std::string_view value) {
  return value == "FILE" || value == "DISK" || value == "PATH";
}

std::string flag_words(std::span<const Flag> flags) {
  std::string words;
  for (const Flag& flag : flags) {
    for (const std::string& name : split(flag.names, ','))
      words += (words.empty() ? "" : " ") + name;
  }
  return words;
}

std::string group_words() {
  std::string words;
  for (const Group& group : groups()) words += std::string(group.name) + " ";
  for (const Command& command : commands()) {
    if (command.group.empty()) words += std::string(command.name) + " ";
  }
  words.pop_back();
  return words;
}

std::string names_in(std::string_view group) {
  std::string words;
  for (const Command& command : commands()) {
    if (command.group == group) words += (words.empty() ? "" : " ") + std::string(command.name);
  }
  return words;
}

// Commands without a group, in blanks.
std::string lone_names() {
  std::string words = " ";
  for (const Command& command : commands()) {
    if (command.group.empty()) words += std::string(command.name) + " ";
  }
  return words;
}

bool takes_shell(const Command& command) {
  return command.parameters[0].name == "SHELL";
}

std::string path_of(const Command& command) {
  std::string path(command.group);
  return path + (path.empty() ? "" : " ") + std::string(command.name);
}

// Cases "-t|--type) … ;;" for flags with choices or files, used by bash.
void bash_values(std::span<const Flag> flags, std::string_view indent, std::string& out) {
  for (const Flag& flag : flags) {
    if (flag.names.empty() || flag.value.empty()) continue;
    std::string pattern(flag.names);
    std::ranges::replace(pattern, ',', '|');
    std::string action = "return";
    if (!flag.choices.empty()) {
      std::string words(flag.choices);
      std::ranges::replace(words, '|', ' ');
      action = "COMPREPLY=($(compgen -W '" + words + "' -- \"$cur\")); return";
    } else if (takes_file(flag.value)) {
      action = "_capstan_files; return";
    }
    out += std::string(indent) + pattern + ") " + action + " ;;\n";
  }
}

// What may stand between a group and the command: flags of the group and of its commands, each
// once.
std::vector<Flag> flags_within(const Group& group) {
  std::vector<Flag> flags;
  const auto add = [&](const Flag& flag) {
    const auto same = [&](const Flag& other) { return other.names == flag.names; };
    if (!flag.names.empty() && std::ranges::none_of(flags, same)) flags.push_back(flag);
  };
  add(group.flag);
  for (const Command& command : commands()) {
    if (command.group == group.name) std::ranges::for_each(command.flags, add);
  }
  return flags;
}

// The values of flags before the command's name are no names. What a short flag means depends on
// the group.
void bash_skips(std::string& out) {
  const auto skip = [&](std::string_view group, const Flag& flag) {
    if (flag.value.empty()) return;
    std::string pattern;
    for (const std::string& name : split(flag.names, ',')) {
      pattern += (pattern.empty() ? "'" : "|'") + std::string(group) + " '" + name;
    }
    out += "      " + pattern + ") [[ -z $name ]] && skip=1 ;;\n";
  };
  for (const Group& group : groups()) {
    for (const Flag& flag : flags_within(group)) skip(group.name, flag);
  }
  for (const Flag& flag : global_flags()) {
    if (flag.value.empty()) continue;
    std::string pattern;
    for (const std::string& name : split(flag.names, ',')) {
      pattern += (pattern.empty() ? "*' '" : "|*' '") + name;
    }
    out += "      " + pattern + ") [[ -z $name ]] && skip=1 ;;\n";
  }
}

constexpr char kBashPrologue[] =
    "# bash completion of capstan, made by: capstan completion bash\n"
    "_capstan_files() {\n"
    "  compopt -o filenames 2>/dev/null\n"
    "  mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "}\n"
    "_capstan() {\n"
    "  # bash takes words apart at ':' and '='; what the program will see is what counts.\n"
    "  local line=\"${COMP_LINE:0:COMP_POINT}\" words cur prev last before\n"
    "  read -ra words <<< \"$line\"\n"
    "  if [[ $line == *[[:space:]] ]]; then words+=(''); fi\n"
    "  last=$((${#words[@]} - 1)) cur=\"${words[last]}\" prev=\"${words[last-1]}\"\n"
    "  if [[ $cur == --*=* ]]; then prev=\"${cur%%=*}\" cur=\"${cur#*=}\"; fi\n"
    "  COMPREPLY=()\n"
    "  _capstan_reply\n"
    "  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
    "    before=\"${cur%\"${cur##*:}\"}\"\n"
    "    COMPREPLY=(\"${COMPREPLY[@]#\"$before\"}\")\n"
    "  fi\n"
    "}\n"
    "_capstan_reply() {\n";

std::string bash_script() {
  std::string out = kBashPrologue;
  out +=
      "  local group='' name='' word skip='' i\n"
      "  for ((i = 1; i < last; i++)); do\n"
      "    word=\"${words[i]}\"\n"
      "    if [[ -n $skip ]]; then skip=''; continue; fi\n"
      "    case \"$group $word\" in\n";
  bash_skips(out);
  out +=
      "      *' '-*) ;;\n"
      "      *) if [[ -z $group ]]; then group=\"$word\";"
      " elif [[ -z $name ]]; then name=\"$word\"; fi ;;\n"
      "    esac\n"
      "  done\n"
      "  local flags='" +
      flag_words(global_flags()) +
      " --help'\n"
      "  case \"$group $name\" in\n"
      "    ' ')\n      case \"$prev\" in\n";
  bash_values(global_flags(), "        ", out);
  out += "      esac\n      COMPREPLY=($(compgen -W '" + group_words() +
         "'\" $flags\" -- \"$cur\")); return ;;\n";
  for (const Group& group : groups()) {
    std::string words = names_in(group.name);
    if (!group.flag.names.empty()) words += " " + flag_words({&group.flag, 1});
    out += "    '" + std::string(group.name) + " ')\n      case \"$prev\" in\n";
    bash_values(flags_within(group), "        ", out);
    bash_values(global_flags(), "        ", out);
    out += "      esac\n      COMPREPLY=($(compgen -W '" + words +
           " --help' -- \"$cur\")); return ;;\n";
  }
  for (const Command& command : commands()) {
    const bool files = std::ranges::any_of(command.parameters,
                                           [](const Parameter& p) { return takes_file(p.name); });
    out += "    '" + path_of(command) + (command.group.empty() ? " '*" : "'") + ")\n";
    out += "      case \"$prev\" in\n";
    bash_values(command.flags, "        ", out);
    bash_values(global_flags(), "        ", out);
    out += "      esac\n";
    if (takes_shell(command)) {
      out += "      COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;\n";
      continue;
    }
    const std::string own = flag_words(command.flags);
    out += "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '" + own +
           (own.empty() ? "'" : " '") + "\"$flags\" -- \"$cur\"))";
    if (files) out += "; else _capstan_files";
    out += "; fi; return ;;\n";
  }
  return out + "  esac\n}\ncomplete -F _capstan capstan\n";
}

// "'(-t --type)'{-t,--type}'[help]:TYPE:(lvs lvm)'" for zsh's _arguments.
std::string zsh_flag(const Flag& flag) {
  const auto names = split(flag.names, ',');
  std::string text = "'";
  if (!flag.repeated && names.size() > 1)
    text += "(" + names[0] + " " + names[1] + ")'";
  else
    text += flag.repeated ? "*'" : "'";
  text += names.size() > 1 ? "{" + names[0] + "," + names[1] + "}" : names[0];
  std::string help = quoted(flag.help);
  for (char c : {'[', ']', ':'}) std::erase(help, c);
  text += "'[" + help + "]";
  if (!flag.value.empty()) {
    text += ":" + std::string(flag.value) + ":";
    std::string words(flag.choices);
    std::ranges::replace(words, '|', ' ');
    if (!words.empty())
      text += "(" + words + ")";
    else if (takes_file(flag.value))
      text += "_files";
  }
  return text + "'";
}

std::string zsh_arguments(const Command& command) {
  std::string out = "      _arguments";
  for (const Flag& flag : command.flags) {
    if (!flag.names.empty()) out += " \\\n        " + zsh_flag(flag);
  }
  for (const Parameter& parameter : command.parameters) {
    if (parameter.name.empty()) continue;
    std::string action = takes_file(parameter.name) ? "_files" : " ";
    if (parameter.name == "SHELL") action = "(bash zsh fish)";
    out += std::string(" \\\n        '") + (parameter.repeated ? "*" : "") +
           (parameter.required ? ":" : "::") + std::string(parameter.name) + ":" + action + "'";
  }
  return out + " ;;\n";
}

std::string zsh_script() {
  std::string out =
      "#compdef capstan\n# zsh completion of capstan, made by: capstan completion zsh\n"
      "_capstan() {\n  local context state line\n  typeset -A opt_args\n  _arguments -C";
  for (const Flag& flag : global_flags()) out += " \\\n    " + zsh_flag(flag);
  out +=
      " \\\n    '--help[Print help]' \\\n    '1:command:->group' \\\n    '*::argument:->rest'\n"
      "  case $state in\n    group) _values command";
  for (const Group& group : groups()) {
    std::string help = quoted(group.help);
    std::erase(help, ':');
    out += " \\\n      '" + std::string(group.name) + "[" + help + "]'";
  }
  for (const Command& command : commands()) {
    if (!command.group.empty()) continue;
    out += " \\\n      '" + std::string(command.name) + "[" + quoted(command.help) + "]'";
  }
  out +=
      " ;;\n    rest) _capstan_rest ;;\n  esac\n}\n_capstan_rest() {\n"
      "  local group=$words[1] name=$words[2]\n"
      "  if [[ '" +
      lone_names() +
      "' != *\" $group \"* ]]; then\n"
      "    if (( CURRENT == 2 )); then\n      case $group in\n";
  for (const Group& group : groups()) {
    out += "        " + std::string(group.name) + ") _values command " + names_in(group.name) +
           " ;;\n";
  }
  out +=
      "      esac\n      return\n    fi\n    shift words; (( CURRENT-- ))\n  fi\n"
      "  case \"$group $name\" in\n";
  for (const Command& command : commands()) {
    out += "    " +
           (command.group.empty() ? "'" + std::string(command.name) + " '*"
                                  : "'" + path_of(command) + "'") +
           ")\n" + zsh_arguments(command);
  }
  return out + "  esac\n}\n_capstan \"$@\"\n";
}

void fish_flags(std::span<const Flag> flags, const std::string& condition, std::string& out) {
  for (const Flag& flag : flags) {
    if (flag.names.empty()) continue;
    out += "complete -c capstan -n '" + condition + "'";
    for (const std::string& name : split(flag.names, ',')) {
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (!flag.value.empty()) {
      std::string words(flag.choices);
      std::ranges::replace(words, '|', ' ');
      if (!words.empty())
        out += " -x -a '" + words + "'";
      else
        out += takes_file(flag.value) ? " -r -F" : " -x";
    }
    out += " -d '" + quoted(flag.help) + "'\n";
  }
}

std::string fish_script() {
  std::string out =
      "# fish completion of capstan, made by: capstan completion fish\n"
      "complete -c capstan -f\n";
  fish_flags(global_flags(), "true", out);
  std::string all;
  for (const Group& group : groups()) all += std::string(group.name) + " ";
  all.pop_back();
  all += lone_names();
  all.pop_back();
  const auto top = "not __fish_seen_subcommand_from " + all;
  for (const Group& group : groups()) {
    out += "complete -c capstan -n '" + top + "' -a " + std::string(group.name) + " -d '" +
           quoted(group.help) + "'\n";
  }
  for (const Group& group : groups()) {
    fish_flags({&group.flag, 1},
               "__fish_seen_subcommand_from " + std::string(group.name) +
                   "; and not __fish_seen_subcommand_from " + names_in(group.name),
               out);
  }
  for (const Command& command : commands()) {
    const std::string group(command.group);
    if (group.empty()) {
      out += "complete -c capstan -n '" + top + "' -a " + std::string(command.name) + " -d '" +
             quoted(command.help) + "'\n";
      const auto here = "__fish_seen_subcommand_from " + std::string(command.name);
      fish_flags(command.flags, here, out);
      if (takes_shell(command)) {
        out += "complete -c capstan -n '" + here + "' -a 'bash zsh fish'\n";
      }
      continue;
    }
    const std::string in_group = "__fish_seen_subcommand_from " + group;
    out += "complete -c capstan -n '" + in_group + "; and not __fish_seen_subcommand_from " +
           names_in(group) + "' -a " + std::string(command.name) + " -d '" + quoted(command.help) +
           "'\n";
    const std::string here =
        in_group + "; and __fish_seen_subcommand_from " + std::string(command.name);
    fish_flags(command.flags, here, out);
    for (const Parameter& parameter : command.parameters) {
      if (takes_file(parameter.name)) out += "complete -c capstan -n '" + here + "' -F\n";
    }
  }
  return out;
}

}  // namespace

Result<std::string> completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  if (shell == "fish") return fish_script();
  return fail(Code::kInvalidArgument,
              "no completion for '" + std::string(shell) + "'. Give bash, zsh or fish");
}

}  // namespace capstan::apps
