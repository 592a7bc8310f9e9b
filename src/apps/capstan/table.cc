// Why this file exists: see table.h.
#include "apps/capstan/table.h"

#include <algorithm>

#include "base/assert.h"
#include "base/visible.h"

namespace capstan::apps {

std::size_t shown_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

Table::Table(std::vector<std::string_view> columns) {
  for (const std::string_view column : columns) {
    right_.push_back(column.starts_with('>'));
    names_.emplace_back(column.substr(right_.back() ? 1 : 0));
  }
}

void Table::add(std::vector<std::string> cells) {
  CAPSTAN_ASSERT(cells.size() == names_.size());
  for (std::string& cell : cells) {
    cell = cell.empty() ? "-" : visible(cell);
  }
  rows_.push_back(std::move(cells));
}

std::string Table::text(bool header) const {
  std::vector<std::size_t> widths(names_.size(), 0);
  const auto measure = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths[i] = std::max(widths[i], shown_width(cells[i]));
    }
  };
  if (header) measure(names_);
  for (const auto& row : rows_) measure(row);
  std::string out;
  const auto print = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - shown_width(cells[i]), ' ');
      line += right_[i] ? padding + cells[i] : cells[i] + padding;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  if (header) print(names_);
  for (const auto& row : rows_) print(row);
  return out;
}

}  // namespace capstan::apps
