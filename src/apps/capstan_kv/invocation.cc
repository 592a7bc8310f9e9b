// Why this file exists: see invocation.h.
#include "apps/capstan_kv/invocation.h"

#include <algorithm>
#include <cctype>

namespace capstan::apps {

namespace {

// Upstream's sizes (datastore section 11): digits and perhaps k, kb, m, mb, g or gb.
Result<void> check_buffer_size(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string unit(text.substr(digits));
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* known : {"", "k", "kb", "m", "mb", "g", "gb"}) {
    if (digits != 0 && unit == known) return {};
  }
  return fail(Code::kInvalidArgument,
              "Invalid buffer size unit: " + std::string(text) + ". Write it as in 64k");
}

}  // namespace

Result<KvInvocation> parse_kv_arguments(const std::vector<std::string>& arguments) {
  KvInvocation out;
  std::vector<std::string> words;
  bool flags = true;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    std::string* value = nullptr;
    std::string ignored;
    if (flags && word == "--") {
      flags = false;
      continue;
    }
    if (flags && (word == "-i" || word == "--input")) value = &out.input;
    if (flags && (word == "-t" || word == "--to")) value = &out.to;
    const bool size = flags && (word == "-b" || word == "--buffer-size");
    if (size) value = &ignored;
    if (value) {
      if (++at == arguments.size() || arguments[at].empty()) {
        return fail(Code::kInvalidArgument, word + " needs a value");
      }
      *value = arguments[at];
      if (size) TRY(check_buffer_size(ignored));
    } else if (flags && (word == "-f" || word == "--force")) {
      out.force = true;
    } else if (flags && word == "--json") {
      out.json = true;
    } else if (flags && (word == "-q" || word == "--quiet")) {
      out.quiet = true;
    } else {
      words.push_back(word);
    }
  }
  if (words.size() < 2) return fail(Code::kInvalidArgument, "a file and a command are needed");
  if (out.to == "-") out.to.clear();
  if (out.input == "-") out.input.clear();
  out.file = words[0];
  out.command = words[1];
  out.words.assign(words.begin() + 2, words.end());
  return out;
}

}  // namespace capstan::apps
