// Why this file exists: one message for many clients. Whoever has it made it once; a wire that can
// (SharedSink) writes it once, too, and gives every client of the same kind the same bytes. To all
// others it is a message like any other.
//
// A handler of such answers is bound with bind_shared_stream() and gets a SharedAnswers instead of
// a Sink. Thread-safety: one core. Lifetimes: as those of rpc/directory.h.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rpc/directory.h"

namespace capstan::rpc {

class SharedMessage {
 public:
  explicit SharedMessage(std::unique_ptr<const Message> message) : message_(std::move(message)) {}
  const Message& message() const { return *message_; }

  // How the bytes are written: who has the same form wants the same bytes.
  struct Form {
    const void* writer = nullptr;  // lives longer than the message
    int variant = 0;
    bool operator==(const Form&) const = default;
  };
  // Those of the first one who asked, by its `make`, which returns a Result<std::string>. They
  // outlive the message.
  template <class Make>
  Result<std::shared_ptr<const std::string>> bytes(const Form& form, Make make) const {
    for (const auto& [known, text] : written_) {
      if (known == form) return text;
    }
    TRY_SET(std::string text, make());
    return written_.emplace_back(form, std::make_shared<const std::string>(std::move(text))).second;
  }

 private:
  std::unique_ptr<const Message> message_;
  mutable std::vector<std::pair<Form, std::shared_ptr<const std::string>>> written_;
};

// What a wire implements that shares bytes.
class SharedSink : public MessageSink {
 public:
  virtual core::Task<Result<void>> send_shared(std::shared_ptr<const SharedMessage> message) = 0;
};

// The answers of a call, to a handler whose answers others get as well.
template <class Response>
class SharedAnswers {
 public:
  explicit SharedAnswers(MessageSink& sink)
      : sink_(sink), shared_(dynamic_cast<SharedSink*>(&sink)) {}
  core::Task<Result<void>> send(const Response& message) { return sink_.send(message); }
  // `message` is a Response.
  core::Task<Result<void>> send(const std::shared_ptr<const SharedMessage>& message) {
    return shared_ ? shared_->send_shared(message) : sink_.send(message->message());
  }

 private:
  MessageSink& sink_;
  SharedSink* shared_;  // the same, or null
};

namespace internal {

template <class Service, class Request, class Response>
core::Task<Result<void>> call_shared_stream(
    Service* service,
    core::Task<Result<void>> (Service::*handler)(Call&, const Request&, SharedAnswers<Response>),
    Call& call, MessageSource& source, MessageSink& sink) {
  Request request;
  CO_TRY_SET(const bool got, co_await source.next(request));
  if (!got) co_return no_request(call);
  co_return co_await (service->*handler)(call, request, SharedAnswers<Response>(sink));
}

}  // namespace internal

// As bind_server_stream().
template <class Service, class Request, class Response>
Result<void> bind_shared_stream(
    Directory& directory, std::string_view full_name, Service& service,
    core::Task<Result<void>> (Service::*handler)(Call&, const Request&, SharedAnswers<Response>)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, false, true)));
  Handler bound;
  bound.stream = [service = &service, handler](Call& call, MessageSource& source,
                                               MessageSink& sink) {
    return internal::call_shared_stream(service, handler, call, source, sink);
  };
  return directory.bind_raw(full_name, std::move(bound));
}

}  // namespace capstan::rpc
