// Why this file exists: what bodies look like, derived from the declarations that encode and decode
// them: JSON Schema (draft 4) for `describe`, the same in the dialect of OpenAPI 3.1, and the
// layout of octet-stream. All are compact JSON texts. Source: http-rpc sections 13.3 and 13.4.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "rpc/body_shape.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

// A complete document: {"$schema":…,…,"definitions":{…}}.
std::string json_schema(const BodyShape& shape, const JsonStyle& style = JsonStyle::octez());
// {"toplevel":…,"fields":[…]}.
std::string binary_schema(const BodyShape& shape);
struct BodySchemas {
  std::string json, binary;
  // {"json_schema":…,"binary_schema":…} as it stands in the describe tree.
  std::string text() const;
};
BodySchemas both_schemas(const BodyShape& shape, const JsonStyle& style = JsonStyle::octez());
// Of errors of every service.
std::string error_schemas();
// Of "nothing", for answers without a body, of raw bytes, and of any JSON with what it is for.
BodySchemas nothing_schemas();
BodySchemas bytes_schemas();
BodySchemas any_json_schemas(std::string_view description);

namespace internal {
class JsonSchemaWriter;
}

// Schemas that refer to others by "#/components/schemas/NAME" and collect those, once each. Wide
// integers and texts are said more simply than in json_schema(): generated clients read these.
class OpenApiSchemas {
 public:
  explicit OpenApiSchemas(JsonStyle style);
  ~OpenApiSchemas();

  std::string schema(const BodyShape& shape);
  // Of a value in path or query; a list gives the schema of an element.
  std::string text_schema(const google::protobuf::FieldDescriptor& field);
  const std::map<std::string, std::string>& collected() const;

 private:
  std::unique_ptr<internal::JsonSchemaWriter> writer_;
};

}  // namespace capstan::rpc
