// Why this file exists: one way to call an operation over HTTP, read from its options
// (OperationOptions.Http in api/rpc/options.proto) and checked against its messages once, at start:
// the path as steps, and which fields of the request come from path, query and body. What happens
// with them at a call is the HTTP wire's business; describe, OpenAPI and the client read the same.
//
// Source of the conventions: http-rpc sections 2.1 (paths), 2.3 (queries), 4.1 and 20.2 (answers).
// Lifetime: the descriptors that a binding points to live as long as the generated messages.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace capstan::rpc {

class OperationOptions_Http;  // OperationOptions.Http, rpc/options.pb.h

// A field of a message, or of a message in it: from the outside in, never empty.
using FieldPath = std::vector<const google::protobuf::FieldDescriptor*>;

struct HttpStep {
  enum class Kind : std::uint8_t { kLiteral, kArgument, kTail };

  Kind kind = Kind::kLiteral;
  std::string name;           // the literal text, or the argument's type: "pool_id"
  FieldPath field;            // of an argument or a tail; the last of a tail is repeated
  std::string metadata = {};  // the argument is this of the call, and no field
};

// A field with a value that the path decides, as text that the field's type reads.
struct HttpFixedField {
  FieldPath field;
  std::string value;
};

// What a query calls a field otherwise than its message does.
struct HttpQueryName {
  std::string name;
  FieldPath field;
};

// What a successful answer looks like; operations that stream answers stream unless kRaw.
enum class HttpAnswer : std::uint8_t { kOk, kChunked, kCreated, kNoContent, kRaw };

struct HttpBinding {
  // kInvalidArgument naming what in `declared` does not fit the method's messages.
  static Result<HttpBinding> from(const google::protobuf::MethodDescriptor& method,
                                  const OperationOptions_Http& declared);

  std::string text() const { return method + " " + path; }  // "GET /pools/{pool_id=name}"
  // As clients see it: "/pools/{pool_id}".
  std::string pattern() const;
  bool has_body() const { return method == "POST" || method == "PUT" || method == "PATCH"; }

  std::string method, path;                                   // as declared
  std::vector<HttpStep> steps;                                // of the path
  const google::protobuf::FieldDescriptor* body = nullptr;    // null: the request itself
  const google::protobuf::FieldDescriptor* result = nullptr;  // null: the response itself
  bool only = false;  // `result` is a list whose one element is the answer
  HttpAnswer answer = HttpAnswer::kOk;
  std::string location;          // with fields of the response, or else of the request, in braces
  bool json_text = false;        // `body` and `result` hold JSON as text, and are that JSON here
  bool raw_body = false;         // the body's bytes are `body`, outside of the media types
  bool needs_body = false;       // no body at all is refused
  std::vector<FieldPath> query;  // for methods with a body; else everything not in the path is one
  std::vector<HttpQueryName> query_names;
  std::vector<HttpFixedField> set;
  std::vector<std::pair<std::string, std::string>> metadata;  // that calls by this path have
};

}  // namespace capstan::rpc
