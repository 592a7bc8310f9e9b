// Why this file exists: who is calling, said once for all wires, before anything is decided about
// them. Three ways, none of which a call can choose for itself:
//   Unix sockets       the kernel says who is at the other end (uid, gid, pid); no token is needed
//   TLS with --tls-client-ca   the certificate's subject, filled in by the stream (wire/tls)
//   a bearer token     metadata "authorization: Bearer <jwt>" (the word may be missing), where the
//                      node has keys to verify it with; fills PeerInfo::jwt_subject
// With keys, whoever comes over TCP without a verified certificate needs a token; with a
// certificate a token may be there and must be good. Without keys nobody needs one and none is
// looked at. A token is never logged, kept or repeated in an error; what is remembered is its
// SHA-256.
//
// A stream is let in once and may run for days, so it also ends with what let it in: those without
// an end of their own when their token expires, all of them when new keys no longer verify it. The
// call's token fires then, and the answer is kUnauthenticated. Unary calls run to their end.
// Thread-safety: as the directory's interceptors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "rpc/access_limits.h"
#include "rpc/interceptor.h"
#include "rpc/jwt.h"
#include "rpc/lru_table.h"

namespace capstan::rpc {

class AuthenticateInterceptor final : public Interceptor {
 public:
  using WallClock = std::function<std::uint64_t()>;  // nanoseconds since the Unix epoch

  // No keys: nobody needs a token.
  AuthenticateInterceptor(std::optional<JwkSet> keys, WallClock clock)
      : keys_(std::move(keys)),
        clock_(std::move(clock)),
        verified_(access_limits::kVerifiedTokens) {}
  Place place() const override { return Place::kAuthenticate; }
  // kUnauthenticated with the reason and what to do.
  core::Task<Result<void>> around(Call& call, Next& next) override;
  // The same question for a wire that has no call yet: who sent this authorization header (empty:
  // none) from there? Gives the token, null where none was needed; valid until the next question.
  Result<const VerifiedToken*> check(const core::PeerInfo& peer, std::string_view authorization);
  // From the next call on; what was verified with the former keys is forgotten, and running streams
  // whose tokens the new ones do not verify end.
  void replace(std::optional<JwkSet> keys);
  // Nobody needs a token at this listening address: whoever opened it for metrics means everybody.
  void exempt(std::string listener) { exempt_.insert(std::move(listener)); }

 private:
  class Running;  // a stream with a token
  Result<const VerifiedToken*> check_token(std::string_view token);
  core::Task<Result<void>> watched(Call& call, Next& next, std::uint64_t expires);

  std::optional<JwkSet> keys_;
  std::set<std::string, std::less<>> exempt_;
  WallClock clock_;
  LruTable<VerifiedToken> verified_;  // by SHA-256 of the token
  std::set<Running*> running_;
};

}  // namespace capstan::rpc
