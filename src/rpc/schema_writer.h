// Why this file exists: the walk behind rpc/schema.h's JSON schemas. Functions give the members of
// a schema object without its braces, because the root of a document adds members of its own.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <string_view>

#include "rpc/body_shape.h"
#include "rpc/json_style.h"

namespace capstan::rpc::internal {

class JsonSchemaWriter {
 public:
  // Named types are collected, and referred to as `prefix` + name.
  JsonSchemaWriter(const JsonStyle& style, std::string prefix, bool openapi)
      : style_(style), prefix_(std::move(prefix)), openapi_(openapi) {}

  // With `root` a named type stands there itself instead of a reference to it.
  std::string body(const BodyShape& shape, bool root);
  // One value of the field: an element when it is repeated.
  std::string value(const google::protobuf::FieldDescriptor& field, bool root);
  const std::map<std::string, std::string>& collected() const { return collected_; }

 private:
  static std::string braced(const std::string& members);
  std::string named(const std::string& name, std::string_view members);
  std::string wide(bool is_signed, bool root);
  std::string text(const google::protobuf::FieldDescriptor& field, bool root);
  static std::string enumeration(const google::protobuf::EnumDescriptor& type);
  std::string field(const google::protobuf::FieldDescriptor& field, bool root);
  std::string message(const google::protobuf::Descriptor& type, bool root,
                      const HiddenFields& hidden);
  std::string object(const google::protobuf::Descriptor& type, const HiddenFields& hidden);

  JsonStyle style_;
  std::string prefix_;
  bool openapi_;
  std::map<std::string, std::string> collected_;
};

}  // namespace capstan::rpc::internal
