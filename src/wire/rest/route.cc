// Why this file exists: see route.h.
#include "wire/rest/route.h"

#include <utility>

#include "wire/rest/refusal.h"
#include "wire/rest/request_writer.h"

namespace capstan::wire::rest {

namespace {

// "{string...}" and literals, for views.
std::vector<rpc::HttpStep> steps_of(std::string_view path) {
  std::vector<rpc::HttpStep> steps;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const auto part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size());
    if (part.starts_with('{')) {
      const bool tail = part.ends_with("...}");
      const auto name = part.substr(1, part.size() - (tail ? 5 : 2));
      steps.push_back({tail ? rpc::HttpStep::Kind::kTail : rpc::HttpStep::Kind::kArgument,
                       std::string(name),
                       {}});
    } else {
      steps.push_back({rpc::HttpStep::Kind::kLiteral, std::string(part), {}});
    }
  }
  return steps;
}

}  // namespace

void Route::keep(std::unique_ptr<rpc::Message> asked,
                 std::unique_ptr<rpc::Message> answered) const {
  const auto into = [](std::unique_ptr<rpc::Message>& kept, std::unique_ptr<rpc::Message> message) {
    if (!message || kept) return;
    message->Clear();
    kept = std::move(message);
  };
  into(spare->request, std::move(asked));
  into(spare->response, std::move(answered));
}

Result<std::unique_ptr<Routes>> Routes::make(const rpc::Directory& directory) {
  auto routes = std::make_unique<Routes>();
  const rpc::Conditions conditions(directory.operations());
  for (const auto* operation : directory.operations()) {
    const auto* entry = directory.find(operation->full_name());
    if (operation->http.empty()) {
      TRY(routes->add(*entry, generic_binding(*operation), conditions));
    }
    for (const auto& binding : operation->http) {
      TRY(routes->add(*entry, binding, conditions));
    }
  }
  return routes;
}

Result<void> Routes::add(const rpc::Directory::Entry& entry, const rpc::HttpBinding& binding,
                         const rpc::Conditions& conditions) {
  auto route = std::make_unique<Route>();
  CAPSTAN_ASSERT(method_named(binding.method, route->method));
  route->binding = binding;
  route->entry = &entry;
  const auto& method = entry.operation.method();
  // The control plane's API knows no conditions.
  route->takes_condition =
      !is_v0_path(binding.path) && conditions.taken_by(entry.operation, binding);
  route->request = rpc::request_shape(method, binding);
  route->response = rpc::response_shape(method, binding);
  route->query = query_fields_of(binding, rpc::query_fields(method, binding));
  return add(std::move(route));
}

Result<void> Routes::add_view(const std::string& path, const rpc::Directory::Entry* access,
                              View view, ViewBody body) {
  auto route = std::make_unique<Route>();
  route->binding.method = "GET";
  route->binding.path = path;
  route->binding.steps = steps_of(path);
  route->entry = access;
  route->view = std::move(view);
  route->view_body = body;
  return add(std::move(route));
}

Result<void> Routes::add_tree(MergePick pick, Tree tree) {
  TRY_SET(tree_, Tree::merge(pick, std::move(tree_), std::move(tree)));
  return {};
}

Result<void> Routes::add(std::unique_ptr<Route> route) {
  route->v0 = is_v0_path(route->binding.path);
  if (route->v0) route->style = rpc::JsonStyle::v0();
  route->plans = route->v0 ? &v0_ : &octez_;
  auto added = tree_.add(route->method, route->binding.steps, *route);
  if (!added) {
    const std::string whose =
        route->view || !route->entry ? route->binding.path : route->entry->operation.full_name();
    return std::unexpected(std::move(added).error().within("HTTP path of " + whose));
  }
  routes_.push_back(std::move(route));
  return {};
}

}  // namespace capstan::wire::rest
