// Why this file exists: the tree of rpc/describe_tree.h and its JSON, with the member names and the
// order of http-rpc section 13.2.
#include "rpc/describe_tree.h"

#include <algorithm>
#include <array>

#include "rpc/body_shape.h"
#include "rpc/json_text.h"

namespace capstan::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// In the order of the members; not the order in which methods are listed elsewhere.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kMethods = {
    {{"GET", "get_service"},
     {"POST", "post_service"},
     {"DELETE", "delete_service"},
     {"PUT", "put_service"},
     {"PATCH", "patch_service"}}};

std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(text, out, JsonEscapes::kOctez);
  return out;
}

// The name of what a text is read as.
std::string type_name(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return "int32";
    case FieldDescriptor::CPPTYPE_INT64: return "int64";
    case FieldDescriptor::CPPTYPE_UINT32: return "uint32";
    case FieldDescriptor::CPPTYPE_UINT64: return "uint64";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return "float";
    case FieldDescriptor::CPPTYPE_BOOL: return "bool";
    case FieldDescriptor::CPPTYPE_ENUM: return std::string(field.enum_type()->name());
    case FieldDescriptor::CPPTYPE_STRING:
      return field.type() == FieldDescriptor::TYPE_BYTES ? "bytes" : "string";
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  switch (field.message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP: return "timestamp";
    case Descriptor::WELLKNOWNTYPE_DURATION: return "duration";
    default: return type_name(*field.message_type()->field(0));  // a wrapper
  }
}

std::string argument(std::string_view id, std::string_view name) {
  return R"({"id":")" + std::string(id) + R"(","name":)" + json_quoted(name) + "}";
}

std::string path_items(const std::vector<HttpStep>& steps) {
  std::string items;
  for (const auto& step : steps) {
    if (!items.empty()) items += ',';
    switch (step.kind) {
      case HttpStep::Kind::kLiteral: items += json_quoted(step.name); break;
      case HttpStep::Kind::kArgument: items += argument("single", step.name); break;
      case HttpStep::Kind::kTail: items += argument("multiple", step.name); break;
    }
  }
  return "[" + items + "]";
}

std::string query_item(const FieldDescriptor& field, const std::string& name) {
  const std::string type = argument("single", type_name(field));
  std::string kind;
  if (field.is_repeated()) {
    kind = R"({"multi":)" + type + "}";
  } else if (field.has_presence()) {
    kind = R"({"optional":)" + type + "}";
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    kind = R"({"flag":{}})";
  } else {
    kind = R"({"single":)" + type + "}";
  }
  return R"({"name":)" + json_quoted(name) + R"(,"kind":)" + kind + "}";
}

}  // namespace

BodyKind input_kind(const HttpBinding& binding) {
  if (binding.raw_body) return BodyKind::kBytes;
  return binding.json_text && binding.body ? BodyKind::kAnyJson : BodyKind::kMessage;
}

BodyKind output_kind(const HttpBinding& binding) {
  switch (binding.answer) {
    case HttpAnswer::kCreated:
    case HttpAnswer::kNoContent: return BodyKind::kNothing;
    case HttpAnswer::kRaw: return BodyKind::kBytes;
    case HttpAnswer::kOk:
    case HttpAnswer::kChunked: break;
  }
  return binding.json_text && binding.result ? BodyKind::kAnyJson : BodyKind::kMessage;
}

BodySchemas body_schemas(BodyKind kind, const BodyShape& shape, const JsonStyle& style) {
  switch (kind) {
    case BodyKind::kNothing: return nothing_schemas();
    case BodyKind::kBytes: return bytes_schemas();
    case BodyKind::kAnyJson: return any_json_schemas("any JSON");
    case BodyKind::kMessage: break;
  }
  return both_schemas(shape, style);
}

struct DescribeTree::Service {
  const Operation* operation = nullptr;  // null: a view
  HttpBinding binding;
  std::string description;

  std::string json() const;
};

struct DescribeTree::Node {
  std::map<std::string, Service, std::less<>> services;  // by method
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  HttpStep argument;  // of `child`; a tail has nothing beside it
  std::unique_ptr<Node> child;
  bool tail() const { return child && argument.kind == HttpStep::Kind::kTail; }

  std::string json(bool recurse) const;
  std::string subdirs() const;
};

std::string DescribeTree::Service::json() const {
  std::string text = R"({"meth":")" + binding.method + R"(","path":)" + path_items(binding.steps);
  if (!description.empty()) text += R"(,"description":)" + json_quoted(description);
  text += R"(,"query":[)";
  if (operation) {
    const auto fields = query_fields(operation->method(), binding);
    const auto names = query_names(binding, fields);
    for (std::size_t i = 0; i < fields.size(); ++i) {
      text += (i > 0 ? "," : "") + query_item(*fields[i].back(), names[i]);
    }
  }
  text += "]";
  if (operation && binding.has_body()) {
    const auto input = request_shape(operation->method(), binding);
    text += R"(,"input":)" + body_schemas(input_kind(binding), input).text();
  }
  const auto output = [&] {
    if (!operation) return any_json_schemas("a JSON document");
    return body_schemas(output_kind(binding), response_shape(operation->method(), binding));
  };
  text += R"(,"output":)" + output().text();
  return text + R"(,"error":)" + error_schemas() + "}";
}

