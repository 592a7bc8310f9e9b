// Why this file exists: which operation a path and a method mean. A tree of literal steps,
// arguments and tails, built once from the bindings of a directory's operations; two bindings that
// could not be told apart stop the node before it listens. Source: http-rpc section 3 (look-up 3.2,
// conflicts 3.4). A node has either literal children or one argument child, never both; services
// may stand beside either; a tail takes everything that remains.
//
// Thread-safety: built at start, then read-only. What a service stands for is the caller's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "rpc/http_binding.h"

namespace capstan::wire::rest {

// In the order in which methods are listed.
enum class Method : std::uint8_t { kGet, kPut, kDelete, kPost, kPatch };
inline constexpr std::size_t kMethods = 5;
std::string_view method_name(Method method);
// False when `name` is none of the five.
bool method_named(std::string_view name, Method& method);

struct Route;  // rest/route.h

class TreeNode {
 public:
  const Route* service(Method method) const { return services_[static_cast<std::size_t>(method)]; }
  bool has_service() const;
  // "GET, POST"; empty when there is no service.
  std::string allowed() const;

 private:
  friend class Tree;
  struct Argument {
    std::string type;
    const google::protobuf::FieldDescriptor* field = nullptr;  // how its text reads; may be null
  };
  std::array<const Route*, kMethods> services_{};
  std::map<std::string, std::unique_ptr<TreeNode>, std::less<>> literals_;
  Argument argument_;                // of child_
  std::unique_ptr<TreeNode> child_;  // below the argument, or what the tail leads to
  bool tail_ = false;                // child_ is behind a tail
};

class Tree {
 public:
  // kAlreadyExists naming kind and place of the conflict. `route` outlives the tree.
  Result<void> add(Method method, const std::vector<rpc::HttpStep>& steps, const Route& route);

  struct Found {
    const TreeNode* node = nullptr;      // null: not found
    std::vector<std::string> arguments;  // in the order of the path, those of a tail included
    std::string complaint;               // an argument was there and does not parse
  };
  Found find(const std::vector<std::string>& segments) const;

 private:
  Result<TreeNode*> step_into(TreeNode& node, const rpc::HttpStep& step, const std::string& at);

  TreeNode root_;
};

}  // namespace capstan::wire::rest
