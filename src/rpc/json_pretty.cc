// Why this file exists: see json_pretty.h. Depth is bounded by the parser.
#include "rpc/json_pretty.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {

namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

void write(const element& value, std::size_t indent, std::string& out);

void new_line(std::size_t indent, std::string& out) {
  out += '\n';
  out.append(indent * 2, ' ');
}

void write_array(const simdjson::dom::array& array, std::size_t indent, std::string& out) {
  char separator = '[';
  for (const element item : array) {
    out += separator;
    separator = ',';
    new_line(indent + 1, out);
    write(item, indent + 1, out);
  }
  if (separator == '[') {
    out += "[]";
    return;
  }
  new_line(indent, out);
  out += ']';
}

void write_object(const simdjson::dom::object& object, std::size_t indent, std::string& out) {
  std::vector<std::pair<std::string_view, element>> members;
  for (const auto& [name, value] : object) members.emplace_back(name, value);
  std::ranges::sort(members, {}, &std::pair<std::string_view, element>::first);
  char separator = '{';
  for (const auto& [name, value] : members) {
    out += separator;
    separator = ',';
    new_line(indent + 1, out);
    append_json_string(name, out);
    out += ": ";
    write(value, indent + 1, out);
  }
  if (separator == '{') {
    out += "{}";
    return;
  }
  new_line(indent, out);
  out += '}';
}

void write(const element& value, std::size_t indent, std::string& out) {
  switch (value.type()) {
    case element_type::ARRAY: return write_array(value.get_array().value_unsafe(), indent, out);
    case element_type::OBJECT: return write_object(value.get_object().value_unsafe(), indent, out);
    case element_type::STRING: return append_json_string(value.get_string().value_unsafe(), out);
    default: out += simdjson::minify(value); return;
  }
}

}  // namespace

Result<std::string> pretty_sorted_json(std::string_view json) {
  simdjson::dom::parser parser;
  element root;
  auto error =
      parser.allocate(std::max<std::size_t>(json.size(), 64), limits::kJsonNestingDepth + 1);
  if (!error) error = parser.parse(json.data(), json.size(), true).get(root);
  if (error) return fail(Code::kInvalidArgument, simdjson::error_message(error));
  std::string out;
  write(root, 0, out);
  return out;
}

}  // namespace capstan::rpc
