// Why this file exists: the forms in which users name a node. --bind is Mayastor's:
// http://host:port, https://host:port or just a host are gRPC (io-engine-behaviour section 21.1).
// --endpoint says what it means: there http:// and https:// are HTTP, as in Octez's clients
// (http-rpc section 14.3), and grpc:// and grpcs:// gRPC. In both: ws://, wss:// and muxio:/path
// for Muxio, http+unix:/path, unix:/path (gRPC), jsonrpc:/path and drpc:/path. Missing port means
// 10124. Schemes are in any case. User information is refused, and errors do not repeat it. Text
// in, value out.
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
  std::string path;       // Unix socket
  std::string base_path;  // of HTTP: stands before every path; "" or "/base"
};

inline constexpr char kDefaultBind[] = "http://127.0.0.1:10124";
enum class AddressFlag : std::uint8_t { kBind, kEndpoint };
Result<BindUri> parse_bind_uri(std::string_view text, AddressFlag flag = AddressFlag::kBind);

}  // namespace capstan::apps
