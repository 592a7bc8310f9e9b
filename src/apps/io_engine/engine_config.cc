// Why this file exists: see engine_config.h.
#include "apps/io_engine/engine_config.h"

#include <charconv>
#include <limits>
#include <optional>
#include <set>

#include "apps/io_engine/engine_config_keys.h"
#include "apps/io_engine/yaml.h"
#include "base/assert.h"
#include "base/duration_text.h"

namespace capstan::apps {
namespace {

std::string path_of(const EngineKey& key) {
  if (key.section.empty()) return std::string(key.key);
  return std::string(key.section) + "." + std::string(key.key);
}

struct Range {
  std::int64_t min;
  std::uint64_t max;
};
Range range_of(KeyType type) {
  switch (type) {
    case kU8: return {0, UINT8_MAX};
    case kU16: return {0, UINT16_MAX};
    case kU32: return {0, UINT32_MAX};
    case kI32: return {INT32_MIN, INT32_MAX};
    default: return {0, UINT64_MAX};
  }
}

bool is_number(KeyType type) {
  return type == kU8 || type == kU16 || type == kU32 || type == kI32 || type == kU64;
}

std::optional<std::string> number_text(KeyType type, std::string_view text) {
  const Range range = range_of(type);
  const char* end = text.data() + text.size();
  if (text.starts_with('-')) {
    std::int64_t number = 0;
    const auto read = std::from_chars(text.data(), end, number);
    if (read.ec != std::errc() || read.ptr != end || number < range.min) return std::nullopt;
    return std::to_string(number);
  }
  std::uint64_t number = 0;
  const auto read = std::from_chars(text.data(), end, number);
  if (text.empty() || read.ec != std::errc() || read.ptr != end || number > range.max) {
    return std::nullopt;
  }
  return std::to_string(number);
}

std::string_view type_text(KeyType type) {
  switch (type) {
    case kBool: return "true or false";
    case kU8: return "a whole number up to 255";
    case kU16: return "a whole number up to 65535";
    case kU32: return "a whole number up to 4294967295";
    case kI32: return "a whole number of 32 bits";
    case kU64: return "a whole number of 64 bits";
    case kText: return "a text";
    case kTextOrNull: return "a text or null";
    case kBoolOrNull: return "true, false or null";
    case kCrdt: return "a list of three whole numbers up to 65535";
  }
  return "a value";
}

std::optional<std::string> bool_text(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return "true";
  if (text == "false" || text == "False" || text == "FALSE") return "false";
  return std::nullopt;
}

std::optional<std::string> list_text(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kSequence || node.items.size() != 3) return std::nullopt;
  std::string text = "[";
  for (const YamlNode& item : node.items) {
    const auto number = number_text(kU16, item.scalar);
    if (item.kind != YamlNode::Kind::kScalar || item.quoted || !number) return std::nullopt;
    text += (text.size() == 1 ? "" : ", ") + *number;
  }
  return text + "]";
}

// The normal form of a value in the file; nothing when it is of another type.
std::optional<std::string> node_text(KeyType type, const YamlNode& node) {
  const bool is_null = node.kind == YamlNode::Kind::kNull;
  if (type == kCrdt) return list_text(node);
  if (is_null && (type == kTextOrNull || type == kBoolOrNull)) return "null";
  if (node.kind != YamlNode::Kind::kScalar) return std::nullopt;
  if (type == kText || type == kTextOrNull) return node.scalar;
  if (node.quoted) return std::nullopt;
  if (is_number(type)) return number_text(type, node.scalar);
  return bool_text(node.scalar);
}

// What an environment variable says about a key: nothing when unset, an error text when unreadable.
struct FromVariable {
  std::optional<std::string> value;
  std::string warning;
};

FromVariable read_variable(const EngineKey& key, const Variables& variables) {
  if (key.variable.empty()) return {};
  if (!key.time_suffix.empty()) {
    const std::uint64_t unit = key.time_suffix == "_MS" ? 1'000'000 : 1000;
    if (const auto text = variables(key.variable)) {
      const auto nanos = parse_duration(*text);
      std::optional<std::string> number;
      if (nanos && *nanos >= unit) number = number_text(key.type, std::to_string(*nanos / unit));
      if (number) return {number, {}};
      return {{},
              std::string(key.variable) + "='" + *text + "' is no duration for " + path_of(key) +
                  "; its default is used"};
    }
  }
  const std::string name = std::string(key.variable) + std::string(key.time_suffix);
  const auto text = variables(name);
  if (!text) return {};
  std::optional<std::string> value;
  if (key.type == kBool) {
    if (*text == "1" || *text == "true") value = "true";
    if (*text == "0" || *text == "false") value = "false";
  } else {
    value = number_text(key.type, *text);
  }
  if (value) return {value, {}};
  return {{},
          name + "='" + *text + "' is not " + std::string(type_text(key.type)) + " for " +
              path_of(key) + "; its default is used"};
}

// The keys and sub-sections of one section, for reading it and for messages.
bool is_section(std::string_view path) {
  for (const EngineKey& key : kEngineKeys) {
    if (key.section == path || key.section.starts_with(std::string(path) + ".")) return true;
  }
  return false;
}
const EngineKey* find_key(std::string_view section, std::string_view name) {
  for (const EngineKey& key : kEngineKeys) {
    if (key.section == section && key.key == name) return &key;
  }
  return nullptr;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

Result<void> read_section(const YamlNode& node, const std::string& section, const std::string& file,
                          Pairs& out) {
  const auto bad = [&](int line, const std::string& why) {
    return fail(Code::kInvalidArgument, file + ", line " + std::to_string(line) + ": " + why);
  };
  if (node.kind == YamlNode::Kind::kNull) return {};
  if (node.kind != YamlNode::Kind::kMap) {
    return bad(node.line, (section.empty() ? "the file" : "'" + section + "'") +
                              " must consist of 'key: value' lines");
  }
  for (const auto& [name, value] : node.fields) {
    const std::string path = section.empty() ? name : section + "." + name;
    if (is_section(path)) {
      TRY(read_section(value, path, file, out));
      continue;
    }
    const EngineKey* key = find_key(section, name);
    const int line = value.line > 0 ? value.line : node.line;
    if (!key) return bad(line, "unknown key '" + path + "'; remove it or correct its name");
    auto text = node_text(key->type, value);
    if (!text) {
      return bad(line, "'" + path + "' must be " + std::string(type_text(key->type)));
    }
    out.emplace_back(path, *std::move(text));
  }
  return {};
}

// A YAML scalar that reads back as the same text.
std::string yaml_text(KeyType type, const std::string& text) {
  if ((type != kText && type != kTextOrNull) || text == "null") return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

EngineConfig::EngineConfig(const Variables& variables) {
  for (const EngineKey& key : kEngineKeys) {
    const std::string path = path_of(key);
    order_.push_back(path);
    Value& value = values_[path];
    value.text = key.fallback;
    FromVariable found = read_variable(key, variables);
    if (found.value) value = {*found.value, Source::kEnvironment};
    if (!found.warning.empty()) warnings_.push_back(std::move(found.warning));
  }
}

Result<void> EngineConfig::load(const std::string& text, const std::string& file) {
  TRY_SET(const YamlNode root, parse_yaml(text, file));
  Pairs pairs;
  TRY(read_section(root, "", file, pairs));
  for (auto& [path, value] : pairs) set(path, std::move(value), Source::kFile);
  set("source", file, Source::kFile);
  return {};
}

std::string EngineConfig::yaml() const {
  std::string out;
  std::vector<std::string> open;  // sections already begun, outermost first
  for (const EngineKey& key : kEngineKeys) {
    std::vector<std::string> parts;
    for (std::string_view rest = key.section; !rest.empty();) {
      const auto dot = rest.find('.');
      parts.emplace_back(rest.substr(0, dot));
      rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    }
    std::size_t same = 0;
    while (same < parts.size() && same < open.size() && parts[same] == open[same]) ++same;
    for (std::size_t i = same; i < parts.size(); ++i) {
      out += std::string(i * 2, ' ') + parts[i] + ":\n";
    }
    open = parts;
    out += std::string(parts.size() * 2, ' ') + std::string(key.key) + ": " +
           yaml_text(key.type, at(path_of(key)).text) + "\n";
  }
  return out;
}

const EngineConfig::Value& EngineConfig::at(std::string_view path) const {
  const auto found = values_.find(path);
  CAPSTAN_ASSERT(found != values_.end());
  return found->second;
}

void EngineConfig::set(std::string_view path, std::string text, Source source) {
  const auto found = values_.find(path);
  CAPSTAN_ASSERT(found != values_.end());
  found->second = {std::move(text), source};
}

std::vector<EngineConfig::Listed> EngineConfig::list() const {
  std::vector<Listed> listed;
  for (const std::string& path : order_) listed.push_back({path, &at(path)});
  return listed;
}

}  // namespace capstan::apps
