// Why this file exists: see tree.h.
#include "wire/rest/tree.h"

#include <algorithm>
#include <utility>

#include "wire/rest/fields.h"

namespace capstan::wire::rest {

namespace {

using Kind = rpc::HttpStep::Kind;
constexpr std::array<std::string_view, kMethods> kNames = {"GET", "PUT", "DELETE", "POST", "PATCH"};

std::unexpected<Error> conflict(const std::string& what, const std::string& at) {
  return fail(Code::kAlreadyExists, what + " in " + (at.empty() ? "/" : at));
}

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

Result<TreeNode*> Tree::step_into(TreeNode& node, const rpc::HttpStep& step,
                                  const std::string& at) {
  if (node.tail_ && !(step.kind == Kind::kTail && step.name == node.argument_.type)) {
    return conflict("tail conflict: <" + node.argument_.type + "...> takes everything", at);
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
    std::string names;
    for (const auto& [name, child] : node.literals_) names += (names.empty() ? "" : ", ") + name;
    return conflict(
        "type conflict: argument <" + step.name + "> beside the literals {" + names + "}", at);
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
    return conflict(
        "types conflict: found <" + step.name + ">, expected <" + node.argument_.type + ">", at);
  }
  return node.child_.get();
}

Result<void> Tree::add(Method method, const std::vector<rpc::HttpStep>& steps, const Route& route) {
  TreeNode* node = &root_;
  std::string at;
  for (const auto& step : steps) {
    TRY_SET(node, step_into(*node, step, at));
    at += printed(step);
  }
  if (node->tail_) {
    return conflict("tail conflict: <" + node->argument_.type + "...> takes everything", at);
  }
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
    found.complaint = "Failed to parse an argument in the path: after '" + at +
                      "', the text is not acceptable for the type '" + parent.argument_.type +
                      "': " + checked.error().message;
    return false;
  };
  while (true) {
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
