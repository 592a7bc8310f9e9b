// Why this file exists: a wire may have to refuse a request before the directory runs its operation
// (HTTP: who calls, the access list of the address, a path, a body that does not read). Such a
// refusal is a call all the same: those interceptors that stand outside of authentication (log,
// trace, metrics) are told of it here, so that it has the record and the counters that it would
// have on any other wire. What stands for no operation at all is counted and logged by its code:
//   requests_refused_total{wire,code}
// Thread-safety: as the directory's interceptors. Log, metrics and interceptors outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/metrics.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {

class RefusedCalls {
 public:
  RefusedCalls(core::Log log, core::Metrics& metrics) : log_(std::move(log)), metrics_(metrics) {}
  RefusedCalls(const RefusedCalls&) = delete;
  RefusedCalls& operator=(const RefusedCalls&) = delete;

  // One that hears of refusals; in the order of Place.
  void add(Interceptor& interceptor) { interceptors_.push_back(&interceptor); }
  // `call` names its operation and is not run.
  core::Task<void> tell(Call& call, Error why) const;
  // `asked` is what the client wrote, without anything that may be secret: "GET /nope". `wire` is a
  // literal.
  void tell_unknown(std::string_view wire, const core::PeerInfo& peer, std::string_view asked,
                    const Error& why);

 private:
  struct Count {
    std::uint64_t value = 0;
    core::Metrics::Handle handle;
  };

  core::Log log_;
  core::Metrics& metrics_;
  std::vector<Interceptor*> interceptors_;
  std::map<std::pair<std::string_view, Code>, Count> counts_;
};

}  // namespace capstan::rpc
