// Why this file exists: see span.h.
#include "rpc/span.h"

#include <algorithm>

#include "base/bytes.h"
#include "rpc/json_text.h"
#include "rpc/json_writer.h"
#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

constexpr std::size_t kTraceparentBytes = 55;
constexpr int kServerSpan = 2, kStatusError = 2;

template <std::size_t size>
bool read_hex(std::string_view text, std::array<std::uint8_t, size>& into) {
  const bool lower = std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!lower || text.size() != 2 * size) return false;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < size; ++i) {
    into[i] = static_cast<std::uint8_t>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  }
  return true;
}

std::string hex(ByteView bytes) {
  std::string out;
  append_hex(as_text(bytes), out);
  return out;
}

void append_text_attribute(std::string_view key, std::string_view value, std::string& out) {
  if (out.back() == '}') out += ',';
  out += R"({"key":)";
  append_json_string(key, out);
  out += R"(,"value":{"stringValue":)";
  append_json_string(value, out);
  out += "}}";
}

void append_span(const Span& span, std::string& out) {
  out += R"({"traceId":")" + hex(span.context.trace) + R"(","spanId":")" + hex(span.context.span);
  if (span.parent) out += R"(","parentSpanId":")" + hex(*span.parent);
  out += R"(","name":)";
  append_json_string(span.operation->full_name(), out);
  out += R"(,"kind":)" + std::to_string(kServerSpan);
  out += R"(,"startTimeUnixNano":")" + std::to_string(span.started_ns);
  out += R"(","endTimeUnixNano":")" + std::to_string(span.ended_ns) + R"(","attributes":[)";
  append_text_attribute("rpc.system", span.wire, out);
  append_text_attribute("rpc.service", span.operation->service(), out);
  append_text_attribute("rpc.method", span.operation->name(), out);
  append_text_attribute("network.peer.address", span.peer, out);
  append_text_attribute("capstan.code", code_name(span.code), out);
  out += "]";
  if (span.code != Code::kOk) {
    out += R"(,"status":{"code":)" + std::to_string(kStatusError) + R"(,"message":")";
    out += code_name(span.code);
    out += R"("})";
  }
  out += "}";
}

}  // namespace

std::optional<TraceContext> TraceContext::parse(std::string_view text) {
  // Later versions may go on after another dash; version ff is none.
  if (text.size() < kTraceparentBytes || text.starts_with("ff")) return std::nullopt;
  if (text.size() > kTraceparentBytes && (text.starts_with("00") || text[kTraceparentBytes] != '-'))
    return std::nullopt;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  TraceContext context;
  std::array<std::uint8_t, 1> version{}, flags{};
  if (!read_hex(text.substr(0, 2), version) || !read_hex(text.substr(3, 32), context.trace) ||
      !read_hex(text.substr(36, 16), context.span) || !read_hex(text.substr(53, 2), flags)) {
    return std::nullopt;
  }
  if (all_zero(context.trace) || all_zero(context.span)) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

std::string TraceContext::trace_text() const {
  return hex(trace);
}

std::string TraceContext::text() const {
  return "00-" + hex(trace) + "-" + hex(span) + (sampled ? "-01" : "-00");
}

void SpanQueue::push(Span span) {
  if (spans_.size() >= access_limits::kSpansWaiting) {
    ++dropped_;
    return;
  }
  spans_.push_back(std::move(span));
  filled_.set();
}

std::vector<Span> SpanQueue::take() {
  std::vector<Span> taken;
  while (!spans_.empty() && taken.size() < access_limits::kSpansPerExport) {
    taken.push_back(std::move(spans_.front()));
    spans_.pop_front();
  }
  if (spans_.empty()) filled_.reset();
  return taken;
}

std::string otlp_json(const SpanOrigin& origin, std::span<const Span> spans) {
  std::string out = R"({"resourceSpans":[{"resource":{"attributes":[)";
  append_text_attribute("service.name", origin.service, out);
  append_text_attribute("service.version", origin.version, out);
  append_text_attribute("service.instance.id", origin.node, out);
  out += R"(]},"scopeSpans":[{"scope":{"name":"capstan"},"spans":[)";
  for (const Span& span : spans) {
    if (out.back() != '[') out += ',';
    append_span(span, out);
  }
  return out + "]}]}]}";
}

}  // namespace capstan::rpc
