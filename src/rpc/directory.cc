// Why this file exists: the book of operations and the one way a call runs through the interceptors
// to its handler. A unary handler called as a stream, and the checks around every handler, live
// here, so that no wire repeats them.
#include "rpc/directory.h"

#include <utility>

#include "base/assert.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {

namespace {

std::string quoted(std::string_view name) {
  std::string text("'");
  text += name;
  text += '\'';
  return text;
}

}  // namespace

Directory::Directory() = default;
Directory::~Directory() = default;

Result<void> Directory::declare(const google::protobuf::ServiceDescriptor* service,
                                std::set<std::string> absent) {
  if (!services_.emplace(service->full_name(), service).second) {
    return fail(Code::kAlreadyExists,
                "service " + quoted(service->full_name()) + " is declared twice; declare it once");
  }
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    TRY_SET(Operation operation, Operation::from(*method));
    std::string name = operation.full_name();
    if (absent.erase(method->name()) != 0) {
      absent_.insert(std::move(name));
      continue;
    }
    TRY(claim_wire_names(operation));
    Entry entry{std::move(operation),
                {},
                factory->GetPrototype(method->input_type()),
                factory->GetPrototype(method->output_type())};
    if (!entry.request || !entry.response) {
      return fail(Code::kInternal, "operation " + quoted(name) +
                                       " uses messages that are not compiled into this program");
    }
    const auto placed = entries_.emplace(std::move(name), std::move(entry)).first;
    const Operation& declared = placed->second.operation;
    if (declared.drpc_module != 0) {
      drpc_[{declared.drpc_module, declared.drpc_method}] = &placed->second;
    }
  }
  if (!absent.empty()) {
    return fail(Code::kNotFound, "service " + quoted(service->full_name()) + " has no method " +
                                     quoted(*absent.begin()) + " that could be absent");
  }
  return {};
}

Result<void> Directory::claim_wire_names(const Operation& operation) {
  std::vector<std::string> names;
  for (const auto& binding : operation.http) names.push_back(binding.text());
  if (!operation.jsonrpc_name.empty()) names.push_back("jsonrpc " + operation.jsonrpc_name);
  for (const auto& old : operation.jsonrpc_old_names) names.push_back("jsonrpc " + old);
  if (operation.drpc_module != 0) {
    names.push_back("drpc " + std::to_string(operation.drpc_module) + "." +
                    std::to_string(operation.drpc_method));
  }
  if (!operation.muxio_name.empty()) names.push_back("muxio " + operation.muxio_name);
  for (auto& name : names) {
    const auto [position, added] = wire_names_.emplace(name, operation.full_name());
    if (!added) {
      return fail(Code::kAlreadyExists, "operations " + quoted(position->second) + " and " +
                                            quoted(operation.full_name()) + " are both called " +
                                            quoted(name) + "; rename one in its options");
    }
  }
  return {};
}

Result<void> Directory::bind_raw(std::string_view full_name, Handler handler) {
  const auto position = entries_.find(full_name);
  if (position == entries_.end()) {
    return fail(Code::kNotFound, "cannot bind " + quoted(full_name) +
                                     ": no declared service has it, or it is declared absent");
  }
  Entry& entry = position->second;
  if (entry.handler.unary || entry.handler.stream) {
    return fail(Code::kAlreadyExists, "operation " + quoted(full_name) + " is bound twice");
  }
  CAPSTAN_ASSERT((handler.unary != nullptr) != (handler.stream != nullptr));
  if (handler.unary && entry.operation.kind != Kind::kUnary) {
    return fail(Code::kInvalidArgument,
                "operation " + quoted(full_name) + " streams; bind a streaming handler to it");
  }
  entry.handler = std::move(handler);
  return {};
}

Result<void> Directory::check_complete() const {
  std::string missing;
  for (const auto& [name, entry] : entries_) {
    if (entry.handler.unary || entry.handler.stream) continue;
    missing += (missing.empty() ? "" : ", ") + name;
  }
  if (missing.empty()) return {};
  return fail(Code::kFailedPrecondition,
              "declared operations without a handler: " + missing +
                  "; bind them or list them as absent where the service is declared");
}

