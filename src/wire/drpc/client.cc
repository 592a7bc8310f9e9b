// Why this file exists: see client.h.
#include "wire/drpc/client.h"

#include <utility>

namespace capstan::wire::drpc {

struct Client::Connection {
  Connection(std::unique_ptr<core::PacketSocket> connected, const ClientOptions& options)
      : link(std::move(connected)),
        reader(*link, options.legacy ? Framing::kLegacy : Framing::kChunked, options.message_bytes,
               nullptr) {}
  std::unique_ptr<core::PacketSocket> link;
  MessageReader reader;
};

Client::Client(core::Env& env, std::string path, const ClientOptions& options)
    : env_(env), path_(std::move(path)), options_(options) {}

Client::~Client() = default;

core::Task<Result<void>> Client::connect(core::CancelToken token) {
  const auto guard = co_await busy_.lock();
  if (is_connected()) co_return Result<void>();
  auto socket =
      co_await env_.network().connect_packets(core::Address::unix_path(path_), std::move(token));
  if (!socket) co_return std::unexpected(std::move(socket).error().within("dRPC connect"));
  connection_ = std::make_unique<Connection>(*std::move(socket), options_);
  sequence_ = 0;
  co_return Result<void>();
}

void Client::close() {
  if (!connection_) return;
  if (!busy_.busy()) {
    connection_.reset();
    return;
  }
  closing_ = true;  // the call in flight lets go of the connection
  connection_->link->cancel();
}

core::Task<Result<Response>> Client::call(std::int32_t module, std::int32_t method, ByteView body,
                                          CallOptions options) {
  const auto guard = co_await busy_.lock();
  CO_TRY(options.token.check());
  if (!is_connected()) {
    co_return fail(Code::kFailedPrecondition, "dRPC not connected to '" + path_ + "'; connect()");
  }
  auto response = co_await exchange(module, method, body, std::move(options));
  if (!response || closing_) connection_.reset();
  closing_ = false;
  co_return response;
}

core::Task<Result<Response>> Client::exchange(std::int32_t module, std::int32_t method,
                                              ByteView body, CallOptions options) {
  core::PacketSocket& socket = *connection_->link;
  bool late = false;
  core::Timer timer([&] {
    late = true;
    socket.cancel();
  });
  auto& reactor = *core::Reactor::current();
  if (options.timeout != 0) timer.arm_at(reactor, reactor.read_clock() + options.timeout);
  const core::CancelCallback cancelled(options.token, [&] { socket.cancel(); });

  const std::int64_t sequence = ++sequence_;
  const auto prefix = MessagePrefix::call(module, method, sequence, body.size());
  const ByteView parts[] = {prefix.view(), body};
  Result<Response> response;
  if (auto sent = co_await send_message(socket, options_.legacy, parts); !sent) {
    response = std::unexpected(std::move(sent).error().within("dRPC send"));
  } else {
    response = co_await receive(sequence);
    if (!response) response.error() = std::move(response.error()).within("dRPC recv");
  }
  // Cancelled in the same moment as the response came: the socket serves no further call.
  if (late || options.token.fired()) closing_ = true;
  if (!response && late) co_return fail(Code::kDeadlineExceeded, "dRPC deadline exceeded");
  if (!response) CO_TRY(options.token.check());
  co_return response;
}

core::Task<Result<Response>> Client::receive(std::int64_t sequence) {
  while (true) {
    CO_TRY_SET(const std::optional<ByteView> message, co_await connection_->reader.next());
    // An old server's empty packet, which looks the same, answers sequence 0: never a call of ours.
    if (!message) co_return fail(Code::kUnavailable, "the server closed the connection");
    const auto response = parse_response(*message);
    if (!response) co_return fail(Code::kInternal, "failed to unmarshal dRPC response");
    const bool unparsed =
        response->sequence == kNoSequence && response->status == Status::kFailedUnmarshalCall;
    if (response->sequence != sequence && !unparsed) {
      if (response->sequence < sequence) continue;  // of a call that nobody waits for
      co_return fail(Code::kInternal, "a dRPC response with sequence " +
                                          std::to_string(response->sequence) + " to call " +
                                          std::to_string(sequence));
    }
    co_return Response{response->sequence, response->status,
                       connection_->reader.take(response->body)};
  }
}

core::Task<Result<void>> Client::call_messages(std::int32_t module, std::int32_t method,
                                               const google::protobuf::MessageLite& request,
                                               google::protobuf::MessageLite& reply,
                                               CallOptions options) {
  std::string body;
  if (!request.SerializeToString(&body)) {
    co_return fail(Code::kInvalidArgument, "failed to marshal dRPC request");
  }
  CO_TRY_SET(const Response response,
             co_await call(module, method, as_bytes(body), std::move(options)));
  const std::string name = std::to_string(module) + "/" + std::to_string(method);
  if (response.status != Status::kSuccess) {
    co_return fail(Code::kUnknown,
                   "bad dRPC response status of " + name + ": " + to_string(response.status));
  }
  const ByteView view = response.body.view();
  if (!reply.ParseFromArray(view.data(), static_cast<int>(view.size()))) {
    co_return fail(Code::kInternal, "failed to unmarshal the reply of " + name);
  }
  co_return Result<void>();
}

}  // namespace capstan::wire::drpc
