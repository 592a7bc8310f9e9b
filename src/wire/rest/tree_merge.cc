// Why this file exists: two trees as one (Tree::merge in rest/tree.h; http-rpc section 3.5). A pick
// decides only who serves a method that both have, and which description of a dynamic node stays;
// whatever could not be told apart in a path is a conflict under every pick.
#include <utility>

#include "wire/rest/tree.h"
#include "wire/rest/tree_conflict.h"

namespace capstan::wire::rest {

struct TreeMerge {
  MergePick pick;

  // `right` into `left`; afterwards `right` is of no use.
  Result<void> merge(TreeNode& left, TreeNode& right, const std::string& at) const {
    if (right.is_empty()) return {};
    if (left.is_empty()) {
      left = std::move(right);
      return {};
    }
    if (left.builder_ || right.builder_) return merge_dynamic(left, right, at);
    if (left.tail_ || right.tail_) return merge_tails(left, right, at);
    TRY(merge_services(left, right, at));
    return merge_children(left, right, at);
  }

  Result<void> merge_services(TreeNode& left, TreeNode& right, const std::string& at) const {
    for (std::size_t i = 0; i < kMethods; ++i) {
      const Route*& place = left.services_[i];
      const Route* const other = right.services_[i];
      if (!other) continue;
      if (place && pick == MergePick::kNeither) {
        return conflict(
            "service conflict: both have " + std::string(method_name(static_cast<Method>(i))), at);
      }
      if (!place || pick == MergePick::kRight) place = other;
    }
    return {};
  }

  Result<void> merge_children(TreeNode& left, TreeNode& right, const std::string& at) const {
    if (left.child_ && !right.literals_.empty()) {
      return literals_conflict(left.argument_.type, right.literals_, at);
    }
    if (right.child_ && !left.literals_.empty()) {
      return literals_conflict(right.argument_.type, left.literals_, at);
    }
    if (right.child_ && left.child_) {
      if (left.argument_.type != right.argument_.type) {
        return types_conflict(right.argument_.type, left.argument_.type, at);
      }
      return merge(*left.child_, *right.child_, at + "/<" + left.argument_.type + ">");
    }
    if (right.child_) {
      left.child_ = std::move(right.child_);
      left.argument_ = std::move(right.argument_);
    }
    for (auto& [name, child] : right.literals_) {
      auto& place = left.literals_[name];
      if (place) {
        TRY(merge(*place, *child, at + "/" + name));
      } else {
        place = std::move(child);
      }
    }
    return {};
  }

  Result<void> merge_tails(TreeNode& left, TreeNode& right, const std::string& at) const {
    if (!left.tail_ || !right.tail_ || left.argument_.type != right.argument_.type) {
      return tail_conflict((left.tail_ ? left : right).argument_.type, at);
    }
    return merge(*left.child_, *right.child_, at + "/<" + left.argument_.type + "...>");
  }

  Result<void> merge_dynamic(TreeNode& left, TreeNode& right, const std::string& at) const {
    if (!left.builder_ || !right.builder_) return builder_conflict(at);
    if (!left.description_.empty() && !right.description_.empty() && pick == MergePick::kNeither) {
      return conflict("dynamic-description conflict: '" + left.description_ + "' and '" +
                          right.description_ + "'",
                      at);
    }
    if (left.description_.empty() || (pick == MergePick::kRight && !right.description_.empty())) {
      left.description_ = std::move(right.description_);
    }
    left.builder_ = [by = pick, ours = std::move(left.builder_),
                     theirs = std::move(right.builder_)](
                        const std::vector<std::string>& arguments) -> Result<Tree> {
      TRY_SET(Tree first, ours(arguments));
      TRY_SET(Tree second, theirs(arguments));
      return Tree::merge(by, std::move(first), std::move(second));
    };
    return {};
  }
};

Result<Tree> Tree::merge(MergePick pick, Tree left, Tree right) {
  TRY(TreeMerge{pick}.merge(left.root_, right.root_, {}));
  return left;
}

}  // namespace capstan::wire::rest
