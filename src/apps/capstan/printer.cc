// Why this file exists: see printer.h.
#include "apps/capstan/printer.h"

#include <cerrno>
#include <cstdio>

#include "base/visible.h"
#include "rpc/json_writer.h"

namespace capstan::apps {

std::unexpected<Error> output_error(Error error) {
  if (error.sys_errno == EPIPE) error.sys_errno = kReaderGone;
  return std::unexpected(std::move(error));
}

std::string pretty_json(std::string_view compact) {
  std::string out;
  std::size_t depth = 0;
  bool in_text = false;
  const auto new_line = [&] { out += "\n" + std::string(depth * 2, ' '); };
  for (std::size_t i = 0; i < compact.size(); ++i) {
    const char c = compact[i];
    if (in_text) {
      out += c;
      if (c == '\\' && i + 1 < compact.size())
        out += compact[++i];
      else if (c == '"')
        in_text = false;
      continue;
    }
    const char next = i + 1 < compact.size() ? compact[i + 1] : '\0';
    if ((c == '{' && next == '}') || (c == '[' && next == ']')) {
      out += c;
      out += next;
      ++i;
    } else if (c == '{' || c == '[') {
      out += c;
      ++depth;
      new_line();
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
      new_line();
      out += c;
    } else if (c == ',') {
      out += c;
      new_line();
    } else if (c == ':') {
      out += ": ";
    } else {
      in_text = c == '"';
      out += c;
    }
  }
  return out;
}

Result<std::string> message_json(const google::protobuf::Message& message, bool compact) {
  rpc::JsonStyle style;
  style.wide = rpc::JsonStyle::Wide::kNumber;
  style.names = rpc::JsonStyle::Names::kDeclared;
  style.bytes = rpc::JsonStyle::Bytes::kHex;
  style.show_defaults = true;
  std::string text;
  TRY(rpc::write_json(message, style, text));
  return compact ? text : pretty_json(text);
}

Result<void> Printer::message(const google::protobuf::Message& message, bool compact) {
  TRY_SET(const std::string text, message_json(message, compact));
  out_ += text + "\n";
  return {};
}

void Printer::table(const Table& table, std::string_view things) {
  if (table.empty()) {
    remark("No " + std::string(things) + " found");
    return;
  }
  out_ += table.text(!options_.quiet);
}

void Printer::line(std::string_view text) {
  out_ += visible_lines(text);
  out_ += '\n';
}

void Printer::remark(std::string_view text) {
  if (!options_.quiet) line(text);
}

Result<void> Printer::flush() {
  const std::string out = std::exchange(out_, {});
  if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0) {
    return output_error(fail_errno(errno, "write to standard output").error());
  }
  return {};
}

}  // namespace capstan::apps
