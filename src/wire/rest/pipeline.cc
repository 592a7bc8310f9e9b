// Why this file exists: the checks of pipeline.h in their order. What comes after them is
// rest/operation_call.h's.
#include "wire/rest/pipeline.h"

#include <algorithm>
#include <utility>

#include "rpc/condition.h"
#include "wire/rest/operation_call.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

namespace {

constexpr char kAllowOrigin[] = "Access-Control-Allow-Origin";

Refusal not_allowed(const TreeNode& node) {
  Refusal refusal = not_there(405, "the path takes " + node.allowed());
  refusal.headers.emplace_back("allow", node.allowed());
  return refusal;
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
  bool options = false;          // the method is OPTIONS
  std::string preflight;         // the methods that it is told
  Tree::Found found;             // what is at the path
  const Route* route = nullptr;  // what path and method stand for; not said before check_path()
  Resolved call;                 // route, arguments and media of what is called

  bool v0() const { return !target.segments.empty() && is_v0(target.segments[0]); }
};

core::Task<void> Pipeline::serve(Exchange& exchange) {
  ++counters_.requests;
  Work work;
  if (auto refusal = check(exchange, work)) {
    co_return co_await refuse(exchange, work, *std::move(refusal));
  }
  if (work.options) {
    ++counters_.refused;
    Reply reply = preflight(work);
    add_origin(exchange, reply);
    const auto sent = co_await exchange.answer(std::move(reply));
    static_cast<void>(sent.has_value());
    co_return;
  }
  std::string origin;
  if (const auto header = exchange.request().last("origin")) {
    origin = options_.cors.match(*header).value_or("");
  }
  OperationCall call(directory_, options_, counters_, exchange, std::move(work.call),
                     std::move(work.target.query), std::move(origin));
  co_await call.run();
}

core::Task<void> Pipeline::refuse(Exchange& exchange, const Work& work, Refusal refusal) {
  ++counters_.refused;
  co_await tell(exchange, work, refusal);
  const auto& request = exchange.request();
  const auto media = negotiate(joined(request, "accept"), options_.media);
  Reply reply = work.v0() ? v0_reply(refusal, shown_target(request.target))
                          : native_reply(refusal, media.value_or(options_.media.front()));
  add_origin(exchange, reply);
  const auto sent = co_await exchange.answer(std::move(reply));
  static_cast<void>(sent.has_value());  // a client that is gone needs no answer
}

core::Task<void> Pipeline::tell(const Exchange& exchange, const Work& work,
                                const Refusal& refusal) {
  if (!options_.refused) co_return;
  const auto& request = exchange.request();
  Error error{refusal.code, 0, refusal.text, {}};
  if (!work.route || !work.route->entry) {
    // Not the path, where keys and the passwords of URIs may stand.
    const std::string asked = request.method + " " + routes_.tree().pattern(work.target.segments);
    options_.refused->tell_unknown(rpc::kHttpWire, exchange.peer(), asked, error);
    co_return;
  }
  rpc::Call call;
  call.operation = &work.route->entry->operation;
  call.peer = exchange.peer();
  call.token = exchange.gone();
  call.wire = rpc::kHttpWire;
  if (const auto parent = request.last("traceparent")) {
    call.metadata.request.emplace_back("traceparent", *parent);
  }
  co_await options_.refused->tell(call, std::move(error));
}

void Pipeline::tell_unreadable(const core::PeerInfo& peer, unsigned status,
                               const std::string& text) {
  ++counters_.refused;
  if (!options_.refused) return;
  const auto code = [status] {
    switch (status) {
      case 408: return Code::kDeadlineExceeded;
      case 431: return Code::kResourceExhausted;
      case 501: return Code::kUnimplemented;
      default: return Code::kInvalidArgument;
    }
  };
  options_.refused->tell_unknown(rpc::kHttpWire, peer, "", {code(), 0, text, {}});
}

Pipeline::Checked Pipeline::check(const Exchange& exchange, Work& work) const {
  if (auto refusal = check_method(exchange, work)) return refusal;
  if (work.options) {
    auto refusal = check_metrics(exchange, work);
    return refusal ? refusal : check_preflight(exchange, work);
  }
  // Whoever collects metrics is no web page, and calls the address as it is.
  if (!only_metrics(exchange) && !options_.cors.host_allowed(exchange.request().last("host"))) {
    Refusal refusal{403, Code::kPermissionDenied, "the host is none of the allowed origins",
                    Refusal::Body::kNothing};
    refusal.headers.emplace_back(kCorsErrorHeader, "invalid host");
    return refusal;
  }
  if (auto refusal = check_metrics(exchange, work)) return refusal;
  if (auto refusal = check_caller(exchange, work)) return refusal;
  if (!options_.acl_late) {
    if (auto refusal = check_acl(exchange, work)) return refusal;
  }
  if (auto refusal = check_path(work)) return refusal;
  if (auto refusal = check_media(exchange, work)) return refusal;
  if (auto refusal = check_condition(exchange, work)) return refusal;
  if (auto read = work.call.read_query(work.target.query); !read) {
    return bad_query(read.error());
  }
  return options_.acl_late ? check_acl(exchange, work) : std::nullopt;
}

Pipeline::Checked Pipeline::check_method(const Exchange& exchange, Work& work) const {
  const auto& request = exchange.request();
  work.options = request.method == "OPTIONS";
  work.call.head_only = request.method == "HEAD";
  const bool known =
      work.options || work.call.head_only || method_named(request.method, work.method);
  auto target = parse_target(request.target);
  if (target) work.target = *std::move(target);
  if (!known) return not_there(501, "the method is none that is served");
  if (!target) return bad_request(target.error().message);
  if (work.target.segments.size() > limits::kRestPathSegments) {
    return not_there(404, "the path has too many segments");
  }
  work.found = routes_.tree().find(work.target.segments);
  if (work.found.node && !work.options) work.route = work.found.node->service(work.method);
  return std::nullopt;
}

bool Pipeline::only_metrics(const Exchange& exchange) const {
  return options_.metrics_at && options_.metrics_at(exchange.peer()) == MetricsAt::kOnly;
}

Pipeline::Checked Pipeline::check_metrics(const Exchange& exchange, const Work& work) const {
  if (!options_.metrics_at) return std::nullopt;
  const auto& segments = work.target.segments;
  const bool metrics = segments.size() == 1 && segments[0] == "metrics";
  const bool get = work.method == Method::kGet && !work.options && !work.call.head_only;
  switch (options_.metrics_at(exchange.peer())) {
    case MetricsAt::kOnly:
      return metrics && get ? std::nullopt
                            : Checked({400, Code::kInvalidArgument, "Error: Bad request",
                                       Refusal::Body::kExact});
    case MetricsAt::kHidden:
      return metrics ? Checked(not_there(404, "metrics are not served here")) : std::nullopt;
    case MetricsAt::kServed: break;
  }
  return std::nullopt;
}

// Documents that anybody may see are open to strangers, too.
Pipeline::Checked Pipeline::check_caller(const Exchange& exchange, const Work& work) const {
  if (!options_.authenticate) return std::nullopt;
  if (work.route && work.route->view && !work.route->entry) return std::nullopt;
  const auto header = exchange.request().last("authorization");
  const auto known = options_.authenticate(exchange.peer(), header.value_or(std::string_view()));
  return known ? std::nullopt : Checked(unauthenticated(known.error()));
}

Pipeline::Checked Pipeline::check_path(Work& work) const {
  if (work.found.failure) return failed(*work.found.failure);
  if (!work.found.complaint.empty()) return bad_request(work.found.complaint);
  if (!work.found.node) return not_there(404, "there is nothing at this path");
  if (work.call.head_only && !(work.route && may_answer_head(*work.route))) {
    return not_there(501, "HEAD is answered where GET answers one value");
  }
  if (!work.route) return not_allowed(*work.found.node);
  work.call.route = work.route;
  work.call.arguments = std::move(work.found.arguments);
  return std::nullopt;
}

Pipeline::Checked Pipeline::check_media(const Exchange& exchange, Work& work) const {
  const Route& route = *work.call.route;
  if (route.view && route.view_body == ViewBody::kOther) return std::nullopt;
  const auto& request = exchange.request();
  const MediaTypes& offered = route.v0 ? v0_media_ : options_.media;
  if (!route.binding.raw_body) {
    const auto media = request_media(request.last("content-type"), offered);
    if (!media) {
      return Refusal{415, Code::kInvalidArgument,
                     "the content-type is none of " + media_list(offered), Refusal::Body::kNothing};
    }
    work.call.request_media = *media;
  }
  const auto accept = joined(request, "accept");
  if (route.binding.answer == rpc::HttpAnswer::kRaw) {
    // The bytes are what they are; errors are in what the client takes, or in the default.
    work.call.response_media = negotiate(accept, offered).value_or(offered.front());
    return std::nullopt;
  }
  const auto media = negotiate(accept, offered);
  if (!media)
    return Refusal{406, Code::kInvalidArgument, media_list(offered), Refusal::Body::kList};
  work.call.response_media = *media;
  return std::nullopt;
}

// What it is about has no tag, or changes in a way that no handler can hold against one: doing it
// all the same would be what the client wanted to exclude.
Pipeline::Checked Pipeline::check_condition(const Exchange& exchange, const Work& work) const {
  const auto& request = exchange.request();
  if (work.method == Method::kGet || work.call.head_only) return std::nullopt;
  if (!request.last(rpc::kIfMatch) && !request.last(rpc::kIfNoneMatch)) return std::nullopt;
  if (work.route->takes_condition) return std::nullopt;
  return Refusal{501, Code::kUnimplemented,
                 "if-match and if-none-match are for PUT, PATCH and DELETE of what GET answers "
                 "whole, outside of /v0"};
}

Pipeline::Checked Pipeline::check_acl(const Exchange& exchange, const Work& work) const {
  if (!options_.acl) return std::nullopt;
  // Whoever opened an address for metrics means everybody there.
  if (only_metrics(exchange)) return std::nullopt;
  const auto method = work.call.head_only ? std::string_view("GET") : method_name(work.method);
  const std::string& listener = exchange.peer().listener;
  if (options_.acl->allows(listener, rpc::kHttpWire, method, work.target.segments)) {
    return std::nullopt;
  }
  return Refusal{401, Code::kPermissionDenied,
                 "the access list of " + (listener.empty() ? "this node" : listener) +
                     " does not let this method and path through; an entry of --acl for this "
                     "address, or --allow-all-rpc, would allow it",
                 Refusal::Body::kTyped};
}

Pipeline::Checked Pipeline::check_preflight(const Exchange& exchange, Work& work) const {
  const auto& found = work.found;
  if (found.failure) return failed(*found.failure);
  if (!found.complaint.empty()) return bad_request(found.complaint);
  if (!found.node) return not_there(404, "there is nothing at this path");
  const auto& request = exchange.request();
  const auto asked = request.last("access-control-request-method");
  work.preflight = found.node->allowed();
  if (asked && request.last("origin")) {
    Method method;
    if (!method_named(*asked, method)) return not_there(404, "the method is none that is served");
    if (!found.node->service(method)) return not_allowed(*found.node);
    work.preflight = std::string(*asked);
  }
  return std::nullopt;
}

Reply Pipeline::preflight(const Work& work) const {
  Reply reply;
  reply.headers.emplace_back("Access-Control-Allow-Methods", work.preflight);
  if (!options_.cors.origins.empty()) {
    reply.headers.emplace_back("Access-Control-Allow-Headers", options_.cors.header_list());
  }
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

}  // namespace capstan::wire::rest
