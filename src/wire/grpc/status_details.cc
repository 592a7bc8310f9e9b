// Why this file exists: Error to google.rpc.Status and back. What nobody put into an error is found
// here: the reason is the code's name, the object is what the request called by name or uuid.
#include "wire/grpc/status_details.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cstring>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace capstan::wire {

namespace {

using google::rpc::BadRequest;
using google::rpc::ErrorInfo;
using google::rpc::RetryInfo;

constexpr char kDomain[] = "capstan";
constexpr std::size_t kFactBytes = 256;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::int64_t kLongestDelaySeconds = 86'400;
constexpr std::size_t kFieldsRead = 100;

void add_fact(ErrorInfo& info, const std::string& name, const std::string& value) {
  if (!value.empty() && value.size() <= kFactBytes) (*info.mutable_metadata())[name] = value;
}

// Names are text by the wire's rules; other types of a field of that name are somebody else's idea.
void add_object(ErrorInfo& info, const google::protobuf::Message& request) {
  for (const char* name : {"name", "uuid"}) {
    const auto* field = request.GetDescriptor()->FindFieldByName(name);
    if (!field || field->is_repeated() ||
        field->type() != google::protobuf::FieldDescriptor::TYPE_STRING) {
      continue;
    }
    add_fact(info, name, request.GetReflection()->GetString(request, field));
  }
}

ErrorInfo info_of(const Error& error, std::string_view operation,
                  const google::protobuf::Message* request) {
  const ErrorDetails none;
  const ErrorDetails& details = error.details ? *error.details : none;
  ErrorInfo info;
  info.set_reason(details.reason.empty() ? std::string(code_name(error.code)) : details.reason);
  info.set_domain(details.domain.empty() ? kDomain : details.domain);
  add_fact(info, "operation", std::string(operation));
  if (request) add_object(info, *request);
  const char* number = error.sys_errno > 0 ? strerrorname_np(error.sys_errno) : nullptr;
  if (number) add_fact(info, "errno", number);
  for (const auto& [name, value] : details.facts) add_fact(info, name, value);
  return info;
}

bool fits(const google::rpc::Status& status) {
  return (status.ByteSizeLong() + 2) / 3 * 4 <= kStatusDetailsBytes;
}

template <class Part>
bool read(const google::protobuf::Any& any, Part& part) {
  return any.Is<Part>() && any.UnpackTo(&part);
}

void read_info(const ErrorInfo& info, Code code, ErrorDetails& into) {
  if (info.reason() != code_name(code)) into.reason = info.reason();
  if (info.domain() != kDomain) into.domain = info.domain();
  into.facts.assign(info.metadata().begin(), info.metadata().end());
  std::ranges::sort(into.facts);  // a map of protobuf's has no order
}

void read_retry(const RetryInfo& retry, ErrorDetails& into) {
  const auto& delay = retry.retry_delay();
  if (delay.seconds() < 0 || delay.seconds() > kLongestDelaySeconds || delay.nanos() < 0 ||
      delay.nanos() >= static_cast<std::int32_t>(kSecond)) {
    return;
  }
  into.retry_after_ns = static_cast<std::uint64_t>(delay.seconds()) * kSecond +
                        static_cast<std::uint64_t>(delay.nanos());
}

}  // namespace

std::string grpc_status_details(const Error& error, std::string_view message,
                                std::string_view operation,
                                const google::protobuf::Message* request) {
  google::rpc::Status status;
  status.set_code(static_cast<std::int32_t>(error.code));
  status.set_message(std::string(message));
  auto info = info_of(error, operation, request);
  status.add_details()->PackFrom(info);
  if (error.details && error.details->retry_after_ns != 0) {
    RetryInfo retry;
    const std::uint64_t delay = error.details->retry_after_ns;
    retry.mutable_retry_delay()->set_seconds(static_cast<std::int64_t>(delay / kSecond));
    retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(delay % kSecond));
    status.add_details()->PackFrom(retry);
  }
  if (error.details && !error.details->fields.empty()) {
    BadRequest bad;
    for (const auto& field : error.details->fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field.name);
      violation->set_description(field.problem);
    }
    status.add_details()->PackFrom(bad);
  }
  if (!fits(status)) {
    info.clear_metadata();
    status.mutable_details(0)->PackFrom(info);
  }
  if (!fits(status) && error.details && !error.details->fields.empty()) {
    status.mutable_details()->RemoveLast();
  }
  return fits(status) ? status.SerializeAsString() : std::string();
}

std::shared_ptr<const ErrorDetails> grpc_read_status_details(std::string_view bytes, Code code) {
  google::rpc::Status status;
  if (!status.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return nullptr;
  if (status.code() != static_cast<std::int32_t>(code)) return nullptr;
  auto details = std::make_shared<ErrorDetails>();
  bool any = false;
  for (const auto& part : status.details()) {
    ErrorInfo info;
    RetryInfo retry;
    BadRequest bad;
    if (read(part, info)) {
      read_info(info, code, *details);
    } else if (read(part, retry)) {
      read_retry(retry, *details);
    } else if (read(part, bad)) {
      for (const auto& field : bad.field_violations()) {
        if (details->fields.size() < kFieldsRead) {
          details->fields.push_back({field.field(), field.description()});
        }
      }
    } else {
      continue;
    }
    any = true;
  }
  return any ? details : nullptr;
}

}  // namespace capstan::wire