void Directory::add_interceptor(std::unique_ptr<Interceptor> interceptor) {
  CAPSTAN_ASSERT(interceptor != nullptr);
  CAPSTAN_ASSERT(interceptors_.empty() || interceptors_.back()->place() < interceptor->place());
  interceptors_.push_back(std::move(interceptor));
}

const Directory::Entry* Directory::find(std::string_view full_name) const {
  const auto position = entries_.find(full_name);
  if (position == entries_.end()) return nullptr;
  const Entry& entry = position->second;
  return entry.handler.unary || entry.handler.stream ? &entry : nullptr;
}

const Directory::Entry* Directory::find_drpc(std::uint32_t module, std::uint32_t method) const {
  const auto position = drpc_.find({module, method});
  if (position == drpc_.end()) return nullptr;
  const Entry& entry = *position->second;
  return entry.handler.unary || entry.handler.stream ? &entry : nullptr;
}

Error Directory::why_missing(std::string_view full_name) const {
  const auto slash = full_name.rfind('/');
  const auto service = full_name.substr(0, slash);
  Error error{Code::kUnimplemented, 0, {}, {}};
  if (slash == std::string_view::npos) {
    error.message = quoted(full_name) + " is not of the form package.Service/Method";
  } else if (!has_service(service)) {
    error.message = "unknown service " + quoted(service) + "; this node serves:";
    for (const auto& known : services_) error.message += " " + known.first;
  } else if (absent_.contains(full_name) || declared(full_name)) {
    error.message = "operation " + quoted(full_name) + " is not served by this node";
  } else {
    error.message = "service " + quoted(service) + " has no method " +
                    quoted(full_name.substr(slash + 1)) + "; it has:";
    const auto* descriptor = services_.find(service)->second;
    for (int i = 0; i < descriptor->method_count(); ++i) {
      error.message += " " + descriptor->method(i)->name();
    }
  }
  return error;
}

const Operation* Directory::declared(std::string_view full_name) const {
  const auto position = entries_.find(full_name);
  return position == entries_.end() ? nullptr : &position->second.operation;
}

bool Directory::has_service(std::string_view service) const {
  return services_.contains(service);
}

std::vector<const Operation*> Directory::operations() const {
  std::vector<const Operation*> all;
  for (const auto& [name, entry] : entries_) {
    if (entry.handler.unary || entry.handler.stream) all.push_back(&entry.operation);
  }
  return all;
}

std::vector<const google::protobuf::ServiceDescriptor*> Directory::services() const {
  std::vector<const google::protobuf::ServiceDescriptor*> all;
  for (const auto& [name, service] : services_) all.push_back(service);
  return all;
}

// --- running -----------------------------------------------------------------------------------

namespace {

using Interceptors = std::vector<std::unique_ptr<Interceptor>>;

// Lives in the frame of Directory::run; each run() steps one interceptor further, without a frame
// of its own, and the last one reaches the handler.
class Chain : public Next {
 public:
  explicit Chain(const Interceptors& interceptors) : interceptors_(interceptors) {}
  core::Task<Result<void>> run(Call& call) final {
    if (position_ < interceptors_.size()) return interceptors_[position_++]->around(call, *this);
    CAPSTAN_ASSERT(position_ == interceptors_.size());  // next.run() was called twice
    ++position_;
    return finish(call);
  }

 private:
  core::Task<Result<void>> finish(Call& call) {
    CO_TRY(call.token.check());
    auto result = co_await handle(call);
    if (call.token.reason() != Code::kDeadlineExceeded) co_return result;
    // A handler that says itself what it waited for knows best.
    if (!result && result.error().code == Code::kDeadlineExceeded) co_return result;
    Error late{Code::kDeadlineExceeded, 0, "deadline exceeded", {}};
    if (!result) late.message += " (" + result.error().text() + ")";
    co_return std::unexpected(std::move(late));
  }
  virtual core::Task<Result<void>> handle(Call& call) = 0;

