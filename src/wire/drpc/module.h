// Why this file exists: what a program implements to be called over dRPC. A Module owns a number
// and knows its methods; a ModuleService finds module and method of a call and turns whatever the
// handler answers into the reply of drpc section 7. The node's own operations are one such Module
// (operations.h), and so is the greeting of DAOS's test tools (hello.h).
//
// Where this differs from DAOS's Go package: handlers are coroutines and answer values; one that
// waits does not hold up other sessions. Nothing of ours throws, but modules come from others too:
// what a handler lets out, before or after its first await, or a plain function of a
// FunctionModule, is answered with FAILURE (a thrown Failure with its status) and logged, and the
// server goes on. What a coroutine *below* the handler lets out ends the program: catch it there.
// Thread-safety: one core. Modules are registered before the server starts.
#pragma once

#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/cancel.h"
#include "core/env.h"
#include "core/log.h"
#include "core/task.h"
#include "wire/drpc/drpc_codec.h"
#include "wire/drpc/memory.h"

namespace google::protobuf {
class MessageLite;
}

namespace capstan::wire::drpc {

// A refusal: the status is all that the peer learns, the text is for our log. An Error is a
// Failure with the status FAILURE, so CO_TRY works in handlers.
class Failure {
 public:
  explicit Failure(Status status);
  Failure(Status status, std::string text) : status_(status), text_(std::move(text)) {}
  Failure(const Error& error) : Failure(Status::kFailure, error.text()) {}
  static Failure unknown_module() { return Failure(Status::kUnknownModule); }
  static Failure unknown_method() { return Failure(Status::kUnknownMethod); }
  static Failure unmarshaling_call() { return Failure(Status::kFailedUnmarshalCall); }
  static Failure unmarshaling_payload() { return Failure(Status::kFailedUnmarshalPayload); }
  static Failure marshaling() { return Failure(Status::kFailedMarshal); }
  static Failure with_message(std::string text) {
    return Failure(Status::kFailure, std::move(text));
  }

  Status status() const { return status_; }
  const std::string& text() const { return text_; }

 private:
  Status status_;
  std::string text_;
};

// What a handler answers. An empty body is a reply, too.
using Answer = std::expected<Body, Failure>;

// What was thrown as a refusal, to be called with std::current_exception(): a Failure keeps its
// status, everything else is FAILURE with its text.
Failure failure_of(const std::exception_ptr& thrown);

// A protobuf message as a body.
Answer marshal(const google::protobuf::MessageLite& message);
// The request of a method; UNMARSHAL_PAYLOAD when the bytes are no such message.
std::expected<void, Failure> unmarshal(ByteView body, google::protobuf::MessageLite& into);

}  // namespace capstan::wire::drpc

// Handlers may throw, other coroutines may not (core/task.h): the promise of a Task<Answer> takes
// what leaves the coroutine for its answer.
template <>
struct capstan::core::internal::Promise<capstan::wire::drpc::Answer>
    : capstan::core::internal::PromiseBase {
  using Answer = capstan::wire::drpc::Answer;

  std::optional<Answer> value;
  Task<Answer> get_return_object() {
    return Task<Answer>(std::coroutine_handle<Promise>::from_promise(*this));
  }
  template <class U = Answer>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  void unhandled_exception() {
    value.emplace(std::unexpected(capstan::wire::drpc::failure_of(std::current_exception())));
  }
  Answer take() { return std::move(*value); }
};

namespace capstan::wire::drpc {

struct Method {
  std::int32_t id = 0;
  std::int32_t module = 0;
  std::string_view name;  // kept by its module
};

// One connection, as handlers see it. Valid until the handler's task ends.
class Session {
 public:
  virtual ~Session() = default;
  // Who is calling: uid, gid and pid of the process that connected.
  virtual const core::PeerInfo& peer() const = 0;
  // The peer's packets have no chunk headers (an old DAOS release).
  virtual bool legacy() const = 0;
  // The peer has closed: its calls are still worked off, their replies go nowhere.
  virtual bool peer_gone() const = 0;
  // Fires when the server gives up waiting for handlers, never because the peer is gone.
  virtual core::CancelToken token() const = 0;
  // The reply of the running call is not sent any more.
  virtual void close() = 0;
  virtual int native_handle() const = 0;  // -1 where there is no descriptor
};

class Module {
 public:
  virtual ~Module() = default;
  virtual std::int32_t id() const = 0;
  virtual std::string_view name() const = 0;
  // Nothing: the module has no such method.
  virtual std::optional<Method> method(std::int32_t id) const = 0;
  // `method` is one that method() gave. All arguments stay valid until the task ends, and `body`
  // until the reply has been sent. May throw.
  virtual core::Task<Answer> handle(Session& session, const Method& method, ByteView body) = 0;
};

// A module of plain functions.
class FunctionModule final : public Module {
 public:
  using Function = std::function<Answer(Session&, ByteView body)>;
  FunctionModule(std::int32_t id, std::string name) : id_(id), name_(std::move(name)) {}
  FunctionModule& add(std::int32_t method, std::string name, Function function);

  std::int32_t id() const override { return id_; }
  std::string_view name() const override { return name_; }
  std::optional<Method> method(std::int32_t id) const override;
  core::Task<Answer> handle(Session& session, const Method& method, ByteView body) override;

 private:
  struct Entry {
    std::string name;
    Function function;
  };
  std::int32_t id_;
  std::string name_;
  std::map<std::int32_t, Entry> functions_;
};

struct Reply {
  std::int64_t sequence = 0;
  Status status = Status::kSuccess;
  Body body;
};

class ModuleService {
 public:
  explicit ModuleService(const core::Log& log) : log_(log) {}
  // Any number that is free. Fails for one that is taken, and after close_registration().
  Result<void> register_module(std::unique_ptr<Module> module);
  void close_registration() { open_ = false; }
  Module* find(std::int32_t id) const;  // null when there is none
  // Works off one message, whatever it holds, and always has a reply to it.
  core::Task<Reply> process(Session& session, ByteView message);

 private:
  core::Task<Answer> answer(Session& session, const CallView& call);
  void log_refused(const CallView& call, const Failure& failure, const Session& session);

  core::Log log_;
  std::map<std::int32_t, std::unique_ptr<Module>> modules_;
  bool open_ = true;
};

}  // namespace capstan::wire::drpc
