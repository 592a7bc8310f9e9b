// Why this file exists: access lists by listening address. An entry says for the address at which a
// call arrived, never for the caller, which methods and paths are let through; every wire obeys it,
// because an operation stands for its HTTP bindings (rpc/acl_operation.h). This file is the
// language: matchers, policies, the list of entries, and what holds where there is no entry.
//
// Source: http-rpc section 12 (grammar, matching, policies), 20.7 (the secure list).
// Thread-safety: plain values; nothing here does I/O but the resolver that is handed in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::rpc {

// A path of a call as far as it is known: the arguments of an operation may not be at hand.
struct AclPath {
  std::vector<std::optional<std::string>> steps;  // decoded; nothing: could be any one step
  bool open = false;                              // any further steps may follow
};

// "GET /pools/*": one method or any of the five, and the shape of a path.
struct AclMatcher {
  // kInvalidArgument with the reason.
  static Result<AclMatcher> parse(std::string_view text);
  // The canonical text, which parses back.
  std::string text() const;

  // `steps` are the decoded, not empty segments of a request's path.
  bool matches(std::string_view asked, std::span<const std::string> steps) const;
  // Whether every path that `path` can be matches, and whether some path does.
  bool covers(std::string_view asked, const AclPath& path) const;
  bool meets(std::string_view asked, const AclPath& path) const;
  bool operator==(const AclMatcher&) const = default;

  std::string method;                              // empty: any of the five
  std::vector<std::optional<std::string>> chunks;  // nothing: "*"
  bool suffix = false;                             // ends in "**"
};

struct AclPolicy {
  enum class Kind : std::uint8_t { kAllowAll, kDenyAll };  // but for `except`

  static AclPolicy allow_all() { return {}; }
  // What is let through to strangers: looking at the state of the node, nothing that changes it,
  // holds resources or shows users' bytes.
  static AclPolicy secure();

  // Methods other than the five (OPTIONS, HEAD …) are not subject to access lists.
  bool allows(std::string_view method, std::span<const std::string> steps) const;
  // Certainly allowed, and perhaps allowed, for a path that is partly known.
  bool surely_allows(std::string_view method, const AclPath& path) const;
  bool may_allow(std::string_view method, const AclPath& path) const;
  // For logs: "AllowAll", "Secure" or "Custom".
  std::string_view type_name() const;
  bool operator==(const AclPolicy&) const = default;

  Kind kind = Kind::kAllowAll;
  std::vector<AclMatcher> except;
};

struct AclEntry {
  std::string host;  // a name, a numeric address, or unix:PATH
  std::optional<std::uint16_t> port;
  AclPolicy policy;
  std::string address() const;
  bool operator==(const AclEntry&) const = default;
};

// Entries in order; the first that names an address and its port, or no port, decides.
class AclTable {
 public:
  // The addresses of a host name, numeric.
  using Resolver = std::function<Result<std::vector<std::string>>(const std::string& host)>;

  // {"acl": [{"address": "127.0.0.1:8080", "whitelist": ["GET /pools"]}, …]}; the bare list and
  // {"rpc": {"acl": […]}} are understood too. kInvalidArgument names the entry and its mistake.
  static Result<AclTable> parse(std::string_view json);
  std::string json() const;

  // "ADDR", "ADDR:PORT", "[ADDR]:PORT" or "unix:PATH" and its policy.
  static Result<AclEntry> entry_for(std::string_view address, AclPolicy policy);
  // Replaces the entry for the same address and port, else goes to the end.
  void put(AclEntry entry);
  // Whether there is an entry for the same address and port.
  bool has(const AclEntry& entry) const;
  // Every name becomes one entry for each of its addresses, in place.
  Result<AclTable> resolved(const Resolver& resolver) const;
  // By host (numeric addresses in any spelling) and port; null when no entry names it.
  const AclPolicy* find(std::string_view host, std::uint16_t port) const;
  const std::vector<AclEntry>& entries() const { return entries_; }
  bool operator==(const AclTable&) const = default;

 private:
  std::vector<AclEntry> entries_;
};

// An IP address as 16 bytes, IPv4 as v4-mapped; nothing for any other text.
std::optional<std::array<std::uint8_t, 16>> ip_bytes(std::string_view text);

// How far an address reaches, and so who may be there.
enum class AddressScope : std::uint8_t {
  kInterface,
  kLink,
  kAdmin,
  kOrganization,
  kGlobal,
  kPoint
};
AddressScope scope_of(std::string_view host);

}  // namespace capstan::rpc
