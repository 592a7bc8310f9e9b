// Why this file exists: the HTTP wire of a program as one part: the server of wire/rest with the
// program's gate, the documents about the node, and which addresses serve metrics.
// Thread-safety: core 0. Everything given outlives it.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "apps/serving/config_http.h"
#include "apps/serving/gate.h"
#include "core/log.h"
#include "core/metrics.h"
#include "rpc/directory.h"
#include "wire/grpc/guest.h"
#include "wire/rest/documents.h"
#include "wire/rest/server.h"

namespace capstan::apps {

class HttpWire {
 public:
  // What the documents say about the program.
  struct About {
    std::string title;
    std::function<std::string()> missing = {};  // Documents::Options::missing
  };
  // The directory is complete, its interceptors are the gate's. Fails when paths of operations
  // conflict.
  static Result<std::unique_ptr<HttpWire>> create(const rpc::Directory& directory,
                                                  const core::Log& log, const HttpConfig& config,
                                                  Gate& gate, About about);
  // Somebody listens at `address` from now on.
  void listening(const core::Address& address, bool http_only);
  void listening_metrics(const core::Address& address) { metrics_only_.insert(address.text()); }
  wire::rest::Server& server() { return *server_; }
  // Answers what arrives over HTTP/2 on gRPC's connections.
  wire::GuestFactory guest();

 private:
  explicit HttpWire(const HttpConfig& config) : config_(config) {}
  wire::rest::MetricsAt metrics_at(const core::PeerInfo& peer) const;

  const HttpConfig& config_;
  std::set<std::string, std::less<>> metrics_only_, metrics_too_;
  std::unique_ptr<wire::rest::Server> server_;
  std::unique_ptr<wire::rest::Documents> documents_;
};

}  // namespace capstan::apps
