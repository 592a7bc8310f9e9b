// Why this file exists: the few decisions of octet-stream that encoding, decoding and the binary
// schema must share: what a message stands for, and which number an enum's value has. The whole
// mapping is in rpc/BINARY.md.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <vector>

namespace capstan::rpc::internal {

enum class BinaryShape : std::uint8_t {
  kObject,   // its fields, one after the other
  kWrapped,  // google.protobuf.StringValue and its like: the value alone
  kDynamic,  // Struct, Value, ListValue: any JSON, as BSON behind its length
  kTime,     // Timestamp, Duration: int64 seconds, int32 nanoseconds
  kNone,     // Any, FieldMask: no form
};

BinaryShape binary_shape(const google::protobuf::Descriptor& type);
// An object without fields takes no bytes, so a list of it has no form.
bool takes_no_bytes(const google::protobuf::Descriptor& type);

// The values of an enum in the order of declaration, aliases left out; the index is what is sent.
std::vector<const google::protobuf::EnumValueDescriptor*> enum_cases(
    const google::protobuf::EnumDescriptor& type);
inline std::size_t enum_bytes(std::size_t cases) {
  return cases <= 256 ? 1 : 2;
}

}  // namespace capstan::rpc::internal
