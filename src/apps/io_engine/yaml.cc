// Why this file exists: see yaml.h.
#include "apps/io_engine/yaml.h"

#include <yaml-cpp/yaml.h>

namespace capstan::apps {
namespace {

constexpr int kNestingMax = 32;

std::unexpected<Error> bad(const std::string& file, int line, std::string_view why) {
  return fail(Code::kInvalidArgument,
              file + ", line " + std::to_string(line) + ": " + std::string(why));
}

Result<YamlNode> convert(const YAML::Node& from, const std::string& file, int depth) {
  YamlNode node;
  node.line = from.Mark().line + 1;
  if (depth > kNestingMax) return bad(file, node.line, "nested too deeply");
  switch (from.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null: return node;
    case YAML::NodeType::Scalar:
      node.kind = YamlNode::Kind::kScalar;
      node.scalar = from.Scalar();
      node.quoted = from.Tag() == "!";  // yaml-cpp's mark of quoted scalars
      return node;
    case YAML::NodeType::Sequence:
      node.kind = YamlNode::Kind::kSequence;
      for (const auto& item : from) {
        TRY_SET(YamlNode child, convert(item, file, depth + 1));
        node.items.push_back(std::move(child));
      }
      return node;
    case YAML::NodeType::Map:
      node.kind = YamlNode::Kind::kMap;
      for (const auto& field : from) {
        if (!field.first.IsScalar()) return bad(file, node.line, "a key is not a plain word");
        const std::string key = field.first.Scalar();
        if (node.find(key)) return bad(file, node.line, "'" + key + "' is given twice");
        TRY_SET(YamlNode child, convert(field.second, file, depth + 1));
        node.fields.push_back({key, std::move(child)});
      }
      return node;
  }
  return node;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const auto& [name, value] : fields) {
    if (name == key) return &value;
  }
  return nullptr;
}

Result<YamlNode> parse_yaml(const std::string& text, const std::string& file) {
  try {
    return convert(YAML::Load(text), file, 0);
  } catch (const YAML::Exception& error) {
    return bad(file, error.mark.line + 1, error.msg);
  }
}

}  // namespace capstan::apps
