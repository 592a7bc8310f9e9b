// Why this file exists: the forms in which users name a node (--bind): http://host:port,
// https://host:port, unix:/path, or just a host. Missing scheme means http, missing port 10124
// (io-engine-behaviour section 21.1). Pure text in, value out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::apps {

struct BindUri {
  bool tls = false;
  std::string host;  // name or address; empty for Unix sockets
  std::uint16_t port = 0;
  std::string path;  // Unix socket
};

Result<BindUri> parse_bind_uri(std::string_view text);

}  // namespace capstan::apps
