// Why this file exists: see call_log.h.
#include "apps/capstan/call_log.h"

#include <array>
#include <cstdio>
#include <utility>

#include "apps/capstan/printer.h"
#include "apps/capstan/visible.h"

namespace capstan::apps {
namespace {

using client::CallOptions;
using client::Message;

void print(std::string line, const Message* message) {
  line += '\n';
  if (message) {
    std::string text = "  " + visible_lines(message_json(*message).value_or("(no JSON)"));
    for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 3)) {
      text.insert(at + 1, "  ");
    }
    line += text + '\n';
  }
  std::fputs(line.c_str(), stderr);
}

void print_error(unsigned number, const Error& error) {
  print("<<<<" + std::to_string(number) + ": " + std::string(code_name(error.code)) + " " +
            visible_lines(error.text()),
        nullptr);
}

class LoggedCall final : public client::RemoteCall {
 public:
  LoggedCall(const google::protobuf::MethodDescriptor& method,
             std::unique_ptr<client::RemoteCall> call, unsigned number)
      : RemoteCall(method), call_(std::move(call)), number_(number) {}

  core::Task<Result<void>> send(const Message& message) override {
    print(">>>>" + std::to_string(number_) + ": " + method_.full_name(), &message);
    co_return co_await call_->send(message);
  }
  core::Task<Result<bool>> next(Message& into) override {
    auto got = co_await call_->next(into);
    if (!got) {
      print_error(number_, got.error());
    } else {
      print("<<<<" + std::to_string(number_) + ": OK", *got ? &into : nullptr);
    }
    co_return got;
  }
  void finish_sending() override { call_->finish_sending(); }
  core::Task<Result<void>> finish() override { return call_->finish(); }
  void cancel(Code reason) override { call_->cancel(reason); }

 private:
  std::unique_ptr<client::RemoteCall> call_;
  unsigned number_;
};

class LoggingRemote final : public client::Remote {
 public:
  LoggingRemote(std::unique_ptr<client::Remote> remote, CallLog& log)
      : remote_(std::move(remote)), log_(log) {}

  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    const unsigned number = log_.next++;
    print(">>>>" + std::to_string(number) + ": " + full_name, &request);
    auto done =
        co_await remote_->unary(std::move(full_name), request, response, std::move(options));
    if (done) {
      print("<<<<" + std::to_string(number) + ": OK", &response);
    } else {
      print_error(number, done.error());
    }
    co_return done;
  }
  core::Task<Result<std::unique_ptr<client::RemoteCall>>> open(std::string full_name,
                                                               const Message* request,
                                                               CallOptions options) override {
    CO_TRY_SET(const auto* method, client::find_method(full_name));
    const unsigned number = log_.next++;
    if (request) print(">>>>" + std::to_string(number) + ": " + full_name, request);
    auto call = co_await remote_->open(std::move(full_name), request, std::move(options));
    if (!call) {
      print_error(number, call.error());
      co_return call;
    }
    co_return std::make_unique<LoggedCall>(*method, *std::move(call), number);
  }
  bool connected() const override { return remote_->connected(); }
  bool streams() const override { return remote_->streams(); }
  core::Task<void> close() override { return remote_->close(); }

 private:
  std::unique_ptr<client::Remote> remote_;
  CallLog& log_;
};

}  // namespace

void print_attempt(const client::HttpAttempt& attempt) {
  std::array<char, 80> start{};
  std::snprintf(start.data(), start.size(),
                "rpc_http_attempt attempt=%d delay=%.1f text=", attempt.number,
                static_cast<double>(attempt.pause) / core::kSecond);
  print(start.data() + visible(attempt.text), nullptr);
}

std::unique_ptr<client::Remote> logging_remote(std::unique_ptr<client::Remote> remote,
                                               CallLog& log) {
  return std::make_unique<LoggingRemote>(std::move(remote), log);
}

}  // namespace capstan::apps
