// Why this file exists: bearer tokens (RFC 7519) signed with keys that the node was given as JSON
// Web Keys (RFC 7517): RSA with SHA-256, SHA-384 or SHA-512 (RS256, RS384, RS512) and, where the
// key says so, ES256. The signature is verified, and `exp` and `nbf` are kept when the token has
// them; no other claim is looked at (http-rpc section 20.8). OpenSSL does the mathematics.
//
// The algorithm is the key's, never the token's choice: a token that names another one, or "none",
// is refused. No error holds a part of a token.
// Thread-safety: immutable once parsed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;

namespace capstan::rpc {

// The subject of a verified token that has none, so that it is not taken for no token. No token may
// claim it.
inline constexpr std::string_view kNoSub = "(no sub)";

struct VerifiedToken {
  std::string subject;           // the claim `sub`, else kNoSub
  std::uint64_t not_before = 0;  // seconds since the Unix epoch
  std::uint64_t expires = UINT64_MAX;
  // kUnauthenticated before or after its time.
  Result<void> check_time(std::uint64_t now) const;
};

class JwkSet {
 public:
  JwkSet() = default;
  // One key, or {"keys": […]}. kInvalidArgument names the key and what is wrong with it. A set
  // without a usable key is refused: it would refuse every token.
  static Result<JwkSet> parse(std::string_view json);
  // kUnauthenticated with the reason. `now` in seconds since the Unix epoch.
  Result<VerifiedToken> verify(std::string_view token, std::uint64_t now) const;
  std::size_t size() const { return keys_.size(); }

 private:
  struct Key {
    std::string algorithm;  // "RS256" …
    std::string id;         // `kid`; may be empty
    std::shared_ptr<evp_pkey_st> key;
  };
  Result<void> check_signature(std::string_view algorithm, std::string_view id,
                               std::string_view text, const std::string& signature) const;
  friend class JwkReader;

  std::vector<Key> keys_;
};

}  // namespace capstan::rpc
