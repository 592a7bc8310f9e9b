#include "rpc/binary_format.h"

#include <algorithm>

namespace capstan::rpc::internal {

using google::protobuf::Descriptor;

BinaryShape binary_shape(const Descriptor& type) {
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: return BinaryShape::kObject;
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
    case Descriptor::WELLKNOWNTYPE_DURATION: return BinaryShape::kTime;
    case Descriptor::WELLKNOWNTYPE_STRUCT:
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: return BinaryShape::kDynamic;
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: return BinaryShape::kNone;
    default: return BinaryShape::kWrapped;
  }
}

bool takes_no_bytes(const Descriptor& type) {
  return binary_shape(type) == BinaryShape::kObject && type.field_count() == 0;
}

std::vector<const google::protobuf::EnumValueDescriptor*> enum_cases(
    const google::protobuf::EnumDescriptor& type) {
  std::vector<const google::protobuf::EnumValueDescriptor*> cases;
  for (int i = 0; i < type.value_count(); ++i) {
    const auto* value = type.value(i);
    // The first name of a number is the one FindValueByNumber() gives.
    if (type.FindValueByNumber(value->number()) == value) cases.push_back(value);
  }
  return cases;
}

}  // namespace capstan::rpc::internal
