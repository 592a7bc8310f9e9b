// Why this file exists: see log_text.h. It rather cuts too much: which quotation mark of a text
// ends a value and which belongs to it cannot be told.
#include "rpc/log_text.h"

#include <algorithm>

#include "rpc/error_text.h"
#include "rpc/field_text.h"
#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

constexpr std::string_view kMarks = "'\"";
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
constexpr std::size_t kNameBytes = 128;

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The first mark that opens something: an apostrophe stands behind a letter.
std::size_t opening(std::string_view text) {
  auto at = text.find_first_of(kMarks);
  while (at != std::string_view::npos && at > 0 && text[at] == '\'' && is_alnum(text[at - 1])) {
    at = text.find_first_of(kMarks, at + 1);
  }
  return at;
}

std::string without_quotes(std::string_view text) {
  const auto first = opening(text);
  if (first == std::string_view::npos) return std::string(text);
  const auto last = text.find_last_of(kMarks);
  std::string kept(text.substr(0, first + 1));
  kept += kEllipsis;
  // A mark that a letter follows opens a value, which may be all the rest.
  const bool closes = last > first && (last + 1 == text.size() || !is_alnum(text[last + 1]));
  return closes ? kept += text.substr(last) : kept;
}

std::string without_uris(std::string text) {
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at)) {
    const auto before = text.find_last_of(' ', at);
    const std::size_t start = before == std::string::npos ? 0 : before + 1;
    text.replace(start, std::min(text.find(' ', at), text.size()) - start, kEllipsis);
    at = start;
  }
  return text;
}

bool names_object(const HttpStep& step) {
  return step.kind == HttpStep::Kind::kArgument && !step.field.empty() &&
         step.name.ends_with("_id");
}

bool is_plain(std::string_view name) {
  return name.size() <= kNameBytes && std::ranges::all_of(name, [](char c) {
           return is_alnum(c) || std::string_view("-_.:").find(c) != std::string_view::npos;
         });
}

}  // namespace

std::string log_text(const Error& error) {
  if (error.code == Code::kInvalidArgument || error.code == Code::kOutOfRange) {
    return "the answer says what is wrong with the request";
  }
  return without_uris(without_quotes(error_text(error)));
}

std::string log_object(const Operation& operation, const google::protobuf::Message& request) {
  for (const HttpBinding& binding : operation.http) {
    std::string object;
    bool whole = true;
    for (const HttpStep& step : binding.steps) {
      if (!names_object(step)) continue;
      const auto text = field_text(request, step.field);
      whole = whole && text && is_plain(*text);
      if (whole) object += (object.empty() ? "" : "/") + *text;
    }
    if (whole && !object.empty()) return object;
  }
  return {};
}

}  // namespace capstan::rpc
