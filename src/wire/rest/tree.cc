// Why this file exists: see tree.h.
#include "wire/rest/tree.h"

#include <algorithm>
#include <utility>

#include "wire/rest/fields.h"
#include "wire/rest/tree_conflict.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

namespace {

using Kind = rpc::HttpStep::Kind;
constexpr std::array<std::string_view, kMethods> kNames = {"GET", "PUT", "DELETE", "POST", "PATCH"};

std::string printed(const rpc::HttpStep& step) {
  if (step.kind == Kind::kLiteral) return "/" + step.name;
  return "/<" + step.name + (step.kind == Kind::kTail ? "...>" : ">");
}

}  // namespace

std::string_view method_name(Method method) {
  return kNames[static_cast<std::size_t>(method)];
}

bool method_named(std::string_view name, Method& method) {
  const auto position = std::ranges::find(kNames, name);
  if (position == kNames.end()) return false;
  method = static_cast<Method>(position - kNames.begin());
  return true;
}

bool TreeNode::has_service() const {
  return std::ranges::any_of(services_, [](const Route* route) { return route != nullptr; });
}

std::string TreeNode::allowed() const {
  std::string list;
  for (std::size_t i = 0; i < kMethods; ++i) {
    if (!services_[i]) continue;
    list += (list.empty() ? "" : ", ") + std::string(kNames[i]);
  }
  return list;
}

bool TreeNode::is_empty() const {
  return !has_service() && literals_.empty() && !child_ && !builder_;
}

Result<TreeNode*> Tree::step_into(TreeNode& node, const rpc::HttpStep& step,
                                  const std::string& at) {
  if (node.builder_) return builder_conflict(at);
  if (node.tail_ && !(step.kind == Kind::kTail && step.name == node.argument_.type)) {
    return tail_conflict(node.argument_.type, at);
  }
  if (step.kind == Kind::kLiteral) {
    if (node.child_) {
      return conflict("type conflict: literal '" + step.name + "' beside the argument <" +
                          node.argument_.type + ">",
                      at);
    }
    auto& child = node.literals_[step.name];
    if (!child) child = std::make_unique<TreeNode>();
    return child.get();
  }
  if (!node.literals_.empty()) {
    return literals_conflict(step.name, node.literals_, at);
  }
  if (step.kind == Kind::kTail && !node.tail_) {
    if (node.has_service()) {
      return conflict("service conflict: the tail <" + step.name + "...> beside services", at);
    }
    if (node.child_) {
      return conflict("type conflict: tail <" + step.name + "...> beside the argument <" +
                          node.argument_.type + ">",
                      at);
    }
    node.tail_ = true;
  }
  if (!node.child_) {
    node.child_ = std::make_unique<TreeNode>();
    node.argument_ = {step.name, step.field.empty() ? nullptr : step.field.back()};
  } else if (node.argument_.type != step.name) {
    return types_conflict(step.name, node.argument_.type, at);
  }
  return node.child_.get();
}

Result<TreeNode*> Tree::reach(const std::vector<rpc::HttpStep>& steps, std::string& at) {
  TreeNode* node = &root_;
  for (const auto& step : steps) {
    TRY_SET(node, step_into(*node, step, at));
    at += printed(step);
  }
  return node;
}

Result<void> Tree::add_dynamic(const std::vector<rpc::HttpStep>& steps, TreeBuilder builder,
                               std::string description) {
  std::string at;
  TRY_SET(TreeNode* const node, reach(steps, at));
  if (node->builder_) return builder_conflict(at);
  if (node->tail_) return tail_conflict(node->argument_.type, at);
  if (node->has_service()) {
    return conflict("service conflict: a dynamic directory beside " + node->allowed(), at);
  }
  if (!node->is_empty()) {
    return conflict("directory conflict: a dynamic directory where others are", at);
  }
  node->builder_ = std::move(builder);
  node->description_ = std::move(description);
  return {};
}

Result<void> Tree::add(Method method, const std::vector<rpc::HttpStep>& steps, const Route& route) {
  std::string at;
  TRY_SET(TreeNode* const node, reach(steps, at));
  if (node->builder_) return builder_conflict(at);
  if (node->tail_) return tail_conflict(node->argument_.type, at);
  const Route*& place = node->services_[static_cast<std::size_t>(method)];
  if (place) {
    const bool tail = !steps.empty() && steps.back().kind == Kind::kTail;
    return conflict(std::string(tail ? "tail" : "service") +
                        " conflict: " + std::string(method_name(method)) + " is registered twice",
                    at);
  }
  place = &route;
  return {};
}

std::string Tree::pattern(const std::vector<std::string>& segments) const {
  std::string out;
  const TreeNode* node = &root_;
  for (const std::string& segment : segments) {
    if (node->child_) {
      out += "/<" + node->argument_.type + (node->tail_ ? "...>" : ">");
      if (node->tail_) return out;
      node = node->child_.get();
      continue;
    }
    const auto position = node->literals_.find(segment);
    if (position == node->literals_.end()) return out + "/...";
    out += "/" + position->first;
    node = position->second.get();
  }
  return out.empty() ? "/" : out;
}

Tree::Found Tree::find(const std::vector<std::string>& segments) const {
  Found found;
  const TreeNode* node = &root_;
  std::size_t next = 0;
  // Whether the argument takes the segment before `next`.
  const auto takes = [&](const TreeNode& parent, const std::string& segment) {
    auto checked = check_argument(parent.argument_.type, segment);
    if (checked && parent.argument_.field) checked = check_text(*parent.argument_.field, segment);
    if (checked) return true;
    std::string at;
    for (std::size_t i = 0; i < next; ++i) at += "/" + segments[i];
    at = shown_target(at);
    found.complaint = "Failed to parse an argument in the path: after '" + at +
                      "', the text is not acceptable for the type '" + parent.argument_.type +
                      "': " + checked.error().message;
    return false;
  };
  while (true) {
    if (node->builder_) {
      auto made = node->builder_(found.arguments);
      if (!made) {
        found.failure = std::move(made).error();
        return found;
      }
      found.made.push_back(std::make_shared<const Tree>(*std::move(made)));
      node = &found.made.back()->root_;
      continue;
    }
    if (node->tail_) {
      while (next < segments.size()) {
        const std::string& segment = segments[next++];
        if (!takes(*node, segment)) return found;
        found.arguments.push_back(segment);
      }
      node = node->child_.get();
      break;
    }
    if (next == segments.size()) break;
    const std::string& segment = segments[next++];
    if (node->child_) {
      if (!takes(*node, segment)) return found;
      found.arguments.push_back(segment);
      node = node->child_.get();
      continue;
    }
    const auto position = node->literals_.find(segment);
    if (position == node->literals_.end()) return found;
    node = position->second.get();
  }
  if (node->has_service()) found.node = node;
  return found;
}

}  // namespace capstan::wire::rest
