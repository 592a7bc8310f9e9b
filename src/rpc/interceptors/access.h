// Why this file exists: who may call what, decided once for all wires. A rule names callers (by
// their Unix credentials, as SO_PEERCRED tells them, or by the kind of socket they came over) and
// the access classes of operations they may use; the first rule that names the caller decides. With
// no rules whoever can connect may call everything, as in the originals: there the permissions of
// the socket file are the only guard.
//
// A rule reads SUBJECT=CLASSES:
//   SUBJECT  uid:N  gid:N (the peer process's effective ids)  unix  tcp  any
//   CLASSES  all, none, or some of read, monitor, write, data, admin joined by '+'
// Thread-safety: as the directory's interceptors.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rpc/describe.h"
#include "rpc/interceptor.h"
#include "rpc/operation.h"

namespace capstan::rpc {

struct AccessRule {
  enum class Subject : std::uint8_t { kUid, kGid, kUnix, kTcp, kAny };

  Subject subject = Subject::kAny;
  std::uint32_t id = 0;      // kUid, kGid
  std::uint8_t classes = 0;  // a bit for each Access

  // kInvalidArgument naming the part that is wrong and what may stand there.
  static Result<AccessRule> parse(std::string_view text);
  bool names(const core::PeerInfo& peer) const;
  bool allows(Access access) const { return (classes >> static_cast<unsigned>(access) & 1U) != 0; }
};

class AccessInterceptor final : public Interceptor {
 public:
  explicit AccessInterceptor(std::vector<AccessRule> rules) : rules_(std::move(rules)) {}
  Place place() const override { return Place::kAccess; }
  // kPermissionDenied, naming the caller, the operation's class and the rule that would allow it.
  core::Task<Result<void>> around(Call& call, Next& next) override;

 private:
  bool allowed(const Call& call) const;

  const std::vector<AccessRule> rules_;
};

}  // namespace capstan::rpc
