// Why this file exists: the node's own gateways (capstan-gateway), one process for each --gateway
// address: started beside this program, started again when they end, with growing pauses when they
// do not stay, and ended with the node. That they end when the node is killed is their business
// (--with-parent).
// Source: http-rpc section 19.3.
// Thread-safety: core 0. `config` outlives it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "apps/io_engine/config.h"
#include "core/log.h"
#include "core/os_process.h"
#include "core/scope.h"

namespace capstan::apps {

class Gateways {
 public:
  Gateways(const core::Log& log, const NodeConfig& config);
  ~Gateways();
  Gateways(const Gateways&) = delete;
  Gateways& operator=(const Gateways&) = delete;

  // Once the node answers at its socket for gateways.
  void start();
  // They read their certificates, keys and access lists again, which are the node's.
  void reload();
  // Returns when the last one has ended; who takes too long is killed.
  core::Task<void> stop();

 private:
  core::Task<void> keep(core::Address address);
  core::Task<void> tell_of_start(core::ChildProcess* child, std::string address);
  Result<std::unique_ptr<core::ChildProcess>> launch(const core::Address& address) const;

  core::Log log_;
  const NodeConfig& config_;
  std::set<core::ChildProcess*> running_;
  core::Scope scope_;
  core::Timer patience_;
};

// How long to wait before the start that follows `failures` that did not stay.
core::Nanos restart_pause(unsigned failures);

}  // namespace capstan::apps
