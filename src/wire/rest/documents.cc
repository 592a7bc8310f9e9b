// Why this file exists: see documents.h.
#include "wire/rest/documents.h"

#include <set>
#include <utility>
#include <vector>

#include "rpc/json_writer.h"
#include "wire/rest/error_map.h"

namespace capstan::wire::rest {

namespace {

constexpr int kCodes = 17;

Reply json(std::string text) {
  return {200, {{"content-type", "application/json"}}, std::move(text)};
}

Reply nothing_there() {
  return {404, {{"content-type", "application/json"}}, {}};
}

bool fits(const rpc::HttpStep& step, std::string_view text) {
  if (!check_argument(step.name, text)) return false;
  return step.field.empty() || check_text(*step.field.back(), text).has_value();
}

std::vector<rpc::HttpStep> literals(std::initializer_list<const char*> names) {
  std::vector<rpc::HttpStep> steps;
  for (const char* name : names) steps.push_back({rpc::HttpStep::Kind::kLiteral, name, {}});
  return steps;
}

}  // namespace

Documents::Documents(Server& server, Options options)
    : server_(server), options_(std::move(options)), tree_(&fits) {}

Result<std::unique_ptr<Documents>> Documents::add_to(Server& server, Options options) {
  std::unique_ptr<Documents> made(new Documents(server, std::move(options)));
  TRY(made->build());
  return made;
}

Result<void> Documents::build() {
  for (const auto& route : server_.routes().all()) {
    if (!route->view && !route->v0) TRY(tree_.add(route->entry->operation, route->binding));
  }
  TRY(tree_.add_view(literals({"openapi"}), "This tree as an OpenAPI 3.1 document"));
  TRY(tree_.add_view(literals({"errors"}), "Schema and ids of all errors"));
  TRY(tree_.add_view(literals({"health", "live"}), "Whether the node answers at all"));
  TRY(tree_.add_view(literals({"health", "ready"}), "Whether the node takes calls"));
  const auto* access = options_.access;
  TRY(server_.add_view(
      "/describe/{string...}", access,
      [this](const ViewRequest& request) { return describe(request); }, ViewBody::kJson));
  TRY(server_.add_view(
      "/openapi", access, [this](const ViewRequest&) { return openapi(); }, ViewBody::kJson));
  TRY(server_.add_view("/openapi/ui", access, [](const ViewRequest&) {
    return Reply{200,
                 {{"content-type", "text/html; charset=utf-8"},
                  {"content-security-policy",
                   "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                   "connect-src 'self'; frame-ancestors 'none'"}},
                 std::string(try_page())};
  }));
  TRY(server_.add_view(
      "/v0/api/spec", access, [this](const ViewRequest&) { return v0_spec(); }, ViewBody::kJson));
  TRY(server_.add_view(
      "/errors", access, [this](const ViewRequest&) { return errors(); }, ViewBody::kJson));
  TRY(server_.add_view(
      "/health/live", nullptr, [](const ViewRequest&) { return json("{\"live\":true}"); },
      ViewBody::kJson));
  return server_.add_view(
      "/health/ready", nullptr, [this](const ViewRequest&) { return ready(); }, ViewBody::kJson);
}

// The node opens its doors once it is ready.
Reply Documents::ready() const {
  std::string missing = server_.stopping() ? "draining" : "";
  if (missing.empty() && options_.missing) missing = options_.missing();
  const bool ready = missing.empty();
  return json(std::string("{\"ready\":") + (ready ? "true" : "false") + ",\"state\":\"" +
              (ready ? "ready" : missing) + "\"}");
}

Reply Documents::describe(const ViewRequest& request) {
  const auto recurse = read_flag(request.query, "recurse");
  if (!recurse) return native_reply(bad_query(recurse.error()), rpc::Media::kJson);
  // All of it is long, and always the same.
  const bool all = request.arguments.empty() && *recurse;
  if (all && described_) return json(*described_);
  auto text = tree_.describe(request.arguments, *recurse);
  if (all) described_ = text;
  return text ? json(*std::move(text)) : nothing_there();
}

std::vector<rpc::OpenApiRoute> Documents::routes(bool v0) const {
  std::vector<rpc::OpenApiRoute> routes;
  for (const auto& route : server_.routes().all()) {
    if (route->view || route->v0 != v0) continue;
    routes.push_back({&route->entry->operation, &route->binding});
  }
  return routes;
}

Reply Documents::openapi() {
  if (!openapi_) {
    rpc::OpenApiOptions options;
    options.title = options_.title;
    options.version = options_.version;
    openapi_ = rpc::openapi(routes(false), options);
  }
  return json(*openapi_);
}

Reply Documents::v0_spec() {
  if (!v0_spec_) {
    rpc::OpenApiOptions options;
    options.title = "IoEngine RESTful API";
    options.version = "v0";
    options.style = rpc::JsonStyle::v0();
    options.v0 = true;
    v0_spec_ = rpc::openapi(routes(true), options);
  }
  return json(*v0_spec_);
}

Reply Documents::errors() const {
  std::set<std::string> ids = {"auth.unauthorized", "failure", "gateway.upstream_refused",
                               "gateway.upstream_closed", "gateway.upstream_timeout"};
  for (const auto& route : server_.routes().all()) {
    if (!route->entry || route->v0) continue;
    const std::string domain = error_domain(route->entry->operation);
    for (int code = 1; code < kCodes; ++code) {
      ids.insert(domain + "." + std::string(native_status(static_cast<Code>(code)).name));
    }
    ids.insert({domain + ".condition_not_met", domain + ".gone"});  // 412 and 410
  }
  std::string text =
      "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"array\",\"items\":{"
      "\"type\":\"object\",\"properties\":{\"kind\":{\"type\":\"string\",\"enum\":[\"permanent\","
      "\"temporary\",\"branch\",\"generic\"]},\"id\":{\"type\":\"string\",\"enum\":[";
  const char* comma = "";
  for (const auto& id : ids) {
    text += comma;
    rpc::append_json_string(id, text);
    comma = ",";
  }
  return json(text + "]},\"msg\":{\"type\":\"string\"}},\"required\":[\"kind\"]}}");
}

}  // namespace capstan::wire::rest
