// Why this file exists: spans of calls leave the node here, in batches, as OTLP/JSON over HTTP/1.1
// to one collector. It runs beside the calls and they never wait for it: what the collector does
// not take in time is dropped and counted (rpc/span.h).
//
//     SpanExporter exporter(env, log, endpoint, origin, queue);
//     scope.spawn(exporter.run());
//     …
//     exporter.stop();   // what waits is sent once more, for at most a second
//
// Thread-safety: one core.
#pragma once

#include <string>

#include "apps/serving/config_gate.h"
#include "core/cancel.h"
#include "core/env.h"
#include "core/log.h"
#include "rpc/span.h"

namespace capstan::apps {

class SpanExporter {
 public:
  // `env` and `queue` outlive it.
  SpanExporter(core::Env& env, const core::Log& log, TraceEndpoint endpoint, rpc::SpanOrigin origin,
               rpc::SpanQueue& queue);
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  core::Task<void> run();
  void stop();

 private:
  core::Task<bool> export_batch(core::Nanos patience);
  core::Task<Result<void>> post(std::string body, core::Nanos patience);

  core::Env& env_;
  core::Log log_;
  const TraceEndpoint endpoint_;
  const rpc::SpanOrigin origin_;
  rpc::SpanQueue& queue_;
  core::CancelSource stopping_;
};

}  // namespace capstan::apps
