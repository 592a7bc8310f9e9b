// Why this file exists: see module.h.
#include "wire/drpc/module.h"

#include <google/protobuf/message_lite.h>

#include <exception>
#include <utility>

namespace capstan::wire::drpc {

static std::string failure_text(Status status) {
  switch (status) {
    case Status::kSuccess:
    case Status::kSubmitted: return "";
    case Status::kUnknownModule: return "unrecognized module ID";
    case Status::kUnknownMethod: return "unrecognized method ID";
    case Status::kFailedUnmarshalCall: return "failed to unmarshal incoming call";
    case Status::kFailedUnmarshalPayload: return "failed to unmarshal method-specific payload";
    case Status::kFailedMarshal: return "failed to marshal response payload";
    default: return "an unknown error occurred";
  }
}

Failure::Failure(Status status) : status_(status), text_(failure_text(status)) {}

Answer marshal(const google::protobuf::MessageLite& message) {
  Memory memory;
  const std::size_t bytes = message.ByteSizeLong();
  if (bytes > limits::kDrpcMessageBytes || !message.IsInitialized() || !memory.resize(bytes)) {
    return std::unexpected(Failure::marshaling());
  }
  if (bytes != 0) message.SerializeWithCachedSizesToArray(memory.data());
  return Body(std::move(memory));
}

std::expected<void, Failure> unmarshal(ByteView body, google::protobuf::MessageLite& into) {
  if (into.ParseFromArray(body.data(), static_cast<int>(body.size()))) return {};
  return std::unexpected(Failure::unmarshaling_payload());
}

FunctionModule& FunctionModule::add(std::int32_t method, std::string name, Function function) {
  const bool added = functions_.emplace(method, Entry{std::move(name), std::move(function)}).second;
  CAPSTAN_ASSERT(added);  // a method is added once
  return *this;
}

std::optional<Method> FunctionModule::method(std::int32_t id) const {
  const auto found = functions_.find(id);
  if (found == functions_.end()) return std::nullopt;
  return Method{id, id_, found->second.name};
}

static Answer guarded(const FunctionModule::Function& function, Session& session, ByteView body) {
  try {
    return function(session, body);
  } catch (const std::exception& thrown) {
    return std::unexpected(Failure::with_message(std::string("it threw: ") + thrown.what()));
  } catch (...) {
    return std::unexpected(Failure::with_message("it threw something"));
  }
}

core::Task<Answer> FunctionModule::handle(Session& session, const Method& method, ByteView body) {
  co_return guarded(functions_.at(method.id).function, session, body);
}

// --- the service -------------------------------------------------------------------------------

Result<void> ModuleService::register_module(std::unique_ptr<Module> module) {
  CAPSTAN_ASSERT(module != nullptr);
  const std::string id = std::to_string(module->id());
  if (!open_) {
    return fail(Code::kFailedPrecondition,
                "module " + id + " comes too late: register modules before the server starts");
  }
  if (!modules_.emplace(module->id(), std::move(module)).second) {
    return fail(Code::kAlreadyExists, "module with ID " + id + " already exists; choose another");
  }
  return {};
}

Module* ModuleService::find(std::int32_t id) const {
  const auto found = modules_.find(id);
  return found == modules_.end() ? nullptr : found->second.get();
}

void ModuleService::log_refused(const CallView& call, const Failure& failure,
                                const Session& session) {
  log_.warn("call_failed", {{"module", call.module},
                            {"method", call.method},
                            {"status", to_string(failure.status())},
                            {"error", failure.text()},
                            {"peer_pid", session.peer().pid.value_or(0)}});
}

core::Task<Reply> ModuleService::process(Session& session, ByteView message) {
  const auto call = parse_call(message);
  if (!call) {
    log_refused({}, Failure::unmarshaling_call(), session);
    co_return Reply{kNoSequence, Status::kFailedUnmarshalCall, {}};
  }
  Answer answer = std::unexpected(Failure::unknown_module());
  if (Module* module = find(call->module)) {
    const std::optional<Method> method = module->method(call->method);
    if (method) {
      answer = co_await module->handle(session, *method, call->body);
    } else {
      answer = std::unexpected(Failure::unknown_method());
    }
  }
  if (answer) co_return Reply{call->sequence, Status::kSuccess, *std::move(answer)};
  log_refused(*call, answer.error(), session);
  co_return Reply{call->sequence, answer.error().status(), {}};
}

}  // namespace capstan::wire::drpc
