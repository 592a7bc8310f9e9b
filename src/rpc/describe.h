// Why this file exists: what the node says about its own operations, from one source: the answer of
// NodeRpc/DescribeOperations and the generated docs/operations.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node/node.pb.h"
#include "rpc/operation.h"

namespace capstan::rpc {

std::string_view kind_name(Kind kind);        // "unary", "large", ...
std::string_view access_name(Access access);  // "read", "monitor", ...

void describe(const Operation& operation, node::v1::OperationInfo& into);

// A Markdown page with one table per service; `operations` sorted by full name
// (Directory::operations()).
std::string operations_page(const std::vector<const Operation*>& operations);

}  // namespace capstan::rpc
