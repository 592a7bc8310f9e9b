// Why this file exists: the one door to Boost.URL. Device URIs, and later HTTP targets of storage
// peers, are taken apart here and nowhere else, so that the library can be replaced in one file.
// More tolerant than RFC 3986 where people type paths: blanks, non-ASCII letters and a stray '%'
// stand for themselves. Stricter where silence would hurt: a fragment ('#'), encoded NUL bytes and
// user information are refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::storage {

struct UrlParam {
  std::string key, value;
};

struct Url {
  std::string scheme;     // lower case
  std::string authority;  // as written: "host:port"; empty when there is none
  std::string host;       // decoded, without brackets
  std::optional<std::uint16_t> port;
  std::string encoded_path;      // as written
  std::string path;              // decoded, "." and ".." resolved: "/a/b"
  std::vector<UrlParam> params;  // decoded, in order; "?flag" has an empty value
};

// kInvalidArgument with the reason; the message does not repeat `text`. User information
// ("user:password@") is refused: no device asks for any, and it would stand in lists and files.
Result<Url> parse_url(std::string_view text);

// `text` for messages: what may be user information in front of a host is an ellipsis, also where
// the text is no URL otherwise.
std::string without_user_info(std::string_view text);

// "scheme:" in front, as RFC 3986 spells schemes.
bool has_scheme(std::string_view text);

}  // namespace capstan::storage
