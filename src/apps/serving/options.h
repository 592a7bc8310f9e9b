// Why this file exists: every option of a server program is declared once, in that program's table.
// The command line, --help, the environment, the configuration page and NodeRpc/GetConfig all come
// from that table; nothing else in the program reads a flag or an environment variable.
//
// An option that has no effect yet but belongs to Mayastor's command line is kCompatible: accepted,
// checked by its type, shown in --help in a group of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::apps {

enum class OptionType : std::uint8_t {
  kSwitch,  // no value on the command line; 1, true / 0, false, empty in the environment
  kText,
  kPath,
  kInteger,    // between `min` and `max`
  kDuration,   // humantime, between `min` and `max` milliseconds (clamped)
  kMebibytes,  // plain number = MiB, or a size with a unit
  kAddress,    // IPv4 or IPv6 address
  kUuid,
  kList,  // repeatable on the command line
};

enum class OptionUse : std::uint8_t { kActs, kCompatible, kCommand };

struct OptionSpec {
  std::string_view name;      // in GetConfig and in messages: "grpc-port"
  std::string_view flags;     // "-g,--grpc-endpoint"; a bare word is a positional; may be empty
  std::string_view variable;  // environment variable; may be empty
  OptionType type;
  std::string_view unit;      // what --help shows for the value: "PORT"
  std::string_view fallback;  // default as text; empty = not set
  std::int64_t min, max;      // kInteger and kDuration
  OptionUse use;
  bool restart_needed;
  std::string_view help;
};

// Where a value came from, in the words of NodeRpc/GetConfig.
enum class Source : std::uint8_t { kDefault, kFlag, kEnvironment, kFile };
std::string_view source_name(Source source);

// One option's value after flags and environment were merged.
struct Setting {
  std::string name;
  std::vector<std::string> values;  // empty: not set
  Source source = Source::kDefault;
  std::string help;
  bool restart_needed = true;
  std::string text() const;                // comma-joined
  std::vector<std::string> parts() const;  // also of lists that a variable has joined by commas
};

class Settings {
 public:
  const Setting& at(std::string_view name) const;  // an undeclared name aborts
  bool given(std::string_view name) const { return !at(name).values.empty(); }
  bool on(std::string_view name) const { return at(name).text() == "true"; }
  std::string text(std::string_view name) const { return at(name).text(); }
  std::int64_t integer(std::string_view name) const;  // kInteger and kMebibytes
  std::uint64_t nanos(std::string_view name) const;   // kDuration
  const std::map<std::string, Setting, std::less<>>& all() const { return settings_; }

  // Replaces a value (a configuration file that wins over a flag).
  void set(std::string_view name, std::string value, Source source);

 private:
  friend class SettingsBuilder;
  std::map<std::string, Setting, std::less<>> settings_;
};

// Looks up an environment variable; nothing when it is unset.
using Variables = std::function<std::optional<std::string>(std::string_view)>;

// What a command line asks for: settings to run with, or a text to print (--help, --version).
struct CommandLine {
  Settings settings;
  std::optional<std::string> print;
};

// A program as its --help and --version show it.
struct Program {
  std::string_view name, title;  // "io-engine", "Capstan io-engine"
  std::string_view purpose;      // "a storage node serving pools and replicas"
  std::span<const OptionSpec> options;
  std::string_view footer;  // behind the list of variables; may be empty
};

// Errors are usage errors: the message names option, value and remedy.
Result<CommandLine> parse_command_line(const Program& program, std::vector<std::string> arguments,
                                       const Variables& variables);

// Checks one value against its declaration and returns its normal form ("1GiB" → "1024").
Result<std::string> check_value(const OptionSpec& option, std::string_view value, Source source);

}  // namespace capstan::apps
