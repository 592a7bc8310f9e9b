// Why this file exists: our client through gRPC's standard interoperability cases against the test
// server of another implementation (grpc_interop_test.py). Prints one line per case, "ok NAME" or
// "failed NAME: why"; the exit code is the number of failures.
//
//     grpc-interop-client ADDRESS PORT [AUTHORITY.pem HOST]
#include <cstdio>
#include <functional>

#include "client/channel.h"
#include "core/os_file.h"
#include "core/uring_env.h"
#include "grpc_testing.pb.h"

namespace capstan::interop {
namespace {

using client::Channel;
using client::MetadataList;
using client::StreamCall;
using core::Task;
using grpc::testing::Empty;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;
using Duplex = StreamCall<StreamingOutputCallRequest, StreamingOutputCallResponse>;

const std::string kService = "grpc.testing.TestService/";
constexpr int kRequestSizes[] = {27182, 8, 1828, 45904};
constexpr int kAnswerSizes[] = {31415, 9, 2653, 58979};

std::string zeros(int size) {
  return std::string(static_cast<std::size_t>(size), '\0');
}

Result<void> expect(bool good, std::string_view what) {
  if (good) return {};
  return fail(Code::kInternal, std::string(what));
}
// The error that `result` must be.
template <class T>
Result<void> expect_error(const Result<T>& result, Code code, std::string_view message = {}) {
  if (result) return fail(Code::kInternal, "succeeded, but must not");
  const auto& error = result.error();
  if (error.code == code && (message.empty() || error.message == message)) return {};
  return fail(Code::kInternal, "failed otherwise than it must: " + error.text());
}

SimpleRequest large_request() {
  SimpleRequest request;
  request.set_response_size(314159);
  request.mutable_payload()->set_body(zeros(271828));
  return request;
}
StreamingOutputCallRequest output_request(int answer_size, int request_size) {
  StreamingOutputCallRequest request;
  request.add_response_parameters()->set_size(answer_size);
  request.mutable_payload()->set_body(zeros(request_size));
  return request;
}

Task<Result<void>> empty_unary(Channel& channel) {
  Empty request, response;
  CO_TRY(co_await channel.unary(kService + "EmptyCall", request, response, {}));
  co_return expect(response.ByteSizeLong() == 0, "the answer is not empty");
}

Task<Result<void>> large_unary(Channel& channel) {
  SimpleResponse response;
  const auto request = large_request();
  CO_TRY(co_await channel.unary(kService + "UnaryCall", request, response, {}));
  co_return expect(response.payload().body() == zeros(314159), "the payload is another one");
}

Task<Result<void>> client_streaming(Channel& channel) {
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingInputCallRequest, StreamingInputCallResponse>(
                 kService + "StreamingInputCall", {})));
  for (const int size : kRequestSizes) {
    StreamingInputCallRequest request;
    request.mutable_payload()->set_body(zeros(size));
    CO_TRY(co_await call.send(request));
  }
  CO_TRY_SET(const auto answer, co_await call.answer());
  co_return expect(answer.aggregated_payload_size() == 74922, "the sum is wrong");
}

Task<Result<void>> server_streaming(Channel& channel) {
  StreamingOutputCallRequest request;
  for (const int size : kAnswerSizes) request.add_response_parameters()->set_size(size);
  CO_TRY_SET(
      auto call,
      (co_await channel.server_stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
          kService + "StreamingOutputCall", request, {})));
  StreamingOutputCallResponse answer;
  for (const int size : kAnswerSizes) {
    CO_TRY_SET(const bool got, co_await call.next(answer));
    CO_TRY(expect(got && answer.payload().body() == zeros(size), "an answer has another size"));
  }
  CO_TRY_SET(const bool more, co_await call.next(answer));
  co_return expect(!more, "there are too many answers");
}

