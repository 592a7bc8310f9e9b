// Why this file exists: writes the document of rpc/openapi.h. Texts are put together directly; the
// schemas come from rpc/schema.h.
#include "rpc/openapi.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>

#include "rpc/api_comments.h"
#include "rpc/body_shape.h"
#include "rpc/describe_tree.h"
#include "rpc/json_text.h"
#include "rpc/media.h"
#include "rpc/schema.h"

namespace capstan::rpc {

namespace {

constexpr std::string_view kTrace =
    R"({"title":"Trace","description":"What went wrong, outermost cause first","type":"array",)"
    R"("items":{"type":"object","properties":{"kind":{"type":"string","enum":["permanent",)"
    R"("temporary","branch","generic"]},"id":{"type":"string"},"msg":{"type":"string"}},)"
    R"("required":["kind"]}})";
constexpr std::string_view kRestJsonError =
    R"({"title":"RestJsonError","description":"What went wrong","type":"object","properties":)"
    R"({"details":{"type":"string"},"message":{"type":"string"},"kind":{"type":"string"}},)"
    R"("required":["details","message","kind"]})";

std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(text, out, JsonEscapes::kOctez);
  return out;
}

// "mayastor_v1_PoolRpc_CreatePool": unique in a directory.
std::string operation_id(const Operation& operation) {
  std::string id = operation.full_name();
  std::ranges::replace_if(id, [](char c) { return c == '.' || c == '/'; }, '_');
  return id;
}

// "get_node_pool_replicas" for GET /v0/nodes/{…}/pools/{…}/replicas: what clients that are
// generated from Mayastor's own document call it.
std::string v0_operation_id(const HttpBinding& binding) {
  static constexpr std::array<std::array<std::string_view, 2>, 5> kSingular = {
      {{"nodes", "node"},
       {"pools", "pool"},
       {"replicas", "replica"},
       {"nexuses", "nexus"},
       {"children", "child"}}};
  std::string id = binding.method == "DELETE" ? "del" : binding.method;
  std::ranges::transform(id, id.begin(), [](unsigned char c) { return std::tolower(c); });
  for (std::size_t i = 1; i < binding.steps.size(); ++i) {
    const auto& step = binding.steps[i];
    if (step.kind != HttpStep::Kind::kLiteral || step.name == "nvmf") continue;
    const bool one =
        i + 1 < binding.steps.size() && binding.steps[i + 1].kind != HttpStep::Kind::kLiteral;
    const auto known =
        std::ranges::find(kSingular, step.name, [](const auto& pair) { return pair[0]; });
    id += "_" + (one && known != kSingular.end() ? std::string((*known)[1]) : step.name);
  }
  return id;
}

// Whether there is anything for a body to say.
bool has_body_fields(const BodyShape& shape) {
  return shape.field || static_cast<std::size_t>(shape.type->field_count()) > shape.hidden.size();
}

class Document {
 public:
  explicit Document(const OpenApiOptions& options) : options_(options), schemas_(options.style) {}
  void add(const OpenApiRoute& route);
  std::string text();

 private:
  // The arguments of a path with names that differ: {int}, {int_2}.
  static std::vector<std::string> argument_names(const HttpBinding& binding);
  std::string path_parameters(const HttpBinding& binding, const std::vector<std::string>& names);
  std::string query_parameters(const OpenApiRoute& route);
  std::string request_body(const OpenApiRoute& route);
  std::string success(const OpenApiRoute& route);
  // ,"description":… of what the declaration says, or nothing.
  static std::string description(std::string_view comment);
  // "content" of a body; `streamed`: of its elements.
  std::string content(const std::string& schema, bool streamed) const;
  std::string shape_schema(const BodyShape& shape, bool any_json);
  std::string operation(const OpenApiRoute& route, const std::vector<std::string>& names);
  std::string components() const;

