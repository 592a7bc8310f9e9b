// Why this file exists: see field_text.h.
#include "rpc/field_text.h"

namespace capstan::rpc {

namespace pb = google::protobuf;

std::string value_text(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  const bool list = index >= 0;
  using Type = pb::FieldDescriptor::CppType;
#define CAPSTAN_VALUE(type)                                     \
  (list ? reflection->GetRepeated##type(message, &field, index) \
        : reflection->Get##type(message, &field))
  switch (field.cpp_type()) {
    case Type::CPPTYPE_STRING: return CAPSTAN_VALUE(String);
    case Type::CPPTYPE_INT32: return std::to_string(CAPSTAN_VALUE(Int32));
    case Type::CPPTYPE_INT64: return std::to_string(CAPSTAN_VALUE(Int64));
    case Type::CPPTYPE_UINT32: return std::to_string(CAPSTAN_VALUE(UInt32));
    case Type::CPPTYPE_UINT64: return std::to_string(CAPSTAN_VALUE(UInt64));
    case Type::CPPTYPE_BOOL: return CAPSTAN_VALUE(Bool) ? "true" : "false";
    case Type::CPPTYPE_ENUM: return std::string(CAPSTAN_VALUE(Enum)->name());
    case Type::CPPTYPE_FLOAT: return std::to_string(CAPSTAN_VALUE(Float));
    case Type::CPPTYPE_DOUBLE: return std::to_string(CAPSTAN_VALUE(Double));
    case Type::CPPTYPE_MESSAGE: return {};
  }
#undef CAPSTAN_VALUE
  return {};
}

const pb::Message* field_holder(const pb::Message& request, const FieldPath& path) {
  const pb::Message* in = &request;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (!in->GetReflection()->HasField(*in, path[i])) return nullptr;
    in = &in->GetReflection()->GetMessage(*in, path[i]);
  }
  return in;
}

std::optional<std::string> field_text(const pb::Message& request, const FieldPath& path) {
  if (path.empty()) return std::nullopt;  // of the call's metadata
  const pb::Message* in = field_holder(request, path);
  if (!in) return std::nullopt;
  const auto* field = path.back();
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
    if (!in->GetReflection()->HasField(*in, field)) return std::nullopt;
    in = &in->GetReflection()->GetMessage(*in, field);
    field = in->GetDescriptor()->FindFieldByName("value");
    if (!field || field->is_repeated()) return std::nullopt;
  }
  auto text = value_text(*in, *field, -1);
  if (text.empty()) return std::nullopt;
  return text;
}

}  // namespace capstan::rpc
