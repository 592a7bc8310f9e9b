// Why this file exists: the node's paths as an OpenAPI 3.1 document, for clients that are generated
// and for people: every binding of every operation with its parameters, bodies in the three media
// types, errors and ways to sign in. Source: http-rpc sections 13.5 and 20.3.
//
// Streams have no notation in OpenAPI 3.1: their content is the schema of one element, marked
// "x-capstan-stream": true; a JSON stream is one element per line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rpc/directory.h"
#include "rpc/json_style.h"

namespace capstan::rpc {

struct OpenApiRoute {
  const Operation* operation = nullptr;
  const HttpBinding* binding = nullptr;
};

struct OpenApiOptions {
  std::string title, version;
  JsonStyle style = JsonStyle::octez();
  // Bodies and errors as Mayastor's control plane has them: JSON only, {details, message, kind}.
  bool v0 = false;
};

// The declared bindings of a directory's operations whose path starts with `prefix` (and, with an
// empty one, all that do not start with "/v0/"). Lives as long as the directory.
std::vector<OpenApiRoute> openapi_routes(const Directory& directory, std::string_view prefix = {});

// The document as compact JSON. Routes with the same method and pattern stand once.
std::string openapi(const std::vector<OpenApiRoute>& routes, const OpenApiOptions& options);

}  // namespace capstan::rpc
