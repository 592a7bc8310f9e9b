// Why this file exists: see progress.h.
#include "apps/capstan/progress.h"

#include <algorithm>
#include <cstdio>

#include "apps/capstan/table.h"

namespace capstan::apps {
namespace {

constexpr core::Nanos kRedraw = 100 * core::kMillisecond;
constexpr std::size_t kBarWidth = 24;

std::string time_text(std::uint64_t seconds) {
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600)
    return std::to_string(seconds / 60) + "m " + std::to_string(seconds % 60) + "s";
  return std::to_string(seconds / 3600) + "h " + std::to_string(seconds / 60 % 60) + "m";
}

// The numbers matter more than a long path, of which the end says most.
std::string shortened(std::string_view what, std::size_t columns, std::size_t numbers) {
  const std::size_t room = std::max<std::size_t>(columns > numbers ? columns - numbers : 0, 1);
  if (shown_width(what) <= room) return std::string(what);
  while (shown_width(what) >= room && !what.empty()) {  // one column is the ellipsis's
    what.remove_prefix(1);
    while (!what.empty() && (static_cast<unsigned char>(what.front()) & 0xC0) == 0x80) {
      what.remove_prefix(1);
    }
  }
  return "…" + std::string(what);
}

}  // namespace

std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total,
                          core::Nanos elapsed, unsigned columns, SizeUnits units) {
  done = std::min(done, total);
  const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  const double seconds = static_cast<double>(elapsed) / 1e9;
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  std::string bar(filled, '=');
  if (filled < kBarWidth) bar += '>';
  bar.resize(kBarWidth, ' ');
  std::string line;
  line += "  [" + bar + "]  " + std::to_string(static_cast<int>(share * 100)) + "%  " +
          format_size(done, units) + " of " + format_size(total, units) + "  " +
          format_size(static_cast<std::uint64_t>(rate), units) + "/s";
  if (rate > 0 && done < total) {
    line += "  " + time_text(static_cast<std::uint64_t>(static_cast<double>(total - done) / rate)) +
            " left";
  }
  line = shortened(what, columns, shown_width(line)) + line;
  while (shown_width(line) > columns && !line.empty()) {  // cut whole characters
    while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xC0) == 0x80)
      line.pop_back();
    if (!line.empty()) line.pop_back();
  }
  return line;
}

Progress::Progress(std::string what, std::uint64_t total, bool shown, unsigned columns,
                   SizeUnits units)
    : what_(std::move(what)),
      total_(total),
      shown_(shown),
      columns_(columns),
      units_(units),
      started_(core::Reactor::current()->read_clock()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\n", stderr);
}

void Progress::update(std::uint64_t done) {
  if (!shown_) return;
  const core::Nanos now = core::Reactor::current()->read_clock();
  if (drawn_ && now - last_ < kRedraw && done < total_) return;
  last_ = now;
  drawn_ = true;
  const std::string line =
      progress_line(what_, done, total_, now - started_, columns_ > 1 ? columns_ - 1 : 1, units_);
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
}

}  // namespace capstan::apps
