// Why this file exists: the counters behind rpc/interceptors/metrics.h. A known series costs one
// map lookup and no allocation per call.
#include "rpc/interceptors/metrics.h"

#include <algorithm>
#include <string>

#include "rpc/operation.h"
#include "rpc/path_text.h"

namespace capstan::rpc {

namespace {

core::Labels labels_of(const Call& call) {
  return {{"operation", call.operation->full_name()}, {"wire", std::string(call.wire)}};
}

// The names of http-rpc section 18: an operation is its first HTTP path, on every wire.
core::Labels endpoint_labels(const Call& call) {
  const Endpoint endpoint = endpoint_of(*call.operation);
  return {
      {"endpoint", endpoint.path}, {"method", endpoint.method}, {"wire", std::string(call.wire)}};
}

double seconds(core::Nanos duration) {
  return static_cast<double>(duration) / 1e9;
}

}  // namespace

MetricsInterceptor::WireLoad* MetricsInterceptor::load_of(std::string_view wire) {
  auto& slot = loads_[wire];
  if (slot) return slot.get();
  slot = std::make_unique<WireLoad>();
  WireLoad* load = slot.get();
  const auto add = [&](const char* name, const char* help, const std::uint64_t* value) {
    return metrics_.add(core::Metrics::Kind::kGauge, name, help, {{"wire", std::string(wire)}},
                        [value] { return static_cast<double>(*value); });
  };
  load->calls_handle = add("storage_rpc_inflight", "Calls under way", &load->calls);
  load->streams_handle = add("storage_rpc_streams", "Streams under way", &load->streams);
  return load;
}

MetricsInterceptor::Series& MetricsInterceptor::series_of(const Call& call) {
  auto& slot = series_[{call.operation, call.wire}];
  if (slot) return *slot;
  slot = std::make_unique<Series>();
  Series* series = slot.get();
  series->load = load_of(call.wire);
  series->handles.push_back(metrics_.add_summary(
      "storage_rpc_calls", "Seconds of calls that ended", endpoint_labels(call),
      [series] { return seconds(series->total); },
      [series] { return static_cast<double>(series->timed); }));
  using Kind = core::Metrics::Kind;
  const auto add = [&](Kind kind, const char* name, const char* help,
                       std::function<double()> read) {
    series->handles.push_back(metrics_.add(kind, name, help, labels_of(call), std::move(read)));
  };
  add(Kind::kCounter, "calls_started_total", "Calls that arrived",
      [series] { return static_cast<double>(series->started); });
  add(Kind::kGauge, "calls_in_flight", "Calls that have not ended",
      [series] { return static_cast<double>(series->in_flight); });
  add(Kind::kCounter, "call_seconds_total", "Time spent in calls that ended",
      [series] { return seconds(series->total); });
  add(Kind::kGauge, "call_seconds_max", "Longest call since the start",
      [series] { return seconds(series->longest); });
  return *series;
}

void MetricsInterceptor::count_end(const Call& call, Series& series, Code code,
                                   core::Nanos duration) {
  const std::size_t index = std::min<std::size_t>(static_cast<std::size_t>(code), kCodes - 1);
  if (series.ended[index]++ == 0) {
    auto labels = labels_of(call);
    labels.emplace_back("code", code_name(code));
    series.handles.push_back(metrics_.add(
        core::Metrics::Kind::kCounter, "calls_ended_total", "Calls by how they ended",
        std::move(labels), [count = &series.ended[index]] { return static_cast<double>(*count); }));
    auto names = endpoint_labels(call);
    names.emplace_back("code", code_name(code));
    series.handles.push_back(metrics_.add(
        core::Metrics::Kind::kCounter, "storage_rpc_responses_total", "Answers by code",
        std::move(names), [count = &series.ended[index]] { return static_cast<double>(*count); }));
  }
  if (call.operation->kind == Kind::kEndless) return;
  ++series.timed;
  series.total += duration;
  series.longest = std::max(series.longest, duration);
}

core::Task<Result<void>> MetricsInterceptor::around(Call& call, Next& next) {
  Series& series = series_of(call);
  const core::Nanos started = core::Reactor::current()->read_clock();
  ++series.started;
  ++series.in_flight;
  WireLoad& load = *series.load;
  const bool streams = call.operation->kind != Kind::kUnary;
  ++load.calls;
  load.streams += streams;
  auto result = co_await next.run(call);
  --series.in_flight;
  --load.calls;
  load.streams -= streams;
  count_end(call, series, result ? Code::kOk : result.error().code,
            core::Reactor::current()->read_clock() - started);
  co_return result;
}

}  // namespace capstan::rpc
