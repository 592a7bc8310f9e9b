// Why this file exists: lists on a terminal: columns as wide as their widest cell, two blanks
// between them, no blanks at the end of lines, so that output can be cut and compared.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace capstan::apps {

class Table {
 public:
  // A name that starts with '>' makes a right-aligned column; the mark is not shown.
  explicit Table(std::vector<std::string_view> columns);
  // As many cells as columns; an empty cell shows as "-". Control characters show as visible() has
  // them.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string text(bool header) const;

 private:
  std::vector<std::string> names_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

// Characters of a UTF-8 text as a terminal counts them (combining and wide ones count as one).
std::size_t shown_width(std::string_view text);

}  // namespace capstan::apps
