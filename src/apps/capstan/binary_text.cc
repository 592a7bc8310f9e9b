// Why this file exists: see binary_text.h.
#include "apps/capstan/binary_text.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "apps/capstan/table.h"

namespace capstan::apps {

namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;
using Row = std::vector<std::string>;

std::string_view text_of(const object& in, const char* name) {
  std::string_view text;
  return in[name].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// "Uint30": 4 bytes, of which the upper bits are 0.
std::string size_text(std::string_view integer) {
  if (integer.ends_with("64")) return "8 bytes";
  if (integer.ends_with("16")) return "2 bytes";
  return integer.ends_with("8") ? "1 byte" : "4 bytes";
}

std::string integer_text(std::string_view integer) {
  const bool plain = integer.starts_with("Uint");
  const auto bits = std::string(integer.substr(plain ? 4 : 3));
  const char* order = bits == "8" ? "" : " big-endian";
  return (plain ? "unsigned " : "signed ") + bits + "-bit" + order + " integer";
}

std::string layout_text(const object& layout) {
  const auto kind = text_of(layout, "kind");
  if (kind == "Bool") return "boolean (0 for false, 255 for true)";
  if (kind == "Int") return integer_text(text_of(layout, "size"));
  if (kind == "Float") return "double-precision floating-point number";
  if (kind == "String" || kind == "Bytes") return "bytes";
  if (kind == "Ref") return "$" + std::string(text_of(layout, "name"));
  object inner;
  if (kind == "Seq" && layout["layout"].get(inner) == simdjson::SUCCESS) {
    return "sequence of " + layout_text(inner);
  }
  std::int64_t least = 0, most = 0;
  if (kind == "RangedInt" && layout["min"].get(least) == simdjson::SUCCESS &&
      layout["max"].get(most) == simdjson::SUCCESS) {
    return "integer in the range " + std::to_string(least) + " to " + std::to_string(most);
  }
  return std::string(kind);
}

std::string extent_text(const object& data) {
  std::uint64_t bytes = 0;
  if (data["size"].get(bytes) == simdjson::SUCCESS) {
    return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  }
  return text_of(data, "kind") == "Dynamic" ? "Determined from data" : "Variable";
}

// Rows as wide as their widest cells, the first one as the head.
std::string box(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], shown_width(row[i]));
    }
  }
  const auto rule = [&](char dash) {
    std::string line = "+";
    for (const auto width : widths) line += std::string(width + 2, dash) + "+";
    return line + "\n";
  };
  std::string out = rule('-');
  for (const Row& row : rows) {
    out += "|";
    for (std::size_t i = 0; i < widths.size(); ++i) {
      out += " " + row[i] + std::string(widths[i] - shown_width(row[i]), ' ') + " |";
    }
    out += "\n" + rule(&row == rows.data() ? '=' : '-');
  }
  return out;
}

class Rows {
 public:
  bool field(const object& one) {
    const auto kind = text_of(one, "kind");
    const std::string name(text_of(one, "name"));
    if (kind == "dyn") {
      const auto size = text_of(one, "size");
      const std::string what = name.empty() ? "next field" : "field \"" + name + "\"";
      rows_.push_back({"# bytes in " + what, size_text(size), integer_text(size)});
      return true;
    }
    if (kind == "option_indicator") {
      rows_.push_back({"? presence of field \"" + name + "\"", "1 byte",
                       "boolean (0 for false, 255 for true)"});
      return true;
    }
    object layout, data;
    if (one["layout"].get(layout) != simdjson::SUCCESS ||
        one["data_kind"].get(data) != simdjson::SUCCESS) {
      return false;
    }
    const std::string shown = name.empty() ? "Unnamed field " + std::to_string(unnamed_++) : name;
    rows_.push_back({shown, extent_text(data), layout_text(layout)});
    return true;
  }
  std::string text() const { return rows_.size() == 1 ? "(no bytes)\n" : box(rows_); }

 private:
  std::vector<Row> rows_ = {{"Name", "Size", "Contents"}};
  int unnamed_ = 0;
};

bool append_fields(const array& fields, std::string& out) {
  Rows rows;
  for (const element one : fields) {
    object field;
    if (one.get(field) != simdjson::SUCCESS || !rows.field(field)) return false;
  }
  out += rows.text();
  return true;
}

// [[0,"on"],[1,"off"]]
bool append_enumeration(std::string_view size, const array& cases, std::string& out) {
  std::vector<Row> rows = {{"Case number", "Name"}};
  for (const element one : cases) {
    array pair;
    std::int64_t number = 0;
    std::string_view name;
    if (one.get(pair) != simdjson::SUCCESS || pair.at(0).get(number) != simdjson::SUCCESS ||
        pair.at(1).get(name) != simdjson::SUCCESS) {
      return false;
    }
    rows.push_back({std::to_string(number), std::string(name)});
  }
  out += "Enumeration: " + integer_text(size) + "\n" + box(rows);
  return true;
}

// A table for each case, below its name and tag.
bool append_union(std::string_view tag_size, const array& cases, std::string& out) {
  out += "One of several cases, each behind its tag: " + integer_text(tag_size) + "\n";
  for (const element one : cases) {
    object member;
    array fields;
    std::int64_t tag = 0;
    if (one.get(member) != simdjson::SUCCESS || member["tag"].get(tag) != simdjson::SUCCESS ||
        member["fields"].get(fields) != simdjson::SUCCESS) {
      return false;
    }
    const std::string name(text_of(member, "name"));
    out += (name.empty() ? "" : name + " ") + "(tag " + std::to_string(tag) + ")\n";
    if (!append_fields(fields, out)) return false;
  }
  return true;
}

// The three forms of an encoding: an object's fields, an enumeration's or a union's cases.
bool append_encoding(const object& encoding, std::string& out) {
  array members;
  if (encoding["fields"].get(members) == simdjson::SUCCESS) return append_fields(members, out);
  if (encoding["cases"].get(members) != simdjson::SUCCESS) return false;
  if (const auto tag = text_of(encoding, "tag_size"); !tag.empty()) {
    return append_union(tag, members, out);
  }
  const auto size = text_of(encoding, "size");
  return !size.empty() && append_enumeration(size, members, out);
}

bool append_named(const object& one, std::string& out) {
  object description, encoding;
  if (one["description"].get(description) != simdjson::SUCCESS ||
      one["encoding"].get(encoding) != simdjson::SUCCESS) {
    return false;
  }
  out += "\n" + std::string(text_of(description, "title"));
  if (const auto what = text_of(description, "description"); !what.empty()) {
    out += " (" + std::string(what) + ")";
  }
  out += "\n";
  return append_encoding(encoding, out);
}

}  // namespace

Result<std::string> binary_text(std::string_view schema) {
  simdjson::dom::parser parser;
  object whole, toplevel;
  array named;
  std::string out;
  bool read = parser.parse(simdjson::padded_string(schema)).get(whole) == simdjson::SUCCESS &&
              whole["toplevel"].get(toplevel) == simdjson::SUCCESS &&
              whole["fields"].get(named) == simdjson::SUCCESS && append_encoding(toplevel, out);
  if (read) {
    for (const element one : named) {
      object field;
      read = read && one.get(field) == simdjson::SUCCESS && append_named(field, out);
    }
  }
  if (!read) return fail(Code::kInternal, "the layout is in a form that this program cannot read");
  out.pop_back();
  return out;
}

}  // namespace capstan::apps