Task<Result<void>> ping_pong(Channel& channel) {
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
                 kService + "FullDuplexCall", {})));
  StreamingOutputCallResponse answer;
  for (std::size_t i = 0; i < std::size(kAnswerSizes); ++i) {
    CO_TRY(co_await call.send(output_request(kAnswerSizes[i], kRequestSizes[i])));
    CO_TRY_SET(const bool got, co_await call.next(answer));
    CO_TRY(expect(got && answer.payload().body() == zeros(kAnswerSizes[i]), "a wrong answer"));
  }
  call.finish_sending();
  CO_TRY_SET(const bool more, co_await call.next(answer));
  co_return expect(!more, "there are too many answers");
}

Task<Result<void>> empty_stream(Channel& channel) {
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
                 kService + "FullDuplexCall", {})));
  call.finish_sending();
  StreamingOutputCallResponse answer;
  CO_TRY_SET(const bool more, co_await call.next(answer));
  co_return expect(!more, "nothing was asked, something answered");
}

Task<Result<void>> timeout_on_sleeping_server(Channel& channel) {
  client::CallOptions options;
  options.deadline = channel.deadline_in(core::kMillisecond);
  auto call = co_await channel.stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
      kService + "FullDuplexCall", options);
  if (!call) co_return expect_error(call, Code::kDeadlineExceeded);
  auto request = output_request(8, 27182);
  request.mutable_response_parameters(0)->set_interval_us(1'000'000);
  (void)co_await call->send(request);
  StreamingOutputCallResponse answer;
  co_return expect_error(co_await call->next(answer), Code::kDeadlineExceeded);
}

Task<Result<void>> cancel_after_begin(Channel& channel) {
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingInputCallRequest, StreamingInputCallResponse>(
                 kService + "StreamingInputCall", {})));
  call.cancel();
  StreamingInputCallResponse answer;
  co_return expect_error(co_await call.next(answer), Code::kCancelled);
}

Task<Result<void>> cancel_after_first_response(Channel& channel) {
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
                 kService + "FullDuplexCall", {})));
  CO_TRY(co_await call.send(output_request(31415, 27182)));
  StreamingOutputCallResponse answer;
  CO_TRY_SET(const bool got, co_await call.next(answer));
  CO_TRY(expect(got, "no answer"));
  call.cancel();
  co_return expect_error(co_await call.next(answer), Code::kCancelled);
}

constexpr char kInitialKey[] = "x-grpc-test-echo-initial";
constexpr char kTrailingKey[] = "x-grpc-test-echo-trailing-bin";
const std::string kInitialValue = "test_initial_metadata_value";
const std::string kTrailingValue = "\xAB\xAB\xAB";

Result<void> expect_metadata(const wire::ClientCall& call) {
  const auto has = [](const MetadataList& list, std::string_view key, const std::string& value) {
    for (const auto& [name, held] : list) {
      if (name == key) return held == value;
    }
    return false;
  };
  TRY(expect(has(call.headers(), kInitialKey, kInitialValue), "the headers lack the echo"));
  return expect(has(call.trailers(), kTrailingKey, kTrailingValue), "the trailers lack the echo");
}

Task<Result<void>> custom_metadata(Channel& channel) {
  client::CallOptions options;
  options.metadata = {{kInitialKey, kInitialValue}, {kTrailingKey, kTrailingValue}};
  {
    CO_TRY_SET(auto call, co_await channel.open(kService + "UnaryCall", options));
    CO_TRY(co_await call->send(large_request()));
    call->finish_sending();
    SimpleResponse response;
    CO_TRY_SET(const bool got, co_await call->next(response));
    CO_TRY(expect(got, "no answer"));
    CO_TRY(co_await call->finish());
    CO_TRY(expect_metadata(*call));
  }
  CO_TRY_SET(auto call, co_await channel.open(kService + "FullDuplexCall", options));
  CO_TRY(co_await call->send(output_request(314159, 271828)));
  StreamingOutputCallResponse answer;
  CO_TRY_SET(const bool got, co_await call->next(answer));
  CO_TRY(expect(got, "no answer"));
  call->finish_sending();
  CO_TRY(co_await call->finish());
  co_return expect_metadata(*call);
}

Task<Result<void>> status_of(Channel& channel, std::string message) {
  SimpleRequest request;
  request.mutable_response_status()->set_code(static_cast<int>(Code::kUnknown));
  request.mutable_response_status()->set_message(message);
  SimpleResponse response;
  co_return expect_error(co_await channel.unary(kService + "UnaryCall", request, response, {}),
                         Code::kUnknown, message);
}

