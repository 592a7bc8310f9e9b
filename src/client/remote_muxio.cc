// Why this file exists: see remote.h. Muxio over a WebSocket (with TLS or without) or over a Unix
// socket. The wire has no deadlines, so this side cancels a call that is late.
#include <utility>

#include "client/http_headers.h"
#include "client/patience.h"
#include "client/remote.h"
#include "wire/grpc/tls_stream.h"
#include "wire/muxio/client.h"

namespace capstan::client {

namespace {

class MuxioCall final : public RemoteCall {
 public:
  MuxioCall(const google::protobuf::MethodDescriptor& method,
            std::unique_ptr<wire::muxio::ClientCall> call, const CallOptions& options)
      : RemoteCall(method),
        call_(std::move(call)),
        patience_(options),
        cancelled_(patience_.token(), [this] { call_->cancel(patience_.token().reason()); }) {}
  core::Task<Result<void>> send(const Message& message) override { return call_->send(message); }
  core::Task<Result<bool>> next(Message& into) override { return call_->next(into); }
  void finish_sending() override { call_->finish_sending(); }
  void cancel(Code reason) override { call_->cancel(reason); }

 private:
  std::unique_ptr<wire::muxio::ClientCall> call_;
  Patience patience_;
  core::CancelCallback cancelled_;
};

wire::muxio::ClientOptions client_options(const ChannelOptions& options, std::string headers) {
  wire::muxio::ClientOptions out;
  out.address = options.address;
  out.host = options.authority;
  out.headers = std::move(headers);
  if (!options.tls) return out;
  out.wrap = [tls = options.tls,
              host = options.tls_host.empty() ? options.address.host : options.tls_host](
                 std::unique_ptr<core::Stream> stream) {
    return wire::make_tls_stream(std::move(stream), *tls, host);
  };
  return out;
}

class MuxioRemote final : public Remote {
 public:
  MuxioRemote(core::Env& env, const ChannelOptions& options)
      : headers_(header_lines(options.metadata)),
        client_(env, client_options(options, headers_.value_or(""))),
        address_(options.address.text()) {}

  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    const Patience patience(options);
    CO_TRY(no_metadata(options));
    CO_TRY(co_await ready(patience.token()));
    co_return co_await client_.unary(std::move(full_name), request, response, patience.token());
  }
  core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                       const Message* request,
                                                       CallOptions options) override {
    CO_TRY_SET(const auto* method, find_method(full_name));
    CO_TRY(no_metadata(options));
    CO_TRY(co_await ready(options.token));
    CO_TRY_SET(auto call, client_.open(full_name, request));
    co_return std::make_unique<MuxioCall>(*method, std::move(call), options);
  }
  bool connected() const override { return client_.connected(); }
  bool streams() const override { return true; }
  core::Task<void> close() override { return client_.close(); }

 private:
  static Result<void> no_metadata(const CallOptions& options) {
    if (options.metadata.empty()) return {};
    return fail(Code::kUnimplemented,
                "Muxio carries no metadata ('" + options.metadata.front().first + "'); use gRPC");
  }
  core::Task<Result<void>> ready(core::CancelToken token) {
    if (!headers_) co_return std::unexpected(headers_.error());
    const auto guard = co_await connecting_.lock();
    if (tried_) {
      if (client_.connected()) co_return Result<void>();
      co_return fail(Code::kUnavailable, "the connection to " + address_ + " was lost");
    }
    auto done = co_await client_.connect(std::move(token));
    tried_ = done.has_value();
    // A server that speaks something else is as good as none.
    if (!done && done.error().code != Code::kCancelled &&
        done.error().code != Code::kDeadlineExceeded) {
      done.error().code = Code::kUnavailable;
    }
    co_return done;
  }

  const Result<std::string> headers_;  // of the upgrade request
  wire::muxio::Client client_;
  std::string address_;
  core::Mutex connecting_;
  bool tried_ = false;
};

}  // namespace

std::unique_ptr<Remote> make_muxio_remote(core::Env& env, ChannelOptions options) {
  return std::make_unique<MuxioRemote>(env, options);
}

}  // namespace capstan::client
