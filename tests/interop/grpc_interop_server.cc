// Why this file exists: gRPC's test service on our server, for the interoperability clients of
// other implementations (grpc_interop_test.py). Prints "port N" and serves until it is told to
// stop.
//
//     grpc-interop-server [--unix PATH] [--tls CERTIFICATE KEY] [--gzip]
#include <charconv>
#include <cstdio>
#include <cstring>

#include "core/os_file.h"
#include "core/os_signal.h"
#include "core/scope.h"
#include "core/uring_env.h"
#include "grpc_testing.pb.h"
#include "wire/grpc/server.h"

namespace capstan::interop {
namespace {

using core::Task;
using grpc::testing::EchoStatus;
using grpc::testing::Empty;
using grpc::testing::Payload;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

constexpr int kPayloadBytesMax = 4 << 20;
constexpr char kInitialKey[] = "x-grpc-test-echo-initial";
constexpr char kTrailingKey[] = "x-grpc-test-echo-trailing-bin";

void echo_metadata(rpc::Call& call) {
  const auto initial = call.metadata.get(kInitialKey);
  if (!initial.empty()) call.metadata.initial.emplace_back(kInitialKey, initial);
  const auto trailing = call.metadata.get(kTrailingKey);
  if (!trailing.empty()) call.metadata.trailers.emplace_back(kTrailingKey, trailing);
}

Result<void> echo_status(const EchoStatus& status) {
  if (status.code() == 0) return {};
  return fail(static_cast<Code>(status.code()), status.message());
}

Result<void> fill(Payload& payload, int size) {
  if (size < 0 || size > kPayloadBytesMax) {
    return fail(Code::kInvalidArgument, "payload size " + std::to_string(size) + " is not served");
  }
  payload.set_body(std::string(static_cast<std::size_t>(size), '\0'));
  return {};
}

class TestService {
 public:
  Task<Result<Empty>> empty_call(rpc::Call&, const Empty&) { co_return Empty(); }

  Task<Result<SimpleResponse>> unary_call(rpc::Call& call, const SimpleRequest& request) {
    echo_metadata(call);
    CO_TRY(echo_status(request.response_status()));
    SimpleResponse response;
    CO_TRY(fill(*response.mutable_payload(), request.response_size()));
    if (request.fill_server_id()) response.set_server_id("capstan");
    co_return response;
  }

  Task<Result<void>> streaming_output(rpc::Call& call, const StreamingOutputCallRequest& request,
                                      rpc::Sink<StreamingOutputCallResponse> sink) {
    echo_metadata(call);
    co_return co_await answer(call, request, sink);
  }

  Task<Result<StreamingInputCallResponse>> streaming_input(
      rpc::Call&, rpc::Source<StreamingInputCallRequest> source) {
    StreamingInputCallRequest request;
    StreamingInputCallResponse response;
    while (true) {
      CO_TRY_SET(const bool got, co_await source.next(request));
      if (!got) co_return response;
      const auto size = static_cast<std::int32_t>(request.payload().body().size());
      response.set_aggregated_payload_size(response.aggregated_payload_size() + size);
    }
  }

  Task<Result<void>> full_duplex(rpc::Call& call, rpc::Source<StreamingOutputCallRequest> source,
                                 rpc::Sink<StreamingOutputCallResponse> sink) {
    echo_metadata(call);
    StreamingOutputCallRequest request;
    while (true) {
      CO_TRY_SET(const bool got, co_await source.next(request));
      if (!got) co_return Result<void>();
      CO_TRY(co_await answer(call, request, sink));
    }
  }

  Task<Result<void>> half_duplex(rpc::Call& call, rpc::Source<StreamingOutputCallRequest> source,
                                 rpc::Sink<StreamingOutputCallResponse> sink) {
    std::vector<StreamingOutputCallRequest> requests;
    StreamingOutputCallRequest request;
    while (true) {
      CO_TRY_SET(const bool got, co_await source.next(request));
      if (!got) break;
      requests.push_back(request);
    }
    for (const auto& one : requests) CO_TRY(co_await answer(call, one, sink));
    co_return Result<void>();
  }