Task<Result<void>> status_code_and_message(Channel& channel) {
  CO_TRY(co_await status_of(channel, "test status message"));
  CO_TRY_SET(auto call,
             (co_await channel.stream<StreamingOutputCallRequest, StreamingOutputCallResponse>(
                 kService + "FullDuplexCall", {})));
  StreamingOutputCallRequest request;
  request.mutable_response_status()->set_code(static_cast<int>(Code::kUnknown));
  request.mutable_response_status()->set_message("test status message");
  CO_TRY(co_await call.send(request));
  call.finish_sending();
  StreamingOutputCallResponse answer;
  co_return expect_error(co_await call.next(answer), Code::kUnknown, "test status message");
}

Task<Result<void>> special_status_message(Channel& channel) {
  return status_of(channel,
                   "\t\ntest with whitespace\r\nand Unicode BMP \u263A and non-BMP "
                   "\U0001F608\t\n");
}

Task<Result<void>> unimplemented_method(Channel& channel) {
  Empty request, response;
  co_return expect_error(
      co_await channel.unary(kService + "UnimplementedCall", request, response, {}),
      Code::kUnimplemented);
}
Task<Result<void>> unimplemented_service(Channel& channel) {
  Empty request, response;
  co_return expect_error(
      co_await channel.unary("grpc.testing.UnimplementedService/UnimplementedCall", request,
                             response, {}),
      Code::kUnimplemented);
}

Task<Result<void>> rpc_soak(Channel& channel) {
  for (int i = 0; i < 500; ++i) CO_TRY(co_await large_unary(channel));
  co_return Result<void>();
}

struct Case {
  const char* name;
  Task<Result<void>> (*run)(Channel&);
};
constexpr Case kCases[] = {
    {"empty_unary", empty_unary},
    {"large_unary", large_unary},
    {"client_streaming", client_streaming},
    {"server_streaming", server_streaming},
    {"ping_pong", ping_pong},
    {"empty_stream", empty_stream},
    {"timeout_on_sleeping_server", timeout_on_sleeping_server},
    {"cancel_after_begin", cancel_after_begin},
    {"cancel_after_first_response", cancel_after_first_response},
    {"custom_metadata", custom_metadata},
    {"status_code_and_message", status_code_and_message},
    {"special_status_message", special_status_message},
    {"unimplemented_method", unimplemented_method},
    {"unimplemented_service", unimplemented_service},
    {"rpc_soak", rpc_soak},
};

Task<void> run_all(core::Env& env, client::ChannelOptions options, int& failures) {
  Channel channel(env, std::move(options));
  for (const auto& [name, run] : kCases) {
    const auto done = co_await run(channel);
    if (done) {
      std::printf("ok %s\n", name);
    } else {
      ++failures;
      std::printf("failed %s: %s\n", name, done.error().text().c_str());
    }
  }
  co_await channel.close();
}

Result<int> run(int count, char** values) {
  if (count != 3 && count != 5) {
    return fail(Code::kInvalidArgument, "use: grpc-interop-client ADDRESS PORT [CA.pem HOST]");
  }
  client::ChannelOptions options;
  options.address = core::Address::tcp(values[1], static_cast<std::uint16_t>(std::atoi(values[2])));
  if (count == 5) {
    wire::TlsClientConfig tls;
    TRY_SET(tls.ca_pem, core::read_small_file(values[3], 1U << 20));
    TRY_SET(options.tls, wire::TlsContext::client(tls));
    options.tls_host = values[4];
  }
  TRY_SET(const auto env, core::UringEnv::create({}));
  int failures = 0;
  env->run(run_all(*env, std::move(options), failures));
  return failures;
}

}  // namespace
}  // namespace capstan::interop

int main(int count, char** values) {
  const auto failures = capstan::interop::run(count, values);
  if (failures) return *failures;
  std::fprintf(stderr, "%s\n", failures.error().text().c_str());
  return 100;
}
