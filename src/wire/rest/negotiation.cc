// Why this file exists: see negotiation.h.
#include "wire/rest/negotiation.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <map>
#include <ranges>

namespace capstan::wire::rest {

namespace {

constexpr unsigned kFullQuality = 1000;
constexpr double kQualityMax = 1000;  // no client means more

struct Range {
  std::string type, subtype;
  unsigned quality = kFullQuality;
};

bool is_token_char(char byte) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return std::isalnum(static_cast<unsigned char>(byte)) != 0 ||
         kOthers.find(byte) != std::string_view::npos;
}

// A cursor over a header's text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool at_end() const { return text_.empty(); }
  void spaces() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\t')) text_.remove_prefix(1);
  }
  bool take(char expected) {
    if (text_.empty() || text_[0] != expected) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string token() {
    std::string out;
    while (!text_.empty() && is_token_char(text_[0])) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(text_[0])));
      text_.remove_prefix(1);
    }
    return out;
  }
  // A token or a quoted string.
  std::optional<std::string> value() {
    if (!take('"')) {
      std::string text = token();
      return text.empty() ? std::nullopt : std::optional(std::move(text));
    }
    std::string out;
    while (!text_.empty()) {
      const char byte = text_[0];
      text_.remove_prefix(1);
      if (byte == '"') return out;
      if (byte == '\\' && !text_.empty()) {
        out += text_[0];
        text_.remove_prefix(1);
      } else {
        out += byte;
      }
    }
    return std::nullopt;
  }

 private:
  std::string_view text_;
};

// "0.5" in thousandths, cut. More than 1 is more, as in Octez.
std::optional<unsigned> quality_of(const std::string& text) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  if (!(value >= 0 && value <= kQualityMax)) return std::nullopt;
  return static_cast<unsigned>(value * kFullQuality);
}

std::optional<Range> range_of(Scanner& scanner) {
  Range range;
  range.type = scanner.token();
  if (range.type.empty() || !scanner.take('/')) return std::nullopt;
  range.subtype = scanner.token();
  if (range.subtype.empty() || (range.type == "*" && range.subtype != "*")) return std::nullopt;
  scanner.spaces();
  while (scanner.take(';')) {
    scanner.spaces();
    const std::string name = scanner.token();
    scanner.spaces();
    if (name.empty() || !scanner.take('=')) return std::nullopt;
    scanner.spaces();
    const auto value = scanner.value();
    if (!value) return std::nullopt;
    if (name == "q") {
      const auto quality = quality_of(*value);
      if (!quality) return std::nullopt;
      range.quality = *quality;
    }
    scanner.spaces();
  }
  return range;
}

// Best first, equal ones as they came.
using Ranges = std::multimap<unsigned, Range, std::greater<>>;

// Nothing when it is no list of ranges.
std::optional<Ranges> ranges_of(std::string_view accept) {
  Ranges ranges;
  Scanner scanner(accept);
  while (true) {
    scanner.spaces();
    if (scanner.at_end()) return ranges;
    if (scanner.take(',')) continue;
    auto range = range_of(scanner);
    if (!range) return std::nullopt;
    ranges.emplace(range->quality, *std::move(range));
    if (!scanner.at_end() && !scanner.take(',')) return std::nullopt;
  }
}

bool matches(const Range& range, rpc::Media media) {
  const auto name = rpc::media_name(media);
  const auto slash = name.find('/');
  return (range.type == "*" || range.type == name.substr(0, slash)) &&
         (range.subtype == "*" || range.subtype == name.substr(slash + 1));
}

}  // namespace

Result<MediaTypes> media_preference(std::string_view name) {
  using enum rpc::Media;
  if (name == "any") return MediaTypes{kJson, kBson, kBinary};
  if (name == "json") return MediaTypes{kJson, kBson};
  if (name == "binary") return MediaTypes{kBinary};
  return fail(Code::kInvalidArgument,
              "media type '" + std::string(name) + "' is none of any, json, binary");
}

std::string media_list(const MediaTypes& offered) {
  std::string list;
  for (const auto media : offered) {
    list += (list.empty() ? "" : ", ") + std::string(rpc::media_name(media));
  }
  return list;
}

std::optional<rpc::Media> negotiate(std::optional<std::string_view> accept,
                                    const MediaTypes& offered) {
  if (!accept) return offered.front();
  const auto ranges = ranges_of(*accept);
  if (!ranges) return std::nullopt;
  // A type that is excluded by its own name stays so when a wildcard matches it.
  const auto excluded = [&](rpc::Media media) {
    return std::ranges::any_of(*ranges | std::views::values, [&](const Range& range) {
      return range.quality == 0 && range.subtype != "*" && matches(range, media);
    });
  };
  for (const auto& [quality, range] : *ranges) {
    if (quality == 0) break;
    for (const auto media : offered) {
      if (matches(range, media) && !excluded(media)) return media;
    }
  }
  return std::nullopt;
}

std::string media_essence(std::string_view text) {
  text = text.substr(0, text.find(';'));
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::optional<rpc::Media> request_media(std::optional<std::string_view> content_type,
                                        const MediaTypes& offered) {
  if (!content_type) return offered.front();
  const auto media = rpc::media_named(media_essence(*content_type));
  if (!media || std::ranges::find(offered, *media) == offered.end()) return std::nullopt;
  return media;
}

}  // namespace capstan::wire::rest
