// Why this file exists: how many calls, how they ended and how long they took, by operation, wire
// and code, from one place for all wires:
//   calls_started_total{operation,wire}      calls_ended_total{operation,wire,code}
//   calls_in_flight{operation,wire}          call_seconds_total{operation,wire}
//   call_seconds_max{operation,wire}
// and the same under the names of http-rpc section 18, where an operation is its first HTTP path
// ("/pools/<pool_id>"):
//   storage_rpc_calls{endpoint,method,wire}, a summary of seconds
//   storage_rpc_responses_total{endpoint,method,wire,code}
//   storage_rpc_inflight{wire}   storage_rpc_streams{wire} (those of them that stream)
// Times leave out endless operations: how long a client listens says nothing about the node.
// A series appears with its first call; there are at most operations x wires x codes of them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/metrics.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {

class MetricsInterceptor final : public Interceptor {
 public:
  // `metrics` outlives this.
  explicit MetricsInterceptor(core::Metrics& metrics) : metrics_(metrics) {}
  Place place() const override { return Place::kMetrics; }
  core::Task<Result<void>> around(Call& call, Next& next) override;

 private:
  static constexpr std::size_t kCodes = 17;
  struct WireLoad {
    std::uint64_t calls = 0, streams = 0;  // under way
    core::Metrics::Handle calls_handle, streams_handle;
  };
  struct Series {
    std::uint64_t started = 0;
    std::uint64_t in_flight = 0;
    core::Nanos total = 0, longest = 0;
    std::array<std::uint64_t, kCodes> ended{};
    std::uint64_t timed = 0;  // calls that `total` sums up
    WireLoad* load = nullptr;
    std::vector<core::Metrics::Handle> handles;
  };
  WireLoad* load_of(std::string_view wire);
  Series& series_of(const Call& call);
  void count_end(const Call& call, Series& series, Code code, core::Nanos duration);

  core::Metrics& metrics_;
  std::map<std::string_view, std::unique_ptr<WireLoad>> loads_;
  std::map<std::pair<const Operation*, std::string_view>, std::unique_ptr<Series>> series_;
};

}  // namespace capstan::rpc
