// Why this file exists: the forms in which users name a node (--bind): http://host:port,
// https://host:port, unix:/path, or just a host for gRPC; ws://, wss:// and muxio:/path for Muxio,
// jsonrpc:/path and drpc:/path for the wires of Unix sockets. Missing scheme means http, missing
// port 10124 (io-engine-behaviour section 21.1). Pure text in, value out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "client/remote.h"

namespace capstan::apps {

struct BindUri {
  client::Wire wire = client::Wire::kGrpc;
  bool tls = false;
  std::string host;  // name or address; empty for Unix sockets
  std::uint16_t port = 0;
  std::string path;  // Unix socket
};

Result<BindUri> parse_bind_uri(std::string_view text);

}  // namespace capstan::apps
