// Why this file exists: see client.h.
#include "wire/muxio/client.h"

#include <array>
#include <utility>

#include "wire/websocket/websocket_handshake.h"

namespace capstan::wire::muxio {

Client::Client(core::Env& env, ClientOptions options) : env_(env), options_(std::move(options)) {}
Client::~Client() = default;

core::Task<Result<void>> Client::connect(core::CancelToken token) {
  auto made = co_await env_.network().connect(options_.address, token);
  if (!made) {
    Error error = std::move(made).error();
    // The system's own errors name the address already.
    if (error.sys_errno == 0) {
      error = std::move(error).within("connect to " + options_.address.text());
    }
    co_return std::unexpected(std::move(error));
  }
  auto stream = *std::move(made);
  if (options_.address.kind == core::Address::Kind::kUnix) {
    attach(std::move(stream), {}, Link::Framing::kPlain);
    co_return Result<void>();
  }
  if (options_.wrap) stream = options_.wrap(std::move(stream));
  core::CancelSource late(token);
  core::Timer timer([&late] { late.fire(Code::kDeadlineExceeded); });
  auto& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + options_.connect_timeout);
  core::CancelCallback on_late(late.token(), [&stream] { stream->cancel(); });
  auto prefix = co_await upgrade(*stream);
  if (!prefix) {
    if (late.fired()) {
      co_return fail(late.token().reason(),
                     "no answer to the upgrade request of " + options_.address.text());
    }
    co_return std::unexpected(
        std::move(prefix).error().within("connect to " + options_.address.text()));
  }
  attach(std::move(stream), *std::move(prefix), Link::Framing::kWebSocketClient);
  co_return Result<void>();
}

core::Task<Result<std::string>> Client::upgrade(core::Stream& stream) {
  std::array<std::uint8_t, 16> random;
  env_.fill_random(random);
  const std::string key = websocket_key(random);
  const std::string host = options_.host.empty() ? options_.address.text() : options_.host;
  const std::string request = websocket_request(host, options_.path, key, options_.headers);
  // Beside the reading: a stream that encrypts writes nothing before its handshake, which is read.
  core::Scope writing;
  Result<void> written;
  writing.spawn(write_request(&stream, &request, &written));
  auto answer = co_await read_answer(&stream, key);
  if (!answer) stream.cancel();
  co_await writing.join();
  if (answer && !written) co_return std::unexpected(std::move(written).error());
  co_return answer;
}

core::Task<void> Client::write_request(core::Stream* stream, const std::string* request,
                                       Result<void>* done) {
  *done = co_await stream->write(as_bytes(*request));
}

core::Task<Result<std::string>> Client::read_answer(core::Stream* stream, std::string key) {
  std::string answer;
  std::array<std::uint8_t, 4096> buffer;
  while (true) {
    CO_TRY_SET(const std::size_t got, co_await stream->read(buffer));
    if (got == 0) co_return fail(Code::kUnavailable, "the server closed the connection");
    answer.append(as_text(ByteView(buffer).first(got)));
    const auto end = answer.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (answer.size() <= limits::kHttp1HeadBytes) continue;
      co_return fail(Code::kUnavailable, "the server's answer is not HTTP");
    }
    CO_TRY(websocket_check_response(std::string_view(answer).substr(0, end + 4), key));
    co_return answer.substr(end + 4);
  }
}

void Client::attach(std::unique_ptr<core::Stream> stream, std::string prefix,
                    Link::Framing framing) {
  SessionOptions options;
  options.side = Side::kClient;
  options.header_bytes = options_.header_bytes;
  options.link.framing = framing;
  options.link.silence_limit = options_.silence_limit;
  std::array<std::uint8_t, 8> seed;
  env_.fill_random(seed);
  options.link.mask_seed = load_le<std::uint64_t>(seed.data());
  session_ = std::make_unique<Session>(env_, std::move(stream), std::move(prefix), options_.served,
                                       options, counters_);
  scope_.spawn(run());
}

core::Task<void> Client::run() {
  co_await session_->run();
}

Result<Session*> Client::session() {
  if (!session_) return fail(Code::kUnavailable, "not connected");
  return session_.get();
}

core::Task<Result<void>> Client::unary(std::string full_name, const rpc::Message& request,
                                       rpc::Message& response, core::CancelToken token) {
  CO_TRY_SET(Session* const open, session());
  CO_TRY_SET(const std::string answer,
             co_await open->call(method_id(full_name), request.SerializeAsString(), token));
  if (response.ParseFromString(answer)) co_return Result<void>();
  co_return fail(Code::kInternal, "the answer is not a valid " + response.GetTypeName());
}

core::Task<Result<std::string>> Client::raw(std::string_view name, std::string arguments,
                                            core::CancelToken token) {
  const std::uint64_t method = method_id(name);  // before the first await: `name` may dangle later
  CO_TRY_SET(Session* const open, session());
  co_return co_await open->call(method, std::move(arguments), token);
}

Result<std::unique_ptr<ClientCall>> Client::open(std::string_view full_name,
                                                 const rpc::Message* request) {
  TRY_SET(Session* const session, this->session());
  return session->open(method_id(full_name),
                       request ? std::optional(request->SerializeAsString()) : std::nullopt);
}

core::Task<void> Client::close() {
  if (session_) session_->finish();
  co_await scope_.join();
}

}  // namespace capstan::wire::muxio
