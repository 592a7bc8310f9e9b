// Why this file exists: turns the table of options into a command line (the only file of
// servers that includes CLI11) and merges flags, environment and defaults, in that order of
// precedence. CLI11 only splits the arguments; every value is checked by check_value(), so a bad
// value gives the same message wherever it came from.
#include <CLI/CLI.hpp>

#include <arpa/inet.h>

#include <charconv>

#include "apps/serving/options.h"
#include "base/assert.h"
#include "base/duration_text.h"
#include "base/size_text.h"
#include "base/uuid.h"
#include "capstan_version.h"

namespace capstan::apps {
namespace {

std::string bounds_text(const OptionSpec& option) {
  if (option.max == INT64_MAX) return "a whole number of at least " + std::to_string(option.min);
  return "a whole number between " + std::to_string(option.min) + " and " +
         std::to_string(option.max);
}

// "--grpc-port" for a flag, "$API_VERSIONS" for the environment.
std::string shown_name(const OptionSpec& option, Source source) {
  if (source == Source::kEnvironment) return "environment variable " + std::string(option.variable);
  std::string best;
  std::string_view rest = option.flags;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view one = rest.substr(0, comma);
    if (one.starts_with('-') && one.size() > best.size()) best = one;
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return "option " + (best.empty() ? std::string(option.name) : best);
}

std::unexpected<Error> bad_value(const OptionSpec& option, std::string_view value, Source source,
                                 std::string_view remedy) {
  return fail(Code::kInvalidArgument, shown_name(option, source) + ": '" + std::string(value) +
                                          "' is not accepted. " + std::string(remedy));
}

Result<std::string> check_integer(const OptionSpec& option, std::string_view value, Source source) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc() || end != value.data() + value.size() ||
      number < option.min || number > option.max) {
    return bad_value(option, value, source, "Give " + bounds_text(option));
  }
  return std::to_string(number);
}

Result<std::string> check_duration(const OptionSpec& option, std::string_view value,
                                   Source source) {
  const auto nanos = parse_duration(value);
  if (!nanos) return bad_value(option, value, source, nanos.error().text());
  const auto low = static_cast<std::uint64_t>(option.min) * 1'000'000;
  const auto high = static_cast<std::uint64_t>(option.max) * 1'000'000;
  return format_duration(std::min(std::max(*nanos, low), high));
}

Result<std::string> check_mebibytes(const OptionSpec& option, std::string_view value,
                                    Source source) {
  const bool plain = value.find_first_not_of("0123456789") == std::string_view::npos;
  if (plain && !value.empty()) return check_integer(option, value, source);
  const auto bytes = parse_size(value);
  if (!bytes) return bad_value(option, value, source, bytes.error().text());
  return std::to_string(*bytes >> 20);
}

Result<std::string> check_switch(const OptionSpec& option, std::string_view value, Source source) {
  if (value == "1" || value == "true") return std::string("true");
  if (value.empty() || value == "0" || value == "false") return std::string("false");
  return bad_value(option, value, source, "Must be one of: 1,true,0,false");
}

bool is_address(const std::string& text) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

// What --help says about one option, made from its declaration.
std::string help_text(const OptionSpec& option) {
  std::string text(option.help);
  if (option.type != OptionType::kSwitch && !option.fallback.empty()) {
    text += " [default: " + std::string(option.fallback) + "]";
  }
  if (!option.variable.empty()) text += " [env: " + std::string(option.variable) + "]";
  return text;
}

std::string variables_text(const Program& program) {
  std::string text;
  for (const OptionSpec& option : program.options) {
    if (!option.flags.empty()) continue;
    if (text.empty()) text = "Environment variables without a flag:\n";
    std::string line = "  " + std::string(option.variable);
    line.resize(std::max<std::size_t>(line.size() + 1, 34), ' ');
    text += line + std::string(option.help);
    if (!option.fallback.empty()) text += " [default: " + std::string(option.fallback) + "]";
    if (option.use == OptionUse::kCompatible) text += " (accepted for compatibility)";
    text += "\n";
  }
  text += program.footer;
  return text;
}

struct Given {
  std::vector<std::string> values;
  CLI::Option* option = nullptr;
};

void declare(CLI::App& app, const OptionSpec& option, Given& given) {
  const std::string flags(option.flags);
  if (option.type == OptionType::kSwitch) {
    const std::string help = help_text(option);
    given.option = app.add_flag(flags, help);
  } else {
    given.option = app.add_option(flags, given.values, help_text(option));
    // Without extra arguments one flag takes one value, and "[0,1]" is not taken apart.
    given.option->type_name(std::string(option.unit))->expected(1)->allow_extra_args(false);
    if (option.type == OptionType::kList) {
      given.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
  }
  given.option->group(option.use == OptionUse::kActs      ? "Options"
                      : option.use == OptionUse::kCommand ? "Commands"
                                                          : "Accepted for compatibility");
}

}  // namespace

