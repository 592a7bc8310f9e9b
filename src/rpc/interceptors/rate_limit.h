// Why this file exists: how often clients may call, once for all wires: token buckets that hold a
// burst and fill at a rate. A call takes as many tokens as its operation costs (Operation::cost),
// from the bucket of its access class, which all clients share, and from the client's own. When one
// of them has too few the call takes none and is answered RESOURCE_EXHAUSTED with the time after
// which it is worth repeating. A call that costs more than a whole burst needs a full bucket and
// leaves a debt.
//
// A client is who it has proved to be: the subject of its token, else of its certificate, else the
// user at the other end of the Unix socket, else its IP address without the port. The clients that
// are remembered are bounded; who was longest away is forgotten, and has a full bucket when it
// comes back. A decision takes the same time however many there are. Thread-safety: as the
// directory's interceptors.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/metrics.h"
#include "rpc/access_limits.h"
#include "rpc/acl_operation.h"
#include "rpc/interceptor.h"
#include "rpc/lru_table.h"
#include "rpc/operation.h"

namespace capstan::rpc {

struct Rate {
  double per_second = 0;
  double burst = 0;
  // "100" or "100/500": tokens for each second, and how many may be saved up (at least one; else a
  // second's worth). kInvalidArgument says what may stand there.
  static Result<Rate> parse(std::string_view text);
};

struct RateLimits {
  std::array<std::optional<Rate>, 5> classes;  // by Access
  std::optional<Rate> client;
  bool spare_local_admin = false;  // root and the node's own user on Unix sockets
  std::uint32_t own_uid = 0;

  bool any() const;
  // Adds "write=10/20".
  Result<void> add_class(std::string_view text);
};

class TokenBucket {
 public:
  TokenBucket(const Rate& rate, core::Nanos now) : tokens_(rate.burst), filled_(now) {}
  // 0: there is enough; else the nanoseconds until there is.
  core::Nanos wait_for(const Rate& rate, double cost, core::Nanos now);
  void take(double cost) { tokens_ -= cost; }

 private:
  double tokens_;
  core::Nanos filled_;
};

class RateLimitInterceptor final : public Interceptor {
 public:
  // Calls of gateways, of which `acl` knows the listeners, have no client of their own here.
  explicit RateLimitInterceptor(RateLimits limits, const Acl* acl = nullptr)
      : limits_(limits), acl_(acl), clients_(access_limits::kLimitedClients) {}
  Place place() const override { return Place::kRateLimit; }
  core::Task<Result<void>> around(Call& call, Next& next) override;
  void publish(core::Metrics& metrics);
  std::size_t clients() const { return clients_.size(); }

 private:
  struct Refusal {
    core::Nanos wait = 0;
    bool by_client = false;
  };
  Refusal decide(const Call& call);
  std::string_view client_key(const core::PeerInfo& peer);

  const RateLimits limits_;
  const Acl* acl_;
  std::array<std::optional<TokenBucket>, 5> classes_;
  LruTable<TokenBucket> clients_;
  std::string key_;  // of the client asked about, to be built without allocating
  std::uint64_t refused_by_class_ = 0, refused_by_client_ = 0;
  std::vector<core::Metrics::Handle> metrics_;
};

}  // namespace capstan::rpc
