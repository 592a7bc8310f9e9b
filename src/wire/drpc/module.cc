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

Failure failure_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Failure& failure) {
    return failure;
  } catch (const std::exception& exception) {
    return Failure::with_message(std::string("it threw: ") + exception.what());
  } catch (...) {
    return Failure::with_message("it threw something");
  }
}

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

core::Task<Answer> FunctionModule::handle(Session& session, const Method& method, ByteView body) {
  co_return functions_.at(method.id).function(session, body);
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

// A coroutine of its own because of what modules throw outside of theirs.
core::Task<Answer> ModuleService::answer(Session& session, const CallView& call) {
  Module* module = find(call.module);
  if (!module) co_return std::unexpected(Failure::unknown_module());
  const std::optional<Method> method = module->method(call.method);
  if (!method) co_return std::unexpected(Failure::unknown_method());
  co_return co_await module->handle(session, *method, call.body);
}

core::Task<Reply> ModuleService::process(Session& session, ByteView message) {
  const auto call = parse_call(message);
  if (!call) {
    log_refused({}, Failure::unmarshaling_call(), session);
    co_return Reply{kNoSequence, Status::kFailedUnmarshalCall, {}};
  }
  Answer answered = co_await answer(session, *call);
  if (answered) co_return Reply{call->sequence, Status::kSuccess, *std::move(answered)};
  log_refused(*call, answered.error(), session);
  co_return Reply{call->sequence, answered.error().status(), {}};
}

}  // namespace capstan::wire::drpc
