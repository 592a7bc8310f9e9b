// Why this file exists: a call that came in on any wire goes out on a channel: requests one way,
// answers the other, both at once. A side that dies ends the other: the incoming call's token
// cancels the outgoing call; an outgoing call that ends stops the reading of further requests. A
// stream that broke is never passed on as one that ended.
#include <array>
#include <memory>
#include <utility>

#include "client/channel.h"

namespace capstan::client {

namespace {

std::unique_ptr<Message> new_message(const google::protobuf::Descriptor* type) {
  const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
  CAPSTAN_ASSERT(prototype != nullptr);  // operations are compiled in
  return std::unique_ptr<Message>(prototype->New());
}

core::Task<void> pump_requests(const rpc::Call* call, rpc::MessageSource* source,
                               wire::ClientCall* onward) {
  const auto request = new_message(call->operation->method().input_type());
  while (true) {
    const auto got = co_await source->next(*request);
    if (!got) {
      onward->cancel(got.error().code);
      co_return;
    }
    if (!*got) break;
    if (!co_await onward->send(*request)) co_return;  // the answers' side tells why
  }
  onward->finish_sending();
}

core::Task<Result<void>> pump_answers(const rpc::Call* call, rpc::MessageSink* sink,
                                      wire::ClientCall* onward) {
  const auto answer = new_message(call->operation->method().output_type());
  while (true) {
    CO_TRY_SET(const bool got, co_await onward->next(*answer));
    if (!got) co_return Result<void>();
    CO_TRY(co_await sink->send(*answer));
  }
}

// What belongs to this hop only stays here.
MetadataList onward_metadata(const MetadataList& incoming) {
  static constexpr std::array<std::string_view, 5> kHop = {"user-agent", "host", "connection",
                                                           "accept-encoding", "accept"};
  MetadataList out;
  for (const auto& [name, value] : incoming) {
    if (std::ranges::find(kHop, name) == kHop.end()) out.emplace_back(name, value);
  }
  return out;
}

core::Task<Result<void>> forward(Channel* channel, rpc::Call& call, rpc::MessageSource& source,
                                 rpc::MessageSink& sink) {
  CallOptions options;
  options.deadline = call.deadline;
  options.token = call.token;
  options.metadata = onward_metadata(call.metadata.request);
  CO_TRY_SET(const auto onward,
             co_await channel->open(call.operation->full_name(), std::move(options)));
  core::Scope scope;
  scope.spawn(pump_requests(&call, &source, onward.get()));
  auto result = co_await pump_answers(&call, &sink, onward.get());
  if (!result) onward->cancel(Code::kCancelled);
  source.interrupt();
  co_await scope.join();
  for (const auto& trailer : onward->trailers()) call.metadata.trailers.push_back(trailer);
  co_return result;
}

}  // namespace

rpc::Handler forward_handler(Channel& channel) {
  rpc::Handler handler;
  handler.stream = [channel = &channel](rpc::Call& call, rpc::MessageSource& source,
                                        rpc::MessageSink& sink) {
    return forward(channel, call, source, sink);
  };
  return handler;
}

}  // namespace capstan::client
