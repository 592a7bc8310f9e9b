// Why this file exists: which pages of other origins may use the node from a browser, and what
// their preflight requests are answered (http-rpc section 11). Without allowed origins there is no
// CORS at all. Only decisions; no I/O.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capstan::wire::rest {

struct CorsSettings {
  std::vector<std::string> origins;  // "*", "http://a.b", "localhost"
  std::vector<std::string> headers;  // besides Content-Type
  bool check_host = true;            // the Host of a request must be an allowed origin, too

  // The entry that `origin` matches: equal, or followed by '/', the longest one; "*" matches all.
  std::optional<std::string_view> match(std::string_view origin) const;
  // Whether a request with this Host header (nothing: none) is served at all.
  bool host_allowed(std::optional<std::string_view> host) const;
  // "Content-Type, x-foo": in lower case, sorted, each once; Content-Type stands there always.
  std::string header_list() const;
};

inline constexpr char kCorsErrorHeader[] = "X-OCaml-Resto-CORS-Error";

}  // namespace capstan::wire::rest
