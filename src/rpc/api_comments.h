// Why this file exists: the comments of api/*.proto say what operations and fields are for, once;
// generated code does not carry them, so they come along as descriptors of their own and stand in
// OpenAPI documents. Reading them takes a few milliseconds: done when a document is written.
// Thread-safety: read-only once made.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <string_view>

namespace capstan::rpc {

class ApiComments {
 public:
  ApiComments();
  // As sentences in one line; empty where nothing is said. A method's comment stands before it, a
  // field's before or behind it.
  std::string_view of(const google::protobuf::MethodDescriptor& method) const;
  std::string_view of(const google::protobuf::FieldDescriptor& field) const;

 private:
  std::string_view find(std::string_view full_name) const;

  std::map<std::string, std::string, std::less<>> texts_;  // by full name
};

}  // namespace capstan::rpc
