// Why this file exists: see call_log.h.
#include "apps/capstan/call_log.h"

#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "apps/capstan/printer.h"
#include "base/visible.h"
#include "rpc/error_text.h"
#include "rpc/operation.h"
#include "wire/http1/http1_request.h"

namespace capstan::apps {
namespace {

using client::CallOptions;
using client::Message;

// A line, and below it a text of several, indented by two.
void print(std::string line, std::optional<std::string> below = std::nullopt) {
  line += '\n';
  if (below) {
    std::string text = "  " + visible_lines(*below);
    for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 3)) {
      text.insert(at + 1, "  ");
    }
    line += text + '\n';
  }
  std::fputs(line.c_str(), stderr);
}

std::string hidden(std::size_t bytes, std::string_view why) {
  return "(" + std::to_string(bytes) + " bytes, " + std::string(why) + ")";
}

// Bytes of users are theirs.
std::optional<std::string> shown(const Message* message, bool secret) {
  if (!message) return std::nullopt;
  if (secret) return hidden(message->ByteSizeLong(), "not shown");
  return message_json(*message).value_or("(no JSON)");
}

std::string asked_line(unsigned number, const std::string& what) {
  return ">>>>" + std::to_string(number) + ": " + what;
}

// "mayastor.v1.PoolRpc/ListPools", the same for calls of every shape.
std::string name_of(const google::protobuf::MethodDescriptor& method) {
  return method.service()->full_name() + "/" + method.name();
}

bool is_secret(const google::protobuf::MethodDescriptor& method) {
  const auto operation = rpc::Operation::from(method);
  return operation && operation->access == rpc::Access::kData;
}

void print_error(unsigned number, const Error& error) {
  print("<<<<" + std::to_string(number) + ": " + std::string(code_name(error.code)) + " " +
        visible_lines(error.text()));
}

class LoggedCall final : public client::RemoteCall {
 public:
  LoggedCall(const google::protobuf::MethodDescriptor& method,
             std::unique_ptr<client::RemoteCall> call, unsigned number)
      : RemoteCall(method), call_(std::move(call)), number_(number), secret_(is_secret(method)) {}

  core::Task<Result<void>> send(const Message& message) override {
    print(asked_line(number_, name_of(method_)), shown(&message, secret_));
    co_return co_await call_->send(message);
  }
  core::Task<Result<bool>> next(Message& into) override {
    auto got = co_await call_->next(into);
    if (!got) {
      print_error(number_, got.error());
    } else {
      print("<<<<" + std::to_string(number_) + ": OK", shown(*got ? &into : nullptr, secret_));
    }
    co_return got;
  }
  void finish_sending() override { call_->finish_sending(); }
  core::Task<Result<void>> finish() override { return call_->finish(); }
  void cancel(Code reason) override { call_->cancel(reason); }

 private:
  std::unique_ptr<client::RemoteCall> call_;
  unsigned number_;
  bool secret_;
};

class LoggingRemote final : public client::Remote {
 public:
  LoggingRemote(std::unique_ptr<client::Remote> remote, CallLog& log)
      : remote_(std::move(remote)), log_(log) {}

  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    CO_TRY_SET(const auto* method, client::find_method(full_name));
    const bool secret = is_secret(*method);
    const unsigned number = log_.next++;
    print(asked_line(number, name_of(*method)), shown(&request, secret));
    auto done =
        co_await remote_->unary(std::move(full_name), request, response, std::move(options));
    if (done) {
      print("<<<<" + std::to_string(number) + ": OK", shown(&response, secret));
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
    if (request) {
      print(asked_line(number, name_of(*method)), shown(request, is_secret(*method)));
    }
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

// http-rpc section 14.4 as it is there: URIs, statuses and the bytes that went over the wire.
class LogOfHttp final : public client::HttpLog {
 public:
  explicit LogOfHttp(CallLog& log) : log_(log) {}

  unsigned asked(const std::string& uri, const Body& body) override {
    const unsigned number = log_.next++;
    std::optional<std::string> below;
    if (!body.bytes.empty()) below = text(body);
    print(asked_line(number, visible(uri)), std::move(below));
    return number;
  }
  void answered(unsigned number, unsigned status, const Body& body) override {
    print("<<<<" + std::to_string(number) + ": " + std::to_string(status) + " " +
              std::string(wire::http1_reason(status)),
          text(body));
  }
  void failed(unsigned number, const Error& error) override { print_error(number, error); }

 private:
  static std::string text(const Body& body) {
    if (body.secret && !body.bytes.empty()) return hidden(body.bytes.size(), "not shown");
    std::string_view bytes = body.bytes;
    while (bytes.ends_with('\n')) bytes.remove_suffix(1);
    if (body.type.starts_with("application/json")) return pretty_json(bytes);
    if (rpc::valid_utf8(bytes) == bytes) return std::string(bytes);
    return hidden(body.bytes.size(), body.type.empty() ? "no text" : body.type);
  }

  CallLog& log_;
};

}  // namespace

std::unique_ptr<client::HttpLog> log_of_http(CallLog& log) {
  return std::make_unique<LogOfHttp>(log);
}

void print_attempt(const client::HttpAttempt& attempt) {
  std::array<char, 80> start{};
  std::snprintf(start.data(), start.size(),
                "rpc_http_attempt attempt=%d delay=%.1f text=", attempt.number,
                static_cast<double>(attempt.pause) / core::kSecond);
  print(start.data() + visible(attempt.text));
}

std::unique_ptr<client::Remote> logging_remote(std::unique_ptr<client::Remote> remote,
                                               CallLog& log) {
  return std::make_unique<LoggingRemote>(std::move(remote), log);
}

}  // namespace capstan::apps
