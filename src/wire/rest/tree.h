// Why this file exists: which operation a path and a method mean. A tree of literal steps,
// arguments and tails, built once from the bindings of a directory's operations; two bindings that
// could not be told apart stop the node before it listens. Source: http-rpc section 3 (look-up 3.2,
// conflicts 3.4, merging 3.5). A node has either literal children or one argument child, never
// both; services may stand beside either; a tail takes everything that remains; below a dynamic
// node is what its builder makes for the request.
//
// Thread-safety: built at start, then read-only. What a service stands for is the caller's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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
class Tree;
// The directory below a dynamic node, from the arguments of the path above it. Asked for every
// request; an error is answered 500.
using TreeBuilder = std::function<Result<Tree>(const std::vector<std::string>& arguments)>;
// Who wins where two trees have the same method at the same place, or both describe a dynamic node.
enum class MergePick : std::uint8_t { kNeither, kLeft, kRight };

class TreeNode {
 public:
  const Route* service(Method method) const { return services_[static_cast<std::size_t>(method)]; }
  bool has_service() const;
  // "GET, POST"; empty when there is no service.
  std::string allowed() const;

 private:
  friend class Tree;
  friend struct TreeMerge;
  bool is_empty() const;
  struct Argument {
    std::string type;
    const google::protobuf::FieldDescriptor* field = nullptr;  // how its text reads; may be null
  };
  std::array<const Route*, kMethods> services_{};
  std::map<std::string, std::unique_ptr<TreeNode>, std::less<>> literals_;
  Argument argument_;                // of child_
  std::unique_ptr<TreeNode> child_;  // below the argument, or what the tail leads to
  bool tail_ = false;                // child_ is behind a tail
  TreeBuilder builder_;              // of a dynamic node, which has nothing else
  std::string description_;          // of a dynamic node; may be empty
};

class Tree {
 public:
  // kAlreadyExists naming kind and place of the conflict. `route` outlives the tree.
  Result<void> add(Method method, const std::vector<rpc::HttpStep>& steps, const Route& route);
  // Only where nothing is yet. The routes in what `builder` makes outlive the request.
  Result<void> add_dynamic(const std::vector<rpc::HttpStep>& steps, TreeBuilder builder,
                           std::string description = {});
  // kAlreadyExists naming kind and place of what both have and `pick` does not decide. Two dynamic
  // nodes at one place are merged at every request, with the same `pick`.
  static Result<Tree> merge(MergePick pick, Tree left, Tree right);

  struct Found {
    const TreeNode* node = nullptr;      // null: not found
    std::vector<std::string> arguments;  // in the order of the path, those of a tail included
    std::string complaint;               // an argument was there and does not parse
    std::optional<Error> failure;        // of the builder of a dynamic node
    std::vector<std::shared_ptr<const Tree>> made;  // by builders; `node` is in the last one
  };
  Found find(const std::vector<std::string>& segments) const;
  // The path as the tree knows it, arguments by their types: "/kv/<store_id>/entries/<key>"; what
  // it does not know is "/...". For the log, which must have no key and no password of a path.
  std::string pattern(const std::vector<std::string>& segments) const;

 private:
  // The node behind `steps`, made when it is not there, and its place as conflicts print it.
  Result<TreeNode*> reach(const std::vector<rpc::HttpStep>& steps, std::string& at);
  Result<TreeNode*> step_into(TreeNode& node, const rpc::HttpStep& step, const std::string& at);

  TreeNode root_;
};

}  // namespace capstan::wire::rest
