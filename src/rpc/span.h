// Why this file exists: one call as a span of a distributed trace (W3C Trace Context), on its way
// from the interceptor that makes it to whoever exports it. The queue between them is bounded: a
// collector that is slow or away costs spans, which are counted, and never a call's time.
// Thread-safety: one core.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/sync.h"
#include "rpc/access_limits.h"

namespace capstan::rpc {

class Operation;

// "00-<32 hex digits>-<16 hex digits>-<2 hex digits>": trace, parent span, flags (1 = sampled).
struct TraceContext {
  static std::optional<TraceContext> parse(std::string_view traceparent);
  std::string text() const;        // version 00
  std::string trace_text() const;  // 32 hex digits

  std::array<std::uint8_t, 16> trace{};
  std::array<std::uint8_t, 8> span{};
  bool sampled = false;
};

struct Span {
  TraceContext context;
  std::optional<std::array<std::uint8_t, 8>> parent;
  const Operation* operation = nullptr;  // of the directory
  std::string_view wire;                 // a literal
  std::string peer;
  Code code = Code::kOk;
  std::uint64_t started_ns = 0, ended_ns = 0;  // since the Unix epoch
};

class SpanQueue {
 public:
  // Never waits; a full queue drops the span and counts it.
  void push(Span span);
  // At most kSpansPerExport, the oldest first.
  std::vector<Span> take();
  bool empty() const { return spans_.empty(); }
  std::size_t size() const { return spans_.size(); }
  // Whoever takes: resumes when there is something, or after stop().
  core::Event& filled() { return filled_; }
  // Spans that were taken and could not be delivered.
  void count_lost(std::size_t spans) { dropped_ += spans; }
  void count_exported(std::size_t spans) { exported_ += spans; }
  const std::uint64_t& dropped() const { return dropped_; }
  const std::uint64_t& exported() const { return exported_; }

 private:
  std::deque<Span> spans_;
  core::Event filled_;
  std::uint64_t dropped_ = 0, exported_ = 0;
};

// A request body of OTLP/JSON (opentelemetry.io, "OTLP/HTTP", JSON Protobuf encoding). Spans say
// which operation ran, over which wire, for whom and how it ended; never what was in it.
struct SpanOrigin {
  std::string service, version, node;
};
std::string otlp_json(const SpanOrigin& origin, std::span<const Span> spans);

}  // namespace capstan::rpc
