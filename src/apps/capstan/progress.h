// Why this file exists: the progress bar of long transfers: bytes, rate and time left on one line
// of a terminal that is rewritten in place. Without a terminal (a pipe, -q) nothing is shown.
#pragma once

#include <cstdint>
#include <string>

#include "base/size_text.h"
#include "core/reactor.h"

namespace capstan::apps {

// One state of the bar, cut to `columns`:
// "import disk.img  [=====>    ]  53%  1.07 GiB of 2.00 GiB  312.00 MiB/s  3s left".
std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t total,
                          core::Nanos elapsed, unsigned columns, SizeUnits units);

class Progress {
 public:
  // Writes to standard error; `shown` false: silent.
  Progress(std::string what, std::uint64_t total, bool shown, unsigned columns, SizeUnits units);
  ~Progress();  // leaves the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // Redraws at most ten times a second.
  void update(std::uint64_t done);
  void set_total(std::uint64_t total) { total_ = total; }

 private:
  std::string what_;
  std::uint64_t total_;
  bool shown_, drawn_ = false;
  unsigned columns_;
  SizeUnits units_;
  core::Nanos started_, last_ = 0;
};

}  // namespace capstan::apps