  const Interceptors& interceptors_;
  std::size_t position_ = 0;
};

class UnaryChain final : public Chain {
 public:
  UnaryChain(const Interceptors& interceptors, const Handler& handler, const Message& request,
             Message& response)
      : Chain(interceptors), handler_(handler), request_(request), response_(response) {}
  const Message* request() const override { return &request_; }

 private:
  core::Task<Result<void>> handle(Call& call) override {
    return handler_.unary(call, request_, response_);
  }
  const Handler& handler_;
  const Message& request_;
  Message& response_;
};

class StreamChain final : public Chain {
 public:
  StreamChain(const Interceptors& interceptors, const Directory::Entry& entry,
              MessageSource& source, MessageSink& sink)
      : Chain(interceptors), entry_(entry), source_(source), sink_(sink) {}

 private:
  core::Task<Result<void>> handle(Call& call) override {
    return entry_.handler.stream ? streamed(call) : one(call);
  }
  // Wires hear of their own token alone; an interceptor may have put another one in front of it.
  core::Task<Result<void>> streamed(Call& call) {
    const core::CancelCallback wake(call.token, [this] { source_.interrupt(); });
    co_return co_await entry_.handler.stream(call, source_, sink_);
  }
  core::Task<Result<void>> one(Call& call) {
    const auto request = entry_.new_request();
    const auto response = entry_.new_response();
    CO_TRY_SET(const bool got, co_await source_.next(*request));
    if (!got) co_return internal::no_request(call);
    CO_TRY(co_await entry_.handler.unary(call, *request, *response));
    co_return co_await sink_.send(*response);
  }
  const Directory::Entry& entry_;
  MessageSource& source_;
  MessageSink& sink_;
};

}  // namespace

core::Task<Result<void>> Directory::run(const Entry& entry, Call& call, const Message& request,
                                        Message& response) const {
  CAPSTAN_ASSERT(entry.handler.unary);  // a wire asks Operation::kind first
  CAPSTAN_ASSERT(request.GetDescriptor() == entry.operation.method().input_type());
  CAPSTAN_ASSERT(response.GetDescriptor() == entry.operation.method().output_type());
  call.operation = &entry.operation;
  UnaryChain chain(interceptors_, entry.handler, request, response);
  co_return co_await chain.run(call);
}

core::Task<Result<void>> Directory::run(const Entry& entry, Call& call, MessageSource& source,
                                        MessageSink& sink) const {
  call.operation = &entry.operation;
  StreamChain chain(interceptors_, entry, source, sink);
  co_return co_await chain.run(call);
}

// --- binding -----------------------------------------------------------------------------------

namespace internal {

std::unexpected<Error> no_request(const Call& call) {
  return fail(Code::kUnimplemented, "operation " + quoted(call.operation->full_name()) +
                                        " takes one request, but the stream ended before it");
}

Result<void> check_binding(const Directory& directory, std::string_view full_name,
                           bool client_streams, bool server_streams,
                           const google::protobuf::Descriptor* request,
                           const google::protobuf::Descriptor* response) {
  const Operation* operation = directory.declared(full_name);
  if (!operation) {
    return fail(Code::kNotFound, "cannot bind " + quoted(full_name) +
                                     ": no declared service has it, or it is declared absent");
  }
  const auto& method = operation->method();
  if (method.client_streaming() != client_streams || method.server_streaming() != server_streams) {
    return fail(Code::kInvalidArgument, "cannot bind " + quoted(full_name) +
                                            ": the handler and the declaration stream differently");
  }
  if (method.input_type() != request || method.output_type() != response) {
    return fail(Code::kInvalidArgument,
                "cannot bind " + quoted(full_name) + ": it is declared " +
                    method.input_type()->full_name() + " -> " + method.output_type()->full_name() +
                    ", the handler is " + request->full_name() + " -> " + response->full_name());
  }
  return {};
}

}  // namespace internal

}  // namespace capstan::rpc
