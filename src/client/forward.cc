// Why this file exists: see forward.h: requests go one way, answers the other, both at once. The
// incoming call's token cancels the outgoing call; an outgoing call that ends stops the reading of
// further requests.
#include "client/forward.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "base/duration_text.h"
#include "rpc/announcing.h"

namespace capstan::client {

namespace {

std::unique_ptr<Message> new_message(const google::protobuf::Descriptor* type) {
  const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
  CAPSTAN_ASSERT(prototype != nullptr);  // operations are compiled in
  return std::unique_ptr<Message>(prototype->New());
}

// The time from the end of the requests to the first answer.
class Patience {
 public:
  Patience(const ForwardOptions& options, const rpc::Call& call, wire::ClientCall& onward)
      : limit_(call.operation->kind == rpc::Kind::kEndless ? 0 : options.answer_timeout),
        timer_([this, &onward] {
          late_ = true;
          onward.cancel(Code::kDeadlineExceeded);
        }) {}
  void begin() {
    auto& reactor = *core::Reactor::current();
    if (limit_ != 0 && !answered_) timer_.arm_at(reactor, reactor.now() + limit_);
  }
  void end() {
    answered_ = true;
    timer_.disarm();
  }
  bool late() const { return late_; }

 private:
  core::Nanos limit_;
  bool answered_ = false, late_ = false;
  core::Timer timer_;
};

// What went wrong on the client's side, which is not the node's fault.
struct ClientSide {
  std::optional<Error> source_error;
  bool sink_failed = false;
};

core::Task<void> pump_requests(const rpc::Call* call, rpc::MessageSource* source,
                               wire::ClientCall* onward, Patience* patience, ClientSide* client) {
  const auto request = new_message(call->operation->method().input_type());
  while (true) {
    const auto got = co_await source->next(*request);
    if (!got) {
      client->source_error = got.error();
      onward->cancel(got.error().code);
      co_return;
    }
    if (!*got) break;
    if (!co_await onward->send(*request)) co_return;  // the answers' side tells why
  }
  onward->finish_sending();
  patience->begin();
}

core::Task<Result<void>> pump_answers(const rpc::Call* call, rpc::MessageSink* sink,
                                      wire::ClientCall* onward, Patience* patience,
                                      ClientSide* client) {
  const auto answer = new_message(call->operation->method().output_type());
  while (true) {
    CO_TRY_SET(const bool got, co_await onward->next(*answer));
    patience->end();
    if (!got) co_return Result<void>();
    auto sent = co_await sink->send(*answer);
    client->sink_failed = !sent;
    if (!sent) co_return sent;
  }
}

// What belongs to this hop only stays here.
MetadataList onward_metadata(const rpc::Call& call, const ForwardOptions& options) {
  static constexpr std::array<std::string_view, 10> kHop = {
      "user-agent", "host",           "connection",   "proxy-connection", "accept-encoding",
      "accept",     "content-length", "x-timeout-ms", "x-min-rev",        "origin"};
  MetadataList out;
  for (const auto& [name, value] : call.metadata.request) {
    if (std::ranges::find(kHop, name) == kHop.end()) out.emplace_back(name, value);
  }
  if (options.add_metadata) options.add_metadata(call, out);
  return out;
}

CallOptions onward_options(const rpc::Call& call, const ForwardOptions& options) {
  CallOptions onward;
  onward.deadline = call.deadline;
  onward.token = call.token;
  onward.metadata = onward_metadata(call, options);
  return onward;
}

// An error of the way to the node, with its reason; the client's own doing has none.
Error on_the_way(const ForwardOptions& options, const rpc::Call& call, std::string_view reason,
                 Error error) {
  if (call.token.fired()) return error;
  auto details = std::make_shared<ErrorDetails>();
  details->domain = kGatewayDomain;
  details->reason = reason;
  error.code = reason == kUpstreamTimeout ? Code::kDeadlineExceeded : Code::kUnavailable;
  error.details = std::move(details);
  if (options.on_trouble) options.on_trouble(call, reason, error);
  return error;
}

// Nobody was reached: not while the client would have waited.
Error not_reached(const ForwardOptions& options, const rpc::Call& call, Error error) {
  if (error.code != Code::kUnavailable) return error;
  return on_the_way(options, call, kUpstreamRefused, std::move(error));
}

// The node's own errors are as a client of the node has them: what its wire added about the call
// (wire/grpc/status_details.h) this side's wires add again.
Error ended_early(const ForwardOptions& options, const rpc::Call& call, bool by_server,
                  Error error) {
  if (by_server) {
    if (error.details && !error.details->facts.empty()) {
      auto details = std::make_shared<ErrorDetails>(*error.details);
      details->facts.clear();
      error.details = std::move(details);
    }
    return error;
  }
  // A message that is too large or broken says so itself.
  if (error.code == Code::kResourceExhausted || error.code == Code::kDeadlineExceeded) return error;
  return on_the_way(options, call, kUpstreamClosed, std::move(error));
}

Error late_error(const ForwardOptions& options, const rpc::Call& call) {
  return on_the_way(
      options, call, kUpstreamTimeout,
      {Code::kDeadlineExceeded,
       0,
       "the node did not begin to answer within " + format_duration(options.answer_timeout) +
           ", the gateway's --upstream-timeout",
       {}});
}

void take_end(rpc::Call& call, const MetadataList& trailers) {
  for (const auto& trailer : trailers) call.metadata.trailers.push_back(trailer);
}

}  // namespace

core::Task<Result<void>> forward(Channel& channel, const ForwardOptions& options, rpc::Call& call,
                                 rpc::MessageSource& source, rpc::MessageSink& sink) {
  // The client sees that its call has begun when the node has said so, and with its headers.
  auto* const announcing = dynamic_cast<rpc::Announcing*>(&sink);
  if (announcing) announcing->hold_announcement();
  auto opened = co_await channel.open(call.operation->full_name(), onward_options(call, options));
  if (!opened) {
    co_return std::unexpected(not_reached(options, call, std::move(opened).error()));
  }
  auto& onward = **opened;
  onward.when_answered([&] {
    for (const auto& header : onward.headers()) call.metadata.initial.push_back(header);
    if (announcing) announcing->release_announcement();
  });
  Patience patience(options, call, onward);
  core::Scope scope;
  ClientSide client;
  scope.spawn(pump_requests(&call, &source, &onward, &patience, &client));
  auto result = co_await pump_answers(&call, &sink, &onward, &patience, &client);
  // The source ends with an error of its own when it is interrupted.
  const auto source_error = std::exchange(client.source_error, std::nullopt);
  const bool by_server = onward.ended_by_server();
  if (!result) onward.cancel(Code::kCancelled);
  source.interrupt();
  co_await scope.join();
  patience.end();
  take_end(call, onward.trailers());
  if (result || client.sink_failed) co_return result;
  if (source_error && !by_server) co_return std::unexpected(*source_error);
  if (patience.late()) co_return std::unexpected(late_error(options, call));
  co_return std::unexpected(ended_early(options, call, by_server, std::move(result).error()));
}

core::Task<Result<void>> forward_unary(Channel& channel, const ForwardOptions& options,
                                       rpc::Call& call, const Message& request, Message& response) {
  CallOptions onward = onward_options(call, options);
  const core::Nanos limit =
      options.answer_timeout == 0 ? 0 : channel.deadline_in(options.answer_timeout);
  const bool ours = limit != 0 && (onward.deadline == 0 || limit < onward.deadline);
  if (ours) onward.deadline = limit;
  CallEnd end;
  auto result = co_await channel.unary_call(call.operation->full_name(), request, response,
                                            std::move(onward), end);
  for (auto& header : end.headers) call.metadata.initial.push_back(std::move(header));
  take_end(call, end.trailers);
  if (result) co_return result;
  Error error = std::move(result).error();
  // The node may know deadlines of its own; one that passed at the limit was told it with the call.
  const bool late = !end.by_server || channel.deadline_in(0) >= limit;
  if (ours && late && error.code == Code::kDeadlineExceeded) {
    co_return std::unexpected(late_error(options, call));
  }
  if (!end.reached) {
    co_return std::unexpected(not_reached(options, call, std::move(error)));
  }
  co_return std::unexpected(ended_early(options, call, end.by_server, std::move(error)));
}

rpc::Handler forward_handler(Channel& channel, const ForwardOptions& options) {
  rpc::Handler handler;
  handler.stream = [&channel, &options](rpc::Call& call, rpc::MessageSource& source,
                                        rpc::MessageSink& sink) {
    return forward(channel, options, call, source, sink);
  };
  return handler;
}

rpc::Handler forward_unary_handler(Channel& channel, const ForwardOptions& options) {
  rpc::Handler handler;
  handler.unary = [&channel, &options](rpc::Call& call, const Message& request, Message& response) {
    return forward_unary(channel, options, call, request, response);
  };
  return handler;
}

}  // namespace capstan::client
