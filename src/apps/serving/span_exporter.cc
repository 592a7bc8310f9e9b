// Why this file exists: see span_exporter.h. One connection for each batch: a batch stands for up
// to 512 calls, and a connection that is not kept cannot be found broken.
#include "apps/serving/span_exporter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "rpc/access_limits.h"

namespace capstan::apps {
namespace {

namespace limits = rpc::access_limits;
constexpr core::Nanos kLastPatience = core::kSecond;

// "HTTP/1.1 200 OK…" and its like.
Result<void> check_answer(std::string_view answer) {
  constexpr std::size_t kStatusAt = 9;
  if (answer.size() < kStatusAt + 3 || !answer.starts_with("HTTP/1.")) {
    return fail(Code::kUnavailable, "the collector does not answer HTTP");
  }
  const auto status = answer.substr(kStatusAt, 3);
  if (status.starts_with('2')) return {};
  return fail(Code::kUnavailable, "the collector answers with status " + std::string(status));
}

}  // namespace

SpanExporter::SpanExporter(core::Env& env, const core::Log& log, TraceEndpoint endpoint,
                           rpc::SpanOrigin origin, rpc::SpanQueue& queue)
    : env_(env),
      log_(log.child("trace")),
      endpoint_(std::move(endpoint)),
      origin_(std::move(origin)),
      queue_(queue) {}

void SpanExporter::stop() {
  stopping_.fire();
  queue_.filled().notify_all();
}

core::Task<void> SpanExporter::run() {
  core::name_task("export of traces");
  core::Nanos pause = limits::kExportPauseNanos;
  while (!stopping_.fired()) {
    co_await queue_.filled().wait();
    const auto slept = co_await core::sleep_for(pause, stopping_.token());
    if (!slept) break;
    const bool delivered = co_await export_batch(limits::kExportNanos);
    pause = delivered ? limits::kExportPauseNanos
                      : std::min<core::Nanos>(2 * pause, limits::kExportBackoffNanosMax);
    // As long as there is a whole batch more, without a pause.
    while (delivered && queue_.size() >= limits::kSpansPerExport && !stopping_.fired()) {
      if (!co_await export_batch(limits::kExportNanos)) break;
    }
  }
  if (!queue_.empty()) co_await export_batch(kLastPatience);
}

core::Task<bool> SpanExporter::export_batch(core::Nanos patience) {
  const auto spans = queue_.take();
  const auto sent = co_await post(rpc::otlp_json(origin_, spans), patience);
  if (sent) {
    queue_.count_exported(spans.size());
    co_return true;
  }
  queue_.count_lost(spans.size());
  log_.warn("export_failed", {{"collector", endpoint_.authority},
                              {"spans", spans.size()},
                              {"error", sent.error().text()}});
  co_return false;
}

core::Task<Result<void>> SpanExporter::post(std::string body, core::Nanos patience) {
  core::CancelSource late;
  core::Timer timer([&late] { late.fire(Code::kDeadlineExceeded); });
  auto& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + patience);
  CO_TRY_SET(const auto stream, co_await env_.network().connect(endpoint_.address, late.token()));
  core::CancelCallback on_late(late.token(), [peer = stream.get()] { peer->cancel(); });
  const std::string request = "POST " + endpoint_.path +
                              " HTTP/1.1\r\nHost: " + endpoint_.authority +
                              "\r\nContent-Type: application/json\r\nConnection: close\r\n"
                              "Content-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  CO_TRY(co_await stream->write(as_bytes(request)));
  std::string answer;
  std::array<std::uint8_t, 4096> buffer;
  while (answer.size() < limits::kExportAnswerBytes && answer.find('\n') == std::string::npos) {
    CO_TRY_SET(const std::size_t got, co_await stream->read(buffer));
    if (got == 0) break;
    answer.append(as_text(ByteView(buffer).first(got)));
  }
  co_return check_answer(answer);
}

}  // namespace capstan::apps
