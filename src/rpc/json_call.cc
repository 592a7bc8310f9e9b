// Why this file exists: see json_call.h. The table of codes is jsonrpc section C.3.
#include "rpc/json_call.h"

#include <simdjson.h>

#include <cerrno>
#include <cstring>

#include "rpc/error_text.h"

namespace capstan::rpc {

namespace {

constexpr std::string_view kRoot = "$";

// The errno that stands for a canonical code when the operating system said nothing.
int errno_of(Code code) {
  switch (code) {
    case Code::kNotFound: return ENODEV;
    case Code::kAlreadyExists: return EEXIST;
    case Code::kInvalidArgument:
    case Code::kOutOfRange: return EINVAL;
    case Code::kFailedPrecondition: return EBUSY;
    case Code::kAborted: return EAGAIN;
    case Code::kResourceExhausted: return ENOSPC;
    case Code::kUnimplemented: return EOPNOTSUPP;
    case Code::kDeadlineExceeded: return ETIMEDOUT;
    case Code::kDataLoss: return EIO;
    case Code::kCancelled:
    case Code::kUnavailable: return ECANCELED;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated: return EPERM;
    default: return 0;
  }
}

// "$.num_blocks: expected integer" of a reader as an error of the method.
std::unexpected<Error> bad_params(const Operation& operation, const Error& error) {
  if (operation.method().input_type()->field_count() == 0) {
    return json_invalid_params(operation.jsonrpc_name + " requires no parameters");
  }
  std::string_view text = error.message;
  if (text.starts_with("$.")) text.remove_prefix(2);
  return json_invalid_params(operation.jsonrpc_name + ": " + std::string(text));
}

JsonReadOptions read_options(const Operation& operation) {
  JsonReadOptions options;
  options.ignore_unknown = operation.jsonrpc.ignore_unknown;
  options.strict = true;
  return options;
}

// The one request of a call, for operations that stream their answers.
class OneRequest final : public MessageSource {
 public:
  explicit OneRequest(const Message& request) : request_(request) {}
  core::Task<Result<bool>> next(Message& into) override {
    if (taken_) co_return false;
    taken_ = true;
    into.CopyFrom(request_);
    co_return true;
  }

 private:
  const Message& request_;
  bool taken_ = false;
};

class ArrayOfAnswers final : public MessageSink {
 public:
  ArrayOfAnswers(const Operation& operation, JsonPlans& plans, std::string& out)
      : operation_(operation), plans_(plans), out_(out) {}
  core::Task<Result<void>> send(const Message& message) override {
    if (out_.size() > limits::kJsonBytes) {
      co_return fail(Code::kResourceExhausted,
                     operation_.jsonrpc_name +
                         ": the answer is larger than one JSON text may be; use another wire");
    }
    out_ += out_.empty() ? '[' : ',';
    co_return write_json_result(operation_, message, plans_, out_);
  }

 private:
  const Operation& operation_;
  JsonPlans& plans_;
  std::string& out_;
};

core::Task<Result<void>> collect(const JsonMethods& methods, const Directory::Entry& entry,
                                 Call& call, const Message& request, std::string& out) {
  const Operation& operation = entry.operation;
  if (operation.kind != Kind::kLarge) {
    co_return fail(Code::kUnimplemented,
                   operation.jsonrpc_name + ": a stream has no JSON-RPC form; use gRPC",
                   EOPNOTSUPP);
  }
  OneRequest source(request);
  ArrayOfAnswers sink(operation, methods.plans(), out);
  CO_TRY(co_await methods.directory().run(entry, call, source, sink));
  out += out.empty() ? "[]" : "]";
  co_return {};
}

core::Task<Result<void>> run_json(const JsonMethods& methods, const Directory::Entry& entry,
                                  Call& call, std::string_view params, std::string& out) {
  const auto request = entry.new_request();
  JsonReader reader;
  CO_TRY(read_json_params(entry.operation, params, reader, *request));
  if (entry.operation.kind != Kind::kUnary) {
    co_return co_await collect(methods, entry, call, *request, out);
  }
  const auto response = entry.new_response();
  CO_TRY(co_await methods.directory().run(entry, call, *request, *response));
  co_return write_json_result(entry.operation, *response, methods.plans(), out);
}

}  // namespace

std::unexpected<Error> json_error(Code code, int json_code, std::string message,
                                  std::string detail) {
  CAPSTAN_ASSERT(json_code < 0);
  Error error{code, json_code, std::move(message), {}};
  if (!detail.empty()) error.context.push_back(std::move(detail));
  return std::unexpected(std::move(error));
}

std::unexpected<Error> json_errno(int err, std::string detail) {
  const Code code = fail_errno(err, "").error().code;
  return json_error(code, -err, std::strerror(err), std::move(detail));
}

std::unexpected<Error> json_invalid_params(std::string message) {
  return json_error(Code::kInvalidArgument, json_code::kInvalidParams, std::move(message));
}

JsonRpcError json_rpc_error(const Error& error) {
  if (error.sys_errno < 0) return {error.sys_errno, valid_utf8(error.message), error.code};
  const int err = error.sys_errno != 0 ? error.sys_errno : errno_of(error.code);
  return {err != 0 ? -err : json_code::kInternalError, error_text(error), error.code};
}

JsonMethods::JsonMethods(const Directory& directory, const std::set<std::string>& allowed)
    : directory_(directory), plans_(std::make_shared<JsonPlans>(JsonStyle::spdk())) {
  for (const Operation* operation : directory.operations()) {
    const std::string& name = operation->jsonrpc_name;
    if (name.empty() || (!allowed.empty() && !allowed.contains(name))) continue;
    const Directory::Entry* entry = directory.find(operation->full_name());
    methods_.emplace(operation->jsonrpc_name, Method{entry, false});
    for (const std::string& old_name : operation->jsonrpc_old_names) {
      methods_.emplace(old_name, Method{entry, true});
    }
  }
}

const JsonMethods::Method* JsonMethods::find(std::string_view name) const {
  const auto position = methods_.find(name);
  return position == methods_.end() ? nullptr : &position->second;
}

Result<void> read_json_params(const Operation& operation, std::string_view params,
                              JsonReader& reader, Message& request) {
  request.Clear();
  if (params.empty() || params == "null") return {};
  auto read = reader.read(params, request, read_options(operation));
  if (!read) return bad_params(operation, read.error());
  return {};
}

Result<void> read_json_params(const Operation& operation, const simdjson::dom::element& params,
                              Message& request) {
  request.Clear();
  if (params.is_null()) return {};
  auto read = read_json_value(params, request, kRoot, read_options(operation));
  if (!read) return bad_params(operation, read.error());
  return {};
}

Result<void> write_json_result(const Operation& operation, const Message& response,
                               JsonPlans& plans, std::string& out) {
  const JsonRpcShape& shape = operation.jsonrpc;
  if (shape.true_result || shape.null_result) {
    out += shape.true_result ? "true" : "null";
    return {};
  }
  if (shape.result) return plans.write_field(response, *shape.result, out);
  return plans.write(response, out);
}

core::Task<std::expected<std::string, JsonRpcError>> call_json(const JsonMethods& methods,
                                                               const Directory::Entry& entry,
                                                               Call& call,
                                                               std::string_view params) {
  std::string result;
  const auto done = co_await run_json(methods, entry, call, params, result);
  if (!done) co_return std::unexpected(json_rpc_error(done.error()));
  co_return result;
}

}  // namespace capstan::rpc
