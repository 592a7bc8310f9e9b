// Why this file exists: who may call what, decided once for all wires, by two things that both must
// allow a call. The access list (rpc/acl_operation.h) belongs to the address at which it arrived.
// Rules name callers (by their Unix credentials as SO_PEERCRED tells them, by certificate, by
// token, or by the kind of socket they came over) and the access classes of operations they may
// use; the first rule that names the caller decides. With no rules whoever can connect may call
// what the list allows, as in the originals: there the permissions of the socket file are the only
// guard. No rule is asked at addresses that are for metrics alone: nothing else is let through.
//
// A rule reads SUBJECT=CLASSES (the last '=' counts):
//   SUBJECT  uid:N  gid:N (the peer process's effective ids)  unix  tcp  any
//            tls:TEXT  a verified client certificate whose subject is TEXT ("CN=node-1,O=x") or has
//            it as one of its parts ("CN=node-1")      tls  any verified certificate
//            jwt:SUB   a verified token with this subject    jwt  any verified token
//   CLASSES  all, none, or some of read, monitor, write, data, admin joined by '+'
// Thread-safety: as the directory's interceptors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/acl_operation.h"
#include "rpc/describe.h"
#include "rpc/interceptor.h"
#include "rpc/operation.h"

namespace capstan::rpc {

struct AccessRule {
  enum class Subject : std::uint8_t { kUid, kGid, kTls, kJwt, kUnix, kTcp, kAny };

  Subject subject = Subject::kAny;
  std::uint32_t id = 0;      // kUid, kGid
  std::string name = {};     // kTls, kJwt; empty: anybody of the kind
  std::uint8_t classes = 0;  // a bit for each Access

  // kInvalidArgument naming the part that is wrong and what may stand there.
  static Result<AccessRule> parse(std::string_view text);
  // Several rules joined by commas; a comma that no subject follows belongs to a name.
  static Result<std::vector<AccessRule>> parse_list(std::string_view text);
  bool names(const core::PeerInfo& peer) const;
  bool allows(Access access) const { return (classes >> static_cast<unsigned>(access) & 1U) != 0; }
};

class AccessInterceptor final : public Interceptor {
 public:
  // `acl` outlives this; null: no access list.
  explicit AccessInterceptor(std::vector<AccessRule> rules, const Acl* acl = nullptr)
      : rules_(std::move(rules)), acl_(acl) {}
  Place place() const override { return Place::kAccess; }
  // kPermissionDenied, naming the caller and the operation's class, or the listening address, and
  // what would allow it.
  core::Task<Result<void>> around(Call& call, Next& next) override;
  // The same decision about a call that is not made here. `request` null: not known, and then only
  // what no argument can change is allowed.
  Result<void> check(const Call& call, const google::protobuf::Message* request) const;

 private:
  bool allowed(const Call& call) const;

  const std::vector<AccessRule> rules_;
  const Acl* acl_;
};

}  // namespace capstan::rpc