std::string DescribeTree::Node::subdirs() const {
  if (child) {
    return R"({"dynamic_dispatch":{"arg":)" + rpc::argument("single", argument.name) +
           R"(,"tree":)" + child->json(true) + "}}";
  }
  std::string suffixes;
  for (const auto& [name, node] : literals) {
    if (!suffixes.empty()) suffixes += ',';
    suffixes += R"({"name":)" + json_quoted(name) + R"(,"tree":)" + node->json(true) + "}";
  }
  return R"({"suffixes":[)" + suffixes + "]}";
}

std::string DescribeTree::Node::json(bool recurse) const {
  if (tail()) return child->json(recurse);
  if (services.empty() && literals.empty() && !child) return R"("empty")";
  std::string members;
  for (const auto& [method, member] : kMethods) {
    const auto found = services.find(method);
    if (found == services.end()) continue;
    if (!members.empty()) members += ',';
    members += json_quoted(member) + ":" + found->second.json();
  }
  if (recurse && (child || !literals.empty())) {
    members += (members.empty() ? "" : ",") + (R"("subdirs":)" + subdirs());
  }
  return R"({"static":{)" + members + "}}";
}

DescribeTree::DescribeTree(Fits fits) : fits_(std::move(fits)), root_(std::make_unique<Node>()) {}
DescribeTree::~DescribeTree() = default;

Result<DescribeTree::Node*> DescribeTree::reach(const std::vector<HttpStep>& steps) {
  Node* node = root_.get();
  for (const auto& step : steps) {
    const bool literal = step.kind == HttpStep::Kind::kLiteral;
    if (literal && node->child) {
      return fail(Code::kAlreadyExists,
                  "'" + step.name + "' stands beside the argument <" + node->argument.name + ">");
    }
    if (literal) {
      auto& next = node->literals[step.name];
      if (!next) next = std::make_unique<Node>();
      node = next.get();
      continue;
    }
    const bool taken =
        !node->literals.empty() || (step.kind == HttpStep::Kind::kTail && !node->services.empty());
    if (taken ||
        (node->child && (node->argument.name != step.name || node->argument.kind != step.kind))) {
      return fail(Code::kAlreadyExists,
                  "the argument <" + step.name + "> stands beside something else");
    }
    if (!node->child) {
      node->argument = step;
      node->child = std::make_unique<Node>();
    }
    node = node->child.get();
  }
  return node;
}

Result<void> DescribeTree::put(const std::string& method, Service service) {
  const std::string path = service.binding.pattern();
  auto reached = reach(service.binding.steps);
  if (!reached) return std::unexpected(std::move(reached).error().within("describe " + path));
  Node& node = **reached;
  if (node.tail() || node.services.contains(method)) {
    return fail(Code::kAlreadyExists, method + " " + path + " is taken");
  }
  node.services.emplace(method, std::move(service));
  return {};
}

Result<void> DescribeTree::add(const Operation& operation, const HttpBinding& binding) {
  return put(binding.method, {&operation, binding, operation_title(operation)});
}

Result<void> DescribeTree::add_view(const std::vector<HttpStep>& steps, std::string description) {
  HttpBinding binding;
  binding.method = "GET";
  binding.steps = steps;
  return put("GET", {nullptr, std::move(binding), std::move(description)});
}

const DescribeTree::Node* DescribeTree::find(const std::vector<std::string>& segments) const {
  const Node* node = root_.get();
  for (std::size_t i = 0;; ++i) {
    if (node->tail()) {  // takes all that is left
      for (; i < segments.size(); ++i) {
        if (fits_ && !fits_(node->argument, segments[i])) return nullptr;
      }
      return node->child.get();
    }
    if (i == segments.size()) return node;
    if (node->child) {
      if (fits_ && !fits_(node->argument, segments[i])) return nullptr;
      node = node->child.get();
      continue;
    }
    const auto next = node->literals.find(segments[i]);
    if (next == node->literals.end()) return nullptr;
    node = next->second.get();
  }
}

std::optional<std::string> DescribeTree::describe(const std::vector<std::string>& segments,
                                                  bool recurse) const {
  const Node* node = find(segments);
  if (!node || (!recurse && node->services.empty())) return std::nullopt;
  return node->json(recurse);
}

std::string operation_title(const Operation& operation) {
  std::string title;
  const std::string_view name = operation.name();
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto upper = [&](std::size_t at) {
      return at < name.size() && name[at] >= 'A' && name[at] <= 'Z';
    };
    // A new word where a capital follows a small letter, or ends a row of capitals ("GetANAState").
    const bool word =
        i > 0 && upper(i) && (!upper(i - 1) || (i + 1 < name.size() && !upper(i + 1)));
    if (word) title += ' ';
    const bool abbreviation = upper(i) && (upper(i + 1) || (i > 0 && upper(i - 1) && !word));
    title += i == 0 || !upper(i) || abbreviation ? name[i] : static_cast<char>(name[i] - 'A' + 'a');
  }
  std::ranges::replace(title, '_', ' ');
  return title;
}

std::vector<std::string> query_names(const HttpBinding& binding,
                                     const std::vector<FieldPath>& fields) {
  std::vector<std::string> names;
  for (const auto& field : fields) {
    const auto same_end = [&](const FieldPath& other) {
      return other.back()->name() == field.back()->name();
    };
    const bool named = std::ranges::find(binding.query_names, field, &HttpQueryName::field) !=
                       binding.query_names.end();
    const bool alone = !named && std::ranges::count_if(fields, same_end) == 1;
    names.push_back(query_name(binding, alone ? FieldPath{field.back()} : field));
  }
  return names;
}

}  // namespace capstan::rpc
