// Why this file exists: the checks of pipeline.h in their order. What comes after them is
// rest/operation_call.h's.
#include "wire/rest/pipeline.h"

#include <algorithm>
#include <utility>

#include "wire/rest/operation_call.h"

namespace capstan::wire::rest {

namespace {

constexpr char kAllowOrigin[] = "Access-Control-Allow-Origin";

Reply plain(unsigned status, std::string text) {
  Reply reply;
  reply.status = status;
  if (!text.empty()) reply.headers.emplace_back("content-type", "text/plain");
  reply.body = std::move(text);
  return reply;
}

Reply not_allowed(const TreeNode& node) {
  Reply reply = plain(405, {});
  reply.headers.emplace_back("allow", node.allowed());
  return reply;
}

// All values joined; nothing when the header is absent.
std::optional<std::string> joined(const Http1Request& request, std::string_view name) {
  if (!request.last(name)) return std::nullopt;
  return request.header(name);
}

}  // namespace

struct Pipeline::Work {
  Target target;
  Method method = Method::kGet;
  bool options = false;  // the method is OPTIONS
  Resolved call;         // route, arguments and media of what is called
};

core::Task<void> Pipeline::serve(Exchange& exchange) {
  ++counters_.requests;
  Work work;
  auto refusal = check(exchange, work);
  if (!refusal) {
    std::string origin;
    if (const auto header = exchange.request().last("origin")) {
      origin = options_.cors.match(*header).value_or("");
    }
    OperationCall call(directory_, options_.body_bytes, counters_, exchange, std::move(work.call),
                       std::move(work.target.query), std::move(origin));
    co_await call.run();
    co_return;
  }
  ++counters_.refused;
  add_origin(exchange, *refusal);
  const auto sent = co_await exchange.answer(*std::move(refusal));
  static_cast<void>(sent.has_value());  // a client that is gone needs no answer
}

std::optional<Reply> Pipeline::check(Exchange& exchange, Work& work) const {
  if (auto refusal = check_method(exchange, work)) return refusal;
  if (work.options) {
    auto refusal = check_metrics(exchange, work);
    return refusal ? std::move(refusal) : preflight(exchange, work);
  }
  const auto host = exchange.request().last("host");
  if (!options_.cors.host_allowed(host)) {
    Reply reply = plain(403, {});
    reply.headers.emplace_back(kCorsErrorHeader, "invalid host");
    return reply;
  }
  if (auto refusal = check_metrics(exchange, work)) return refusal;
  if (!options_.acl_late && !acl_allows(exchange, work)) return denied(exchange);
  if (auto refusal = check_path(work)) return refusal;
  if (auto refusal = check_media(exchange, work)) return refusal;
  if (auto read = work.call.read_query(work.target.query); !read) {
    return plain(400, "Failed to parse the query string: " + read.error().message + "\n");
  }
  if (options_.acl_late && !acl_allows(exchange, work)) return denied(exchange);
  return std::nullopt;
}

std::optional<Reply> Pipeline::check_method(const Exchange& exchange, Work& work) const {
  const auto& request = exchange.request();
  work.options = request.method == "OPTIONS";
  work.call.head_only = request.method == "HEAD";
  if (!work.options && !work.call.head_only && !method_named(request.method, work.method)) {
    return plain(501, {});
  }
  auto target = parse_target(request.target);
  if (!target) return plain(400, target.error().message + "\n");
  work.target = *std::move(target);
  if (work.target.segments.size() > limits::kRestPathSegments) return plain(404, {});
  return std::nullopt;
}

std::optional<Reply> Pipeline::check_metrics(const Exchange& exchange, const Work& work) const {
  if (!options_.metrics_at) return std::nullopt;
  const auto& segments = work.target.segments;
  const bool metrics = segments.size() == 1 && segments[0] == "metrics";
  const bool get = work.method == Method::kGet && !work.options && !work.call.head_only;
  switch (options_.metrics_at(exchange.peer())) {
    case MetricsAt::kOnly:
      return metrics && get ? std::nullopt : std::optional(plain(400, "Error: Bad request"));
    case MetricsAt::kHidden: return metrics ? std::optional(plain(404, {})) : std::nullopt;
    case MetricsAt::kServed: break;
  }
  return std::nullopt;
}

std::optional<Reply> Pipeline::check_path(Work& work) const {
  const auto& segments = work.target.segments;
  auto found = routes_.tree().find(segments);
  if (!found.complaint.empty()) return plain(400, found.complaint);
  if (!found.node) return plain(404, {});
  const Route* route = found.node->service(work.method);
  if (work.call.head_only && !(route && may_answer_head(*route))) return plain(501, {});
  if (!route) return not_allowed(*found.node);
  work.call.route = route;
  work.call.arguments = std::move(found.arguments);
  return std::nullopt;
}

std::optional<Reply> Pipeline::check_media(const Exchange& exchange, Work& work) const {
  const Route& route = *work.call.route;
  if (route.view) return std::nullopt;  // documents have their own types
  const auto& request = exchange.request();
  if (!route.binding.raw_body) {
    const auto media = request_media(request.last("content-type"), options_.media);
    if (!media) return plain(415, {});
    work.call.request_media = *media;
  }
  const auto accept = joined(request, "accept");
  if (route.binding.answer == rpc::HttpAnswer::kRaw) {
    // The bytes are what they are; errors are in what the client takes, or in the default.
    work.call.response_media = negotiate(accept, options_.media).value_or(options_.media.front());
    return std::nullopt;
  }
  const auto media = negotiate(accept, options_.media);
  if (!media) return plain(406, media_list(options_.media));
  work.call.response_media = *media;
  return std::nullopt;
}

bool Pipeline::acl_allows(const Exchange& exchange, const Work& work) const {
  if (!options_.acl) return true;
  // Whoever opened an address for metrics means everybody there.
  if (options_.metrics_at && options_.metrics_at(exchange.peer()) == MetricsAt::kOnly) return true;
  const auto method = work.call.head_only ? std::string_view("GET") : method_name(work.method);
  return options_.acl->allows(exchange.peer().listener, rpc::kHttpWire, method,
                              work.target.segments);
}

Reply Pipeline::denied(const Exchange& exchange) const {
  const auto media = negotiate(joined(exchange.request(), "accept"), options_.media);
  Reply reply;
  reply.status = 401;
  reply.headers.emplace_back("content-type",
                             rpc::media_name(media.value_or(options_.media.front())));
  return reply;
}

void Pipeline::add_origin(const Exchange& exchange, Reply& reply) const {
  if (reply.status == 403) return;
  const auto origin = exchange.request().last("origin");
  if (!origin) return;
  const auto allowed = options_.cors.match(*origin);
  const auto has = [&] {
    return std::ranges::any_of(reply.headers,
                               [](const auto& header) { return header.first == kAllowOrigin; });
  };
  if (allowed && !has()) reply.headers.emplace_back(kAllowOrigin, std::string(*allowed));
}

Reply Pipeline::preflight(const Exchange& exchange, const Work& work) const {
  const auto found = routes_.tree().find(work.target.segments);
  if (!found.complaint.empty()) return plain(400, found.complaint);
  if (!found.node) return plain(404, {});
  const auto& request = exchange.request();
  const auto asked = request.last("access-control-request-method");
  std::string methods = found.node->allowed();
  if (asked && request.last("origin")) {
    Method method;
    if (!method_named(*asked, method)) return plain(404, {});
    if (!found.node->service(method)) return not_allowed(*found.node);
    methods = std::string(*asked);
  }
  Reply reply;
  reply.headers.emplace_back("Access-Control-Allow-Methods", methods);
  if (!options_.cors.origins.empty()) {
    reply.headers.emplace_back("Access-Control-Allow-Headers", options_.cors.header_list());
  }
  return reply;
}

}  // namespace capstan::wire::rest
