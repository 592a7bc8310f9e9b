// Why this file exists: what `GET /describe/…` answers: the tree of paths of a node with every
// service's arguments, query and schemas, as Octez's clients read it (http-rpc section 13). Built
// once at start from the bindings of the operations; the answer is written when it is asked for.
//
// Lifetime: operations outlive the tree; bindings are copied. Thread-safety: read-only once built.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/operation.h"
#include "rpc/schema.h"

namespace capstan::rpc {

// "Create pool" for PoolRpc/CreatePool.
std::string operation_title(const Operation& operation);

// How a query names the fields that query_fields() (rpc/body_shape.h) gives, in its order: the last
// part of "args.name" alone where no other field has it.
std::vector<std::string> query_names(const HttpBinding& binding,
                                     const std::vector<FieldPath>& fields);

// What a body over HTTP is: the message that its operation declares, or something else.
enum class BodyKind : std::uint8_t { kMessage, kAnyJson, kBytes, kNothing };
BodyKind input_kind(const HttpBinding& binding);
BodyKind output_kind(const HttpBinding& binding);
// `shape` is that of the message.
BodySchemas body_schemas(BodyKind kind, const BodyShape& shape,
                         const JsonStyle& style = JsonStyle::octez());

class DescribeTree {
 public:
  // Whether a text is a value of an argument. Without one everything is.
  using Fits = std::function<bool(const HttpStep& step, std::string_view text)>;
  explicit DescribeTree(Fits fits = {});
  ~DescribeTree();

  // kAlreadyExists when the path and method are taken, or when a literal and an argument, or two
  // different arguments, would stand side by side.
  Result<void> add(const Operation& operation, const HttpBinding& binding);
  // A GET of a JSON document that is no operation ("/openapi").
  Result<void> add_view(const std::vector<HttpStep>& steps, std::string description);

  // The body of the answer without line feed: the services at `segments` (decoded; values stand for
  // arguments), with `recurse` everything below. Nothing: a 404.
  std::optional<std::string> describe(const std::vector<std::string>& segments, bool recurse) const;

 private:
  struct Service;
  struct Node;

  Result<Node*> reach(const std::vector<HttpStep>& steps);
  Result<void> put(const std::string& method, Service service);
  const Node* find(const std::vector<std::string>& segments) const;

  Fits fits_;
  std::unique_ptr<Node> root_;
};

}  // namespace capstan::rpc
