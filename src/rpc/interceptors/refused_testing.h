// Why this file exists: each wire's tests hold it to the same promise, that log and metrics hear of
// what it refuses (refused.h). They share the receivers and the words of what was heard.
#pragma once

#include <string>
#include <string_view>

#include "core/log_sinks.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "rpc/interceptors/refused.h"

namespace capstan::rpc::testing {

struct HeardRefusals {
  HeardRefusals() {
    refused.add(calls);
    refused.add(counters);
  }

  // The counters' lines, as Prometheus reads them; written when asked.
  std::string text() const { return metrics.prometheus_text(); }
  // Whether so many calls of `operation` ended with `code`.
  bool ended(std::string_view operation, std::string_view wire, std::string_view code,
             int count = 1) const {
    return has("capstan_calls_ended_total{operation=\"" + std::string(operation) + "\",", wire,
               code, count);
  }
  // Whether so many requests that stand for no operation were refused with `code`.
  bool unknown(std::string_view wire, std::string_view code, int count = 1) const {
    return has("capstan_requests_refused_total{", wire, code, count);
  }

  core::LineLog records;
  core::Log log{records, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  core::Metrics metrics;
  LogInterceptor calls{log};
  MetricsInterceptor counters{metrics};
  RefusedCalls refused{log, metrics};

 private:
  bool has(std::string start, std::string_view wire, std::string_view code, int count) const {
    start += "wire=\"" + std::string(wire) + "\",code=\"" + std::string(code) + "\"} ";
    return text().contains(start + std::to_string(count) + "\n");
  }
};

}  // namespace capstan::rpc::testing
