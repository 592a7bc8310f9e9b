// Why this file exists: one access list for all wires. The HTTP wire asks by method and path before
// it looks for anything; on every other wire an operation stands for its HTTP bindings
// (rpc/http_binding.h) with the arguments of its request: it is let through when one of them is.
// Where the request is not at hand (streams), only what the list says of all arguments counts. An
// operation without a binding stands for POST /rpc/package.Service/Method.
//
// What holds where no entry names the listening address:
//   HTTP requests, and all else on --http-listen addresses: everything on loopback and Unix
//     sockets, the secure list on all other addresses (http-rpc section 12.3);
//   other protocols on the node's own port and sockets: everything, as in the originals;
//   with `secure` the secure list, everywhere and for every wire.
// On addresses that are for metrics alone only GET /metrics is let through, whatever the list says.
// Thread-safety: core 0, as the directory.
#pragma once

#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rpc/acl.h"
#include "rpc/call.h"
#include "rpc/http_binding.h"

namespace capstan::rpc {

class Operation;

// The name of the wire whose calls have a method and a path of their own.
inline constexpr std::string_view kHttpWire = "rest";
// A call that another call over HTTP makes (the JSON bridge): no path of its own was asked about.
inline constexpr std::string_view kHttpBridgeWire = "rest-bridge";
inline std::string_view bridged_wire(std::string_view outer) {
  return outer == kHttpWire ? kHttpBridgeWire : outer;
}
inline bool is_http(std::string_view wire) {
  return wire == kHttpWire || wire == kHttpBridgeWire;
}

struct AclSettings {
  AclTable table;  // resolved
  bool secure = false;
};

class Acl {
 public:
  explicit Acl(AclSettings settings = {});
  // From now on; calls under way are not asked again.
  void replace(AclSettings settings);
  // An address (PeerInfo::listener) where the HTTP defaults hold for every wire.
  void add_http_listener(std::string listener) { http_.insert(std::move(listener)); }

  // An address for metrics: GET /metrics is let through, and nothing else, for every wire and
  // whatever the list says.
  void add_metrics_listener(std::string listener);
  bool is_metrics_listener(std::string_view listener) const { return metrics_.contains(listener); }

  // In whose name documents are answered over HTTP (rest/documents.h). A whitelist was asked about
  // their own paths; a blacklist that names this operation's holds for all of them.
  void set_documents(const Operation* in_whose_name) { documents_ = in_whose_name; }

  // An address whose callers have been asked elsewhere (a node's gateways): everything is let
  // through there, whatever the list and the access rules say.
  void add_trusted_listener(std::string listener);
  bool trusted(std::string_view listener) const {
    return !trusted_.empty() && trusted_.contains(listener);
  }

  // The policy for what arrives at `listener`. Valid until replace().
  const AclPolicy& policy(std::string_view listener, std::string_view wire) const;
  // For a wire that has method and decoded path segments.
  bool allows(std::string_view listener, std::string_view wire, std::string_view method,
              std::span<const std::string> steps) const {
    return policy(listener, wire).allows(method, steps);
  }
  // For a call whose operation is known; `request` may be null. A second name of what native paths
  // do (rpc/second_names.h) is let through as it is called, unless a blacklist names any of those
  // paths; a whitelist knows it by its own path alone, so it does not become wider. Does not
  // allocate when the answer does not depend on the request.
  bool allows(const Call& call, const google::protobuf::Message* request) const;

 private:
  enum class Verdict : std::uint8_t { kAllowed, kRefused, kDepends };
  struct Known {
    Verdict verdict = Verdict::kDepends;
    std::vector<HttpBinding> native;  // of a second name, where a blacklist asks about them
  };
  struct Policy {
    AclPolicy policy;
    std::unordered_map<const Operation*, Known> verdicts;  // at most one for each operation
  };
  static const Known& known_of(Policy& policy, const Operation& operation);
  struct Listener {
    Policy http, other;
  };
  Listener& listener(std::string_view text) const;
  Policy& policy_of(const Call& call) const;
  AclPolicy default_policy(std::string_view host, bool is_unix, bool http) const;

  AclSettings settings_;
  const Operation* documents_ = nullptr;
  std::set<std::string, std::less<>> http_, metrics_, trusted_;
  // As they are asked for; there are as many as addresses the node listens on.
  mutable std::map<std::string, std::unique_ptr<Listener>, std::less<>> listeners_;
};

// "GET /pools/{pool_id}", or what an operation without a binding is called by.
std::string acl_name(const Operation& operation);

}  // namespace capstan::rpc
