// Why this file exists: everything the program prints to standard output goes through here, so that
// -o json prints one JSON value per command and nothing else, and -q, -u mean the same everywhere.
// Output is buffered until finish() or flush(); errors go to standard error and are not seen here.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "apps/capstan/table.h"
#include "base/result.h"
#include "base/size_text.h"

namespace capstan::apps {

// Marks the error of an output whose reader has left (`capstan … | head`): nothing to report.
inline constexpr int kReaderGone = -3;
std::unexpected<Error> output_error(Error error);

class Printer {
 public:
  enum class Format { kDefault, kJson };
  struct Options {
    Format format = Format::kDefault;
    SizeUnits units = SizeUnits::kBinary;
    bool quiet = false;
  };
  explicit Printer(Options options) : options_(options) {}

  bool json() const { return options_.format == Format::kJson; }
  bool quiet() const { return options_.quiet; }
  SizeUnits units() const { return options_.units; }
  std::string size(std::uint64_t bytes) const { return format_size(bytes, options_.units); }

  // A message as pretty JSON; of a stream, each on a line of its own with `compact`.
  Result<void> message(const google::protobuf::Message& message, bool compact = false);
  // The table, or "No <things> found" when it is empty (not with -q).
  void table(const Table& table, std::string_view things);
  // A text of one or more lines, whatever it holds, as visible_lines() has it. Names of others
  // within it go through visible() first.
  void line(std::string_view text);
  // As it is: what the user asked for, not what names it.
  void raw(std::string_view bytes) { out_ += bytes; }
  // With -q nothing.
  void remark(std::string_view text);

  const std::string& buffered() const { return out_; }
  // To standard output; an error when it cannot be written.
  Result<void> flush();

 private:
  Options options_;
  std::string out_;
};

// A message as this program shows it: 64-bit numbers as numbers, bytes in hex, defaults too.
Result<std::string> message_json(const google::protobuf::Message& message, bool compact = false);
// Compact JSON to two-space indented JSON.
std::string pretty_json(std::string_view compact);

}  // namespace capstan::apps
