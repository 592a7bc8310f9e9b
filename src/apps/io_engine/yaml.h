// Why this file exists: the configuration files are YAML, and yaml-cpp (slow to compile, throws) is
// known to one file only (yaml.cc). Everybody else sees this plain tree. Keys keep their order;
// positions are kept so that messages can name the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::apps {

struct YamlNode {
  struct Field;  // key and value
  enum class Kind { kNull, kScalar, kSequence, kMap } kind = Kind::kNull;
  bool quoted = false;  // a scalar in quotes: text, never a number or null
  int line = 0;         // from 1
  std::string scalar;
  std::vector<YamlNode> items;                       // kSequence
  std::vector<Field> fields;                         // kMap
  const YamlNode* find(std::string_view key) const;  // null when missing
};

struct YamlNode::Field {
  std::string key;
  YamlNode value;
};

// kInvalidArgument names `file` and the line. An empty text is a null node.
Result<YamlNode> parse_yaml(const std::string& text, const std::string& file);

}  // namespace capstan::apps