std::string_view source_name(Source source) {
  switch (source) {
    case Source::kDefault: return "default";
    case Source::kFlag: return "flag";
    case Source::kEnvironment: return "environment";
    case Source::kFile: return "file";
  }
  return "default";
}

std::string Setting::text() const {
  std::string joined;
  for (const std::string& value : values) joined += (joined.empty() ? "" : ",") + value;
  return joined;
}

std::vector<std::string> Setting::parts() const {
  std::vector<std::string> all;
  const std::string joined = text();
  for (std::string_view rest = joined; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (comma != 0) all.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return all;
}

const Setting& Settings::at(std::string_view name) const {
  const auto found = settings_.find(name);
  CAPSTAN_ASSERT(found != settings_.end());
  return found->second;
}

std::int64_t Settings::integer(std::string_view name) const {
  std::int64_t number = 0;
  const std::string value = text(name);
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

std::uint64_t Settings::nanos(std::string_view name) const {
  return parse_duration(text(name)).value_or(0);
}

void Settings::set(std::string_view name, std::string value, Source source) {
  const auto found = settings_.find(name);
  CAPSTAN_ASSERT(found != settings_.end());
  found->second.values = {std::move(value)};
  found->second.source = source;
}

Result<std::string> check_value(const OptionSpec& option, std::string_view value, Source source) {
  switch (option.type) {
    case OptionType::kSwitch: return check_switch(option, value, source);
    case OptionType::kInteger: return check_integer(option, value, source);
    case OptionType::kDuration: return check_duration(option, value, source);
    case OptionType::kMebibytes: return check_mebibytes(option, value, source);
    case OptionType::kAddress:
      if (!is_address(std::string(value))) {
        return bad_value(option, value, source, "Give an IPv4 or IPv6 address, as in 127.0.0.1");
      }
      return std::string(value);
    case OptionType::kUuid:
      if (!Uuid::parse(value)) return bad_value(option, value, source, "Give a UUID");
      return std::string(value);
    case OptionType::kPath:
      if (value.empty()) return bad_value(option, value, source, "Give a path");
      return std::string(value);
    case OptionType::kText:
    case OptionType::kList: return std::string(value);
  }
  return std::string(value);
}

// Merges flags over environment over defaults.
class SettingsBuilder {
 public:
  static Result<Settings> build(std::span<const OptionSpec> options,
                                const std::map<std::string_view, Given>& given,
                                const Variables& variables) {
    Settings settings;
    for (const OptionSpec& option : options) {
      TRY_SET(Setting setting, merge(option, given, variables));
      settings.settings_.emplace(std::string(option.name), std::move(setting));
    }
    return settings;
  }

 private:
  static Result<Setting> merge(const OptionSpec& option,
                               const std::map<std::string_view, Given>& given,
                               const Variables& variables) {
    Setting setting{std::string(option.name),
                    {},
                    Source::kDefault,
                    std::string(option.help),
                    option.restart_needed};
    const auto flag = given.find(option.name);
    if (flag != given.end() && flag->second.option->count() > 0) {
      setting.source = Source::kFlag;
      if (option.type == OptionType::kSwitch) {
        setting.values = {"true"};
        return setting;
      }
      for (const std::string& value : flag->second.values) {
        TRY_SET(std::string checked, check_value(option, value, Source::kFlag));
        setting.values.push_back(std::move(checked));
      }
      return setting;
    }
    if (!option.variable.empty()) {
      if (auto value = variables(option.variable);
          value && (!value->empty() || option.type == OptionType::kSwitch)) {
        TRY_SET(std::string checked, check_value(option, *value, Source::kEnvironment));
        setting.values = {std::move(checked)};
        setting.source = Source::kEnvironment;
        return setting;
      }
    }
    if (!option.fallback.empty()) setting.values = {std::string(option.fallback)};
    return setting;
  }
};

Result<CommandLine> parse_command_line(const Program& program, std::vector<std::string> arguments,
                                       const Variables& variables) {
  CLI::App app(std::string(program.title) + ": " + std::string(program.purpose),
               std::string(program.name));
  std::map<std::string_view, Given> given;
  app.set_help_flag("-h,--help", "Print this help")->group("Commands");
  bool version = false;
  app.add_flag("-V,--version", version, "Print the version")->group("Commands");
  for (const OptionSpec& option : program.options) {
    if (!option.flags.empty()) declare(app, option, given[option.name]);
  }
  app.footer(variables_text(program));
  std::ranges::reverse(arguments);  // CLI11 takes them from the back
  CommandLine result;
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    result.print = app.help();
    return result;
  } catch (const CLI::ParseError& error) {
    return fail(Code::kInvalidArgument, error.what());
  }
  if (version) {
    result.print =
        std::string(program.title) + " version " CAPSTAN_RELEASE ", revision " CAPSTAN_VERSION "\n";
    return result;
  }
  TRY_SET(result.settings, SettingsBuilder::build(program.options, given, variables));
  return result;
}

}  // namespace capstan::apps
