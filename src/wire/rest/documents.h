// Why this file exists: the node's own description over HTTP, which no operation answers:
//   GET /describe/<path>?recurse   services, arguments and schemas of a part of the tree
//   GET /openapi                   the same as an OpenAPI 3.1 document, GET /openapi/ui to try it
//   GET /v0/api/spec               the same for /v0, which the three above leave out
//   GET /errors                    what errors look like, and their ids
//   GET /health/live, /ready       for supervisors; nobody is asked who they are
// All but the last ask the access rules of the operation that lists the operations.
// Source: http-rpc sections 6.1, 13 and 20.4. Thread-safety: core 0. Outlives the server's run().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/describe_tree.h"
#include "rpc/directory.h"
#include "rpc/openapi.h"
#include "wire/rest/server.h"

namespace capstan::wire::rest {

class Documents {
 public:
  struct Options {
    std::string title, version;                     // of the OpenAPI document
    const rpc::Directory::Entry* access = nullptr;  // whose access rules hold; null: anybody may
    // What is missing until calls are taken, as /health/ready names it; empty: nothing. Not set:
    // never anything.
    std::function<std::string()> missing = {};
  };
  // Adds the documents to a server that does not run yet. Both outlive them.
  static Result<std::unique_ptr<Documents>> add_to(Server& server, Options options);

 private:
  Documents(Server& server, Options options);
  Result<void> build();
  Reply describe(const ViewRequest& request);
  std::vector<rpc::OpenApiRoute> routes(bool v0) const;
  Reply openapi();
  Reply v0_spec();
  Reply errors() const;
  Reply ready() const;

  Server& server_;
  Options options_;
  rpc::DescribeTree tree_;
  std::optional<std::string> openapi_, v0_spec_, described_;  // once somebody has asked
};

// The page behind /openapi/ui: one file, nothing from elsewhere.
std::string_view try_page();

}  // namespace capstan::wire::rest
