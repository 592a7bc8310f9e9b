// Why this file exists: an HTTP body is seldom a whole message: a request leaves out what its path
// and query already say, an answer may be one field of the response. A BodyShape says which part of
// a message a body is; the media types (rpc/media.h) and the schemas (rpc/schema.h) follow it, so
// that what is described is what is sent.
// Lifetime: the descriptors live as long as the generated messages.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "rpc/http_binding.h"

namespace capstan::rpc {

struct BodyShape {
  const google::protobuf::Descriptor* type = nullptr;  // of the whole message
  // The body is this field's value alone; null: the body is the message.
  const google::protobuf::FieldDescriptor* field = nullptr;
  bool element = false;                // `field` is a list and the body is its first element
  std::vector<FieldPath> hidden = {};  // what the body does not have, when it is the message

  static BodyShape whole(const google::protobuf::Descriptor& type) { return {&type}; }
  static BodyShape of(const google::protobuf::Message& message) {
    return {message.GetDescriptor()};
  }
};

// The body of a POST, PUT or PATCH: without the fields that path, query and `set` give.
BodyShape request_shape(const google::protobuf::MethodDescriptor& method,
                        const HttpBinding& binding);
// The body of a 200: the response or its field `result`, whole or its one element.
BodyShape response_shape(const google::protobuf::MethodDescriptor& method,
                         const HttpBinding& binding);
// What a GET or DELETE may take from the query: every field (scalar, enum, wrapper, or a list of
// those; also of single messages in it) that is not in the path or `set`. For methods with a body
// exactly binding.query. In the order of declaration.
std::vector<FieldPath> query_fields(const google::protobuf::MethodDescriptor& method,
                                    const HttpBinding& binding);
// "a.b": how such a field is named, by its json_name where the declaration gives one.
std::string query_name(const FieldPath& field);
// How a query of this binding names it: binding.query_names first.
std::string query_name(const HttpBinding& binding, const FieldPath& field);

// BodyShape::hidden on a walk through a message: what it means at one level.
class HiddenFields {
 public:
  HiddenFields() = default;
  explicit HiddenFields(const std::vector<FieldPath>& all);
  bool hides(const google::protobuf::FieldDescriptor& field) const;
  // For the single message in `field`.
  HiddenFields inside(const google::protobuf::FieldDescriptor& field) const;
  bool none() const { return paths_.empty(); }

 private:
  std::vector<const FieldPath*> paths_;
  std::size_t depth_ = 0;
};

}  // namespace capstan::rpc
