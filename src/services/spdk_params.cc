// Why this file exists: see spdk_params.h.
#include "services/spdk_params.h"

#include <algorithm>
#include <cerrno>

#include "rpc/json_call.h"

namespace capstan::services {
namespace {

using google::protobuf::FieldDescriptor;

std::string at(const rpc::Call& call, std::string_view member) {
  std::string text = call.operation ? call.operation->jsonrpc_name : "";
  return (text += ": ") += member;
}

const FieldDescriptor& field_of(const rpc::Message& request, std::string_view member) {
  const auto* field = request.GetDescriptor()->FindFieldByName(std::string(member));
  CAPSTAN_ASSERT(field != nullptr && !field->is_repeated());
  return *field;
}

bool is_zero(const rpc::Message& request, const FieldDescriptor& field) {
  const auto& reflection = *request.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return !reflection.GetBool(request, &field);
    case FieldDescriptor::CPPTYPE_INT32: return reflection.GetInt32(request, &field) == 0;
    case FieldDescriptor::CPPTYPE_UINT32: return reflection.GetUInt32(request, &field) == 0;
    case FieldDescriptor::CPPTYPE_UINT64: return reflection.GetUInt64(request, &field) == 0;
    default: return reflection.GetString(request, &field).empty();
  }
}

}  // namespace

Result<void> require(const rpc::Call& call, const rpc::Message& request,
                     std::initializer_list<std::string_view> members) {
  for (const auto member : members) {
    if (request.GetReflection()->HasField(request, &field_of(request, member))) continue;
    return rpc::json_invalid_params(at(call, member) + ": missing");
  }
  return {};
}

Result<void> require_one_of(const rpc::Call& call, std::string_view member, std::string_view value,
                            std::initializer_list<std::string_view> known) {
  if (std::ranges::find(known, value) != known.end()) return {};
  std::string text = at(call, member) + ": '" + std::string(value) + "' is none of";
  for (const auto name : known) (text += ' ') += name;
  return rpc::json_invalid_params(std::move(text));
}

Result<std::optional<Uuid>> uuid_param(const rpc::Call& call, std::string_view given) {
  if (given.empty()) return std::optional<Uuid>();
  const auto parsed = Uuid::parse(given);
  if (parsed && given.size() == 36) return parsed;
  return rpc::json_invalid_params(at(call, "uuid") + ": '" + std::string(given) +
                                  "' is no UUID of 36 characters");
}

Result<void> refuse_unsupported(const rpc::Call& call, const rpc::Message& request,
                                std::initializer_list<std::string_view> members) {
  for (const auto member : members) {
    if (is_zero(request, field_of(request, member))) continue;
    return rpc::json_errno(EOPNOTSUPP, at(call, member) + " is not supported by this node");
  }
  return {};
}

}  // namespace capstan::services