  Result<void> bind(rpc::Directory& directory) {
    const auto* file = Empty::descriptor()->file();
    TRY(directory.declare(file->FindServiceByName("TestService"), {"UnimplementedCall"}));
    const std::string service = "grpc.testing.TestService/";
    TRY(rpc::bind_unary(directory, service + "EmptyCall", *this, &TestService::empty_call));
    TRY(rpc::bind_unary(directory, service + "UnaryCall", *this, &TestService::unary_call));
    TRY(rpc::bind_unary(directory, service + "CacheableUnaryCall", *this,
                        &TestService::unary_call));
    TRY(rpc::bind_server_stream(directory, service + "StreamingOutputCall", *this,
                                &TestService::streaming_output));
    TRY(rpc::bind_client_stream(directory, service + "StreamingInputCall", *this,
                                &TestService::streaming_input));
    TRY(rpc::bind_bidirectional(directory, service + "FullDuplexCall", *this,
                                &TestService::full_duplex));
    TRY(rpc::bind_bidirectional(directory, service + "HalfDuplexCall", *this,
                                &TestService::half_duplex));
    return directory.check_complete();
  }

 private:
  static Task<Result<void>> answer(rpc::Call& call, const StreamingOutputCallRequest& request,
                                   rpc::Sink<StreamingOutputCallResponse> sink) {
    CO_TRY(echo_status(request.response_status()));
    StreamingOutputCallResponse response;
    for (const auto& parameters : request.response_parameters()) {
      if (parameters.interval_us() > 0) {
        const auto pause = static_cast<core::Nanos>(parameters.interval_us()) * 1000;
        CO_TRY(co_await core::sleep_for(pause, call.token));
      }
      CO_TRY(fill(*response.mutable_payload(), parameters.size()));
      CO_TRY(co_await sink.send(response));
    }
    co_return Result<void>();
  }
};

struct Arguments {
  core::Address address = core::Address::tcp("127.0.0.1", 0);
  std::shared_ptr<const wire::TlsContext> tls;
  wire::ServerOptions options;
};

Result<Arguments> parse(int count, char** values) {
  constexpr std::size_t kPemBytes = 1U << 20;
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string flag = values[i];
    if (flag == "--gzip") {
      arguments.options.compress_answers = true;
    } else if (flag == "--unix" && i + 1 < count) {
      arguments.address = core::Address::unix_path(values[++i]);
    } else if (flag == "--tls" && i + 2 < count) {
      wire::TlsServerConfig tls;
      TRY_SET(tls.certificate_pem, core::read_small_file(values[++i], kPemBytes));
      TRY_SET(tls.private_key_pem, core::read_small_file(values[++i], kPemBytes));
      TRY_SET(arguments.tls, wire::TlsContext::server(tls));
    } else {
      return fail(Code::kInvalidArgument,
                  "unknown argument '" + flag + "'; use --unix, --tls or --gzip");
    }
  }
  return arguments;
}

Task<void> serve(core::Env* env, core::SignalSet* signals, const rpc::Directory* directory,
                 const core::Log* log, Arguments arguments, Result<void>& outcome) {
  wire::GrpcServer server(*env, *directory, *log, arguments.options);
  const auto address = server.listen(arguments.address, arguments.tls);
  if (!address) {
    outcome = std::unexpected(address.error());
    co_return;
  }
  core::Scope scope;
  scope.spawn(server.run());
  std::printf("port %u\n", address->port);
  std::fflush(stdout);
  (void)co_await signals->wait();
  server.stop(core::kSecond);
  co_await scope.join();
}

Result<void> run(int count, char** values) {
  TRY_SET(auto arguments, parse(count, values));
  TRY_SET(const auto signals, core::SignalSet::create());
  TRY_SET(const auto env, core::UringEnv::create({}));
  TestService service;
  rpc::Directory directory;
  TRY(service.bind(directory));
  const auto sink = core::make_stderr_sink({}, "interop");
  core::Log log(*sink, core::LogLevel::kWarn, &core::UringEnv::wall_clock, nullptr);
  Result<void> outcome;
  env->run(serve(env.get(), signals.get(), &directory, &log, std::move(arguments), outcome));
  return outcome;
}

}  // namespace
}  // namespace capstan::interop

int main(int count, char** values) {
  const auto done = capstan::interop::run(count, values);
  if (!done) std::fprintf(stderr, "%s\n", done.error().text().c_str());
  return done ? 0 : 1;
}
