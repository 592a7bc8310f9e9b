// Why this file exists: the table behind error_map.h (http-rpc section 20.3; the statuses beyond
// those of section 4.1 are folded as 20.2 says).
#include "wire/rest/error_map.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "rpc/condition.h"
#include "rpc/error_text.h"
#include "rpc/gone.h"
#include "rpc/json_writer.h"

namespace capstan::wire::rest {

namespace {

struct V0Reason {
  std::string_view reason;
  V0Status status;
};
constexpr std::array<V0Reason, 10> kV0Reasons = {{
    {"TIMEOUT", {408, "Timeout"}},
    {"CONFLICT", {409, "Conflict"}},
    {"IN_USE", {409, "InUse"}},
    {"DELETING", {409, "Deleting"}},
    {"ALREADY_SHARED", {412, "AlreadyShared"}},
    {"NOT_SHARED", {412, "NotShared"}},
    {"ALREADY_PUBLISHED", {412, "AlreadyPublished"}},
    {"NOT_PUBLISHED", {412, "NotPublished"}},
    {"CAPACITY_LIMIT_EXCEEDED", {507, "CapacityLimitExceeded"}},
    {"FAILED_PERSIST", {507, "FailedPersist"}},
}};

}  // namespace

NativeStatus native_status(Code code) {
  switch (code) {
    case Code::kOk: return {200, "permanent", "ok"};
    case Code::kCancelled: return {503, "temporary", "cancelled"};
    case Code::kInvalidArgument: return {400, "permanent", "invalid_argument"};
    case Code::kOutOfRange: return {400, "permanent", "out_of_range"};
    case Code::kDeadlineExceeded: return {504, "temporary", "deadline_exceeded"};
    case Code::kNotFound: return {404, "permanent", "not_found"};
    case Code::kAlreadyExists: return {409, "permanent", "already_exists"};
    case Code::kPermissionDenied: return {401, "permanent", "permission_denied"};
    case Code::kUnauthenticated: return {401, "permanent", "unauthorized"};
    case Code::kResourceExhausted: return {409, "temporary", "resource_exhausted"};
    case Code::kFailedPrecondition: return {409, "temporary", "failed_precondition"};
    case Code::kAborted: return {503, "temporary", "aborted"};
    case Code::kUnavailable: return {503, "temporary", "unavailable"};
    case Code::kUnimplemented: return {500, "permanent", "unimplemented"};
    case Code::kDataLoss: return {500, "permanent", "data_loss"};
    case Code::kInternal: return {500, "permanent", "internal"};
    case Code::kUnknown: break;
  }
  return {500, "permanent", "unknown"};
}

namespace {

constexpr std::string_view kConditionName = "condition_not_met", kGoneName = "gone";

// "gateway.upstream_closed" of an error that a gateway made; empty: the error is the node's.
std::string gateway_id(const Error& error) {
  constexpr std::string_view kGateway = "gateway";
  if (!error.details || error.details->domain != kGateway) return {};
  std::string id(kGateway);
  id += '.';
  for (const char byte : error.details->reason) {
    id += static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  }
  return id;
}

bool is_condition(const Error& error) {
  return error.code == Code::kFailedPrecondition && error.details &&
         error.details->reason == rpc::kConditionReason;
}

bool is_gone(const Error& error) {
  return error.code == Code::kNotFound && error.details &&
         error.details->reason == rpc::kGoneReason;
}

// The node behind a gateway was not reached, or left (http-rpc section 19.8).
bool is_upstream(const Error& error) {
  return error.code == Code::kUnavailable && gateway_id(error).starts_with("gateway.upstream_");
}

}  // namespace

unsigned status_of(const Error& error) {
  if (is_condition(error)) return 412;
  if (is_gone(error)) return 410;
  return is_upstream(error) ? 502 : native_status(error.code).status;
}

std::string error_domain(const rpc::Operation& operation) {
  std::string_view name = operation.method().service()->name();
  if (name.size() > 3 && name.ends_with("Rpc")) name.remove_suffix(3);
  std::string domain;
  for (const char byte : name) {
    const auto c = static_cast<unsigned char>(byte);
    if (std::isupper(c) != 0 && !domain.empty()) domain += '_';
    domain += static_cast<char>(std::tolower(c));
  }
  return domain;
}

bool names_object(std::string_view argument) {
  return argument.ends_with("_id") || argument == "bdev" || argument == "controller";
}

rpc::ErrorTrace error_trace(const Error& error, const rpc::Operation& operation) {
  const auto known = native_status(error.code);
  rpc::TraceError one;
  one.kind = known.kind;
  // Who calls is no business of a pool or a replica.
  const bool about_caller = error.code == Code::kUnauthenticated;
  const std::string_view what = is_condition(error) ? kConditionName
                                : is_gone(error)    ? kGoneName
                                                    : known.name;
  one.id = (about_caller ? "auth" : error_domain(operation)) + "." + std::string(what);
  if (auto id = gateway_id(error); !id.empty()) one.id = std::move(id);
  one.text("msg", rpc::error_text(error));
  if (!error.details) return {one};
  for (const auto& [name, value] : error.details->facts) {
    if (name != "kind" && name != "id" && name != "msg") one.text(name, rpc::valid_utf8(value));
  }
  std::string fields;
  for (const auto& field : error.details->fields) {
    fields += (fields.empty() ? "" : ", ") + rpc::valid_utf8(field.name);
  }
  if (!fields.empty()) one.text("fields", fields);
  return {one};
}

V0Status v0_status(const Error& error) {
  if (error.details && !error.details->reason.empty()) {
    const auto known = std::ranges::find(kV0Reasons, error.details->reason, &V0Reason::reason);
    if (known != kV0Reasons.end()) return known->status;
  }
  switch (error.code) {
    case Code::kOk: return {200, ""};
    case Code::kCancelled: return {408, "Timeout"};
    case Code::kInvalidArgument: return {400, "InvalidArgument"};
    case Code::kOutOfRange: return {416, "OutOfRange"};
    case Code::kDeadlineExceeded: return {504, "DeadlineExceeded"};
    case Code::kNotFound: return {404, "NotFound"};
    case Code::kAlreadyExists: return {422, "AlreadyExists"};
    case Code::kPermissionDenied: return {401, "PermissionDenied"};
    case Code::kUnauthenticated: return {401, "Unauthorized"};
    case Code::kResourceExhausted: return {507, "ResourceExhausted"};
    case Code::kFailedPrecondition: return {412, "FailedPrecondition"};
    case Code::kAborted: return {503, "Aborted"};
    case Code::kUnavailable: return {is_upstream(error) ? 502U : 503U, "Unavailable"};
    case Code::kUnimplemented: return {501, "Unimplemented"};
    case Code::kUnknown:
    case Code::kDataLoss:
    case Code::kInternal: break;
  }
  return {500, "Internal"};
}

std::string v0_error(std::string_view kind, std::string_view message, std::string_view details) {
  std::string text = "{\"details\":";
  rpc::append_json_string(rpc::valid_utf8(details), text);
  text += ",\"message\":";
  rpc::append_json_string(rpc::valid_utf8(message), text);
  text += ",\"kind\":";
  rpc::append_json_string(kind, text);
  return text + "}\n";
}

Error error_of_status(unsigned status, std::string message) {
  const auto code = [status] {
    switch (status) {
      case 400: return Code::kInvalidArgument;
      case 401: return Code::kPermissionDenied;
      case 404: return Code::kNotFound;
      case 408:
      case 504: return Code::kDeadlineExceeded;
      case 409: return Code::kFailedPrecondition;
      case 412: return Code::kFailedPrecondition;
      case 413:
      case 431:
      case 507: return Code::kResourceExhausted;
      case 405:
      case 501: return Code::kUnimplemented;
      case 502:
      case 503: return Code::kUnavailable;
      case 500: return Code::kInternal;
      default: return Code::kUnknown;
    }
  };
  return {code(), 0, std::move(message), {}};
}

}  // namespace capstan::wire::rest