  const OpenApiOptions& options_;
  const ApiComments comments_;
  OpenApiSchemas schemas_;
  // By template, then by method in small letters.
  std::map<std::string, std::map<std::string, std::string>> paths_;
  std::map<std::string, int> ids_;
  std::set<std::string> tags_;
};

std::vector<std::string> Document::argument_names(const HttpBinding& binding) {
  std::vector<std::string> names;
  for (const auto& step : binding.steps) {
    if (step.kind == HttpStep::Kind::kLiteral) continue;
    std::string name = step.name;
    for (int i = 2; std::ranges::find(names, name) != names.end(); ++i) {
      name = step.name + "_" + std::to_string(i);
    }
    names.push_back(std::move(name));
  }
  return names;
}

std::string Document::description(std::string_view comment) {
  return comment.empty() ? "" : R"(,"description":)" + json_quoted(comment);
}

std::string Document::path_parameters(const HttpBinding& binding,
                                      const std::vector<std::string>& names) {
  std::string text;
  std::size_t at = 0;
  for (const auto& step : binding.steps) {
    if (step.kind == HttpStep::Kind::kLiteral) continue;
    if (!text.empty()) text += ',';
    text += R"({"name":)" + json_quoted(names[at++]) + R"(,"in":"path","required":true)";
    if (step.field.empty()) {
      text += R"(,"schema":{"type":"string"}})";
      continue;
    }
    text += description(step.kind == HttpStep::Kind::kTail ? "any number of further segments"
                                                           : comments_.of(*step.field.back()));
    text += R"(,"schema":)" + schemas_.text_schema(*step.field.back()) + "}";
  }
  return text;
}

std::string Document::query_parameters(const OpenApiRoute& route) {
  const auto fields = query_fields(route.operation->method(), *route.binding);
  const auto names = query_names(*route.binding, fields);
  std::string text;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto& field = *fields[i].back();
    std::string schema = schemas_.text_schema(field);
    if (field.is_repeated()) schema = R"({"type":"array","items":)" + schema + "}";
    text += (i > 0 ? "," : "") + (R"({"name":)" + json_quoted(names[i])) + R"(,"in":"query")" +
            (field.is_repeated() ? R"(,"explode":true)" : "") + description(comments_.of(field)) +
            R"(,"schema":)" + schema + "}";
  }
  return text;
}

std::string Document::content(const std::string& schema, bool streamed) const {
  const std::string mark = streamed ? R"(,"x-capstan-stream":true)" : "";
  std::string text = R"({"application/json":{"schema":)" + schema + mark + "}";
  if (!options_.v0) {
    text += R"(,"application/bson":{"schema":)" + schema + mark + "}";
    text += R"(,"application/octet-stream":{"schema":{"description":"the same value, laid out as )"
            R"(GET /describe says in binary_schema"})" +
            mark + "}";
  }
  return R"("content":)" + text + "}";
}

std::string Document::shape_schema(const BodyShape& shape, bool any_json) {
  return any_json ? R"({"description":"any JSON"})" : schemas_.schema(shape);
}

std::string Document::request_body(const OpenApiRoute& route) {
  const auto& binding = *route.binding;
  if (binding.raw_body) {
    return R"("requestBody":{"required":true,"content":{"application/octet-stream":{}}})";
  }
  const auto shape = request_shape(route.operation->method(), binding);
  return R"("requestBody":{"required":true,)" +
         content(shape_schema(shape, binding.json_text && binding.body),
                 route.operation->method().client_streaming()) +
         "}";
}

std::string Document::success(const OpenApiRoute& route) {
  const auto& binding = *route.binding;
  switch (binding.answer) {
    case HttpAnswer::kCreated:
      return R"("201":{"description":"created","headers":{"Location":{"schema":)"
             R"({"type":"string"}}}})";
    case HttpAnswer::kNoContent: return R"("204":{"description":"done"})";
    case HttpAnswer::kRaw:
      return R"("200":{"description":"the bytes","content":{"application/octet-stream":{}}})";
    case HttpAnswer::kOk:
    case HttpAnswer::kChunked: break;
  }
  const bool streamed = route.operation->method().server_streaming();
  const auto shape = response_shape(route.operation->method(), binding);
  return std::string(R"("200":{"description":")") +
         (streamed ? "elements, one after the other" : "the answer") + "\"," +
         content(shape_schema(shape, binding.json_text && binding.result), streamed) + "}";
}

