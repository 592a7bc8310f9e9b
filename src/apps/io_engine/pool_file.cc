// Why this file exists: see pool_file.h.
#include "apps/io_engine/pool_file.h"

#include "apps/io_engine/yaml.h"

namespace capstan::apps {
namespace {

using Kind = YamlNode::Kind;

std::unexpected<Error> bad(const std::string& file, int line, const std::string& why) {
  return fail(Code::kInvalidArgument, file + ", line " + std::to_string(line) + ": " + why);
}

Result<PoolFileEntry> parse_entry(const YamlNode& node, const std::string& file) {
  if (node.kind != Kind::kMap) return bad(file, node.line, "a pool must be a map with a name");
  PoolFileEntry entry;
  bool backend = false, disks = false;
  for (const auto& [key, value] : node.fields) {
    const bool scalar = value.kind == Kind::kScalar;
    if (key == "name" && scalar) {
      entry.name = value.scalar;
    } else if (key == "backend" && scalar) {
      if (value.scalar != "Lvs" && value.scalar != "Lvm") {
        return bad(file, value.line, "unknown backend '" + value.scalar + "'; write Lvs");
      }
      backend = true;
      entry.lvm = value.scalar == "Lvm";
    } else if (key == "disks" && value.kind == Kind::kSequence) {
      disks = true;
      for (const YamlNode& disk : value.items) {
        if (disk.kind != Kind::kScalar) return bad(file, disk.line, "a disk must be a URI or path");
        entry.disks.push_back(disk.scalar);
      }
    } else if (key == "name" || key == "backend" || key == "disks") {
      return bad(file, value.line, "'" + key + "' has a value of the wrong kind");
    }  // anything else inside a pool ("replicas") is ignored, as upstream does
  }
  if (entry.name.empty()) return bad(file, node.line, "a pool has no 'name'");
  if (!backend)
    return bad(file, node.line, "pool '" + entry.name + "' has no 'backend'; write Lvs");
  if (!disks) return bad(file, node.line, "pool '" + entry.name + "' has no 'disks'");
  return entry;
}

}  // namespace

Result<std::vector<PoolFileEntry>> parse_pool_file(const std::string& text,
                                                   const std::string& file) {
  TRY_SET(const YamlNode root, parse_yaml(text, file));
  std::vector<PoolFileEntry> pools;
  if (root.kind == Kind::kNull) return pools;
  if (root.kind != Kind::kMap) return bad(file, root.line, "the file must start with 'pools:'");
  for (const auto& [key, value] : root.fields) {
    if (key != "pools")
      return bad(file, root.line, "unknown key '" + key + "'; only 'pools' is known");
    if (value.kind == Kind::kNull) continue;
    if (value.kind != Kind::kSequence) return bad(file, value.line, "'pools' must be a list");
    for (const YamlNode& item : value.items) {
      TRY_SET(PoolFileEntry entry, parse_entry(item, file));
      pools.push_back(std::move(entry));
    }
  }
  return pools;
}

}  // namespace capstan::apps