std::string Document::operation(const OpenApiRoute& route, const std::vector<std::string>& names) {
  std::string id = options_.v0 ? v0_operation_id(*route.binding) : operation_id(*route.operation);
  if (const int seen = ++ids_[id]; seen > 1) id += "_" + std::to_string(seen);
  const std::string tag(route.operation->service());
  tags_.insert(tag);
  std::string text = R"({"operationId":)" + json_quoted(id) + R"(,"summary":)" +
                     json_quoted(operation_title(*route.operation)) +
                     description(comments_.of(route.operation->method())) + R"(,"tags":[)" +
                     json_quoted(tag) + "]";
  const std::string in_path = path_parameters(*route.binding, names);
  const std::string in_query = query_parameters(route);
  if (!in_path.empty() || !in_query.empty()) {
    text += R"(,"parameters":[)" + in_path + (in_path.empty() || in_query.empty() ? "" : ",") +
            in_query + "]";
  }
  const bool empty =
      options_.v0 && !has_body_fields(request_shape(route.operation->method(), *route.binding));
  if (route.binding->has_body() && !empty) text += "," + request_body(route);
  text += R"(,"responses":{)" + success(route);
  if (!options_.v0) text += R"(,"400":{"$ref":"#/components/responses/BadRequest"})";
  return text + R"(,"default":{"$ref":"#/components/responses/Error"}}})";
}

void Document::add(const OpenApiRoute& route) {
  const auto names = argument_names(*route.binding);
  std::string pattern;
  std::size_t at = 0;
  for (const auto& step : route.binding->steps) {
    const bool literal = step.kind == HttpStep::Kind::kLiteral;
    pattern += "/" + (literal ? step.name : "{" + names[at++] + "}");
  }
  if (pattern.empty()) pattern = "/";
  std::string method = route.binding->method;
  std::ranges::transform(method, method.begin(),
                         [](char c) { return static_cast<char>(c - 'A' + 'a'); });
  auto& methods = paths_[pattern];
  if (!methods.contains(method)) methods.emplace(method, operation(route, names));
}

std::string Document::components() const {
  std::string text = R"("components":{"schemas":{)";
  text += options_.v0 ? R"("RestJsonError":)" : R"("Trace":)";
  text += options_.v0 ? kRestJsonError : kTrace;
  for (const auto& [name, schema] : schemas_.collected()) text += ",\"" + name + "\":" + schema;
  text += R"(},"responses":{"Error":{"description":"an error",)" +
          content(options_.v0 ? R"({"$ref":"#/components/schemas/RestJsonError"})"
                              : R"({"$ref":"#/components/schemas/Trace"})",
                  false) +
          "}";
  if (!options_.v0) {
    text += R"(,"BadRequest":{"description":"a path argument, the query or the body cannot be )"
            R"(read, or the operation refuses its arguments","content":{"text/plain":{"schema":)"
            R"({"type":"string"}},"application/json":{"schema":)"
            R"({"$ref":"#/components/schemas/Trace"}}}})";
  }
  return text +
         R"(},"securitySchemes":{"jwt":{"type":"http","scheme":"bearer","bearerFormat":"JWT"},)"
         R"("tls":{"type":"mutualTLS"}}},"security":[{},{"jwt":[]},{"tls":[]}])";
}

std::string Document::text() {
  std::string text = R"({"openapi":"3.1.0","info":{"title":)" + json_quoted(options_.title) +
                     R"(,"version":)" + json_quoted(options_.version) + R"(},"tags":[)";
  bool first = true;
  for (const auto& tag : tags_) {
    text += (std::exchange(first, false) ? "" : ",") + (R"({"name":)" + json_quoted(tag)) + "}";
  }
  text += R"(],"paths":{)";
  first = true;
  for (const auto& [pattern, methods] : paths_) {
    if (!std::exchange(first, false)) text += ',';
    text += json_quoted(pattern) + ":{";
    bool first_method = true;
    for (const auto& [method, operation] : methods) {
      if (!std::exchange(first_method, false)) text += ',';
      text += json_quoted(method) + ":" + operation;
    }
    text += '}';
  }
  return text + "}," + components() + "}";
}

}  // namespace

std::vector<OpenApiRoute> openapi_routes(const Directory& directory, std::string_view prefix) {
  std::vector<OpenApiRoute> routes;
  for (const auto* operation : directory.operations()) {
    for (const auto& binding : operation->http) {
      const bool v0 = binding.path.starts_with("/v0/");
      if (prefix.empty() ? !v0 : binding.path.starts_with(prefix)) {
        routes.push_back({operation, &binding});
      }
    }
  }
  return routes;
}

std::string openapi(const std::vector<OpenApiRoute>& routes, const OpenApiOptions& options) {
  Document document(options);
  for (const auto& route : routes) document.add(route);
  return document.text();
}

}  // namespace capstan::rpc
