// Why this file exists: see refusal.h.
#include "wire/rest/refusal.h"

#include <utility>

#include "base/visible.h"
#include "rpc/error_text.h"
#include "rpc/error_trace.h"
#include "wire/rest/error_map.h"

namespace capstan::wire::rest {

namespace {

// What the control plane's RestJsonError calls it: its list of kinds is closed.
std::string_view v0_kind(const Refusal& refusal) {
  switch (refusal.status) {
    case 400:
    case 415: return "Deserialize";
    case 406: return "NotAcceptable";
    case 404: return "NotFound";
    case 408: return "Timeout";
    default: return v0_status({refusal.code, 0, {}, {}}).kind;
  }
}

}  // namespace

Refusal bad_request(std::string text) {
  return {400, Code::kInvalidArgument, std::move(text)};
}

Refusal bad_query(const Error& error) {
  return bad_request("Failed to parse the query string: " + error.message);
}

Refusal not_there(unsigned status, std::string text) {
  return {status, Code::kUnimplemented, std::move(text), Refusal::Body::kNothing};
}

Refusal failed(const Error& error) {
  return {500, Code::kInternal, rpc::error_text(error), Refusal::Body::kException};
}

Refusal unauthenticated(const Error& error) {
  Refusal refusal{401, Code::kUnauthenticated, rpc::error_text(error), Refusal::Body::kTrace};
  refusal.headers.emplace_back("www-authenticate", "Bearer");
  return refusal;
}

Refusal bad_body(const Error& error) {
  Refusal refusal = bad_request(rpc::error_text(error));
  refusal.code = error.code;
  if (error.code == Code::kResourceExhausted) refusal.status = 413;
  if (error.code == Code::kUnavailable) refusal.status = 503;
  if (error.code == Code::kDeadlineExceeded) refusal.status = 408;
  return refusal;
}

Reply native_reply(const Refusal& refusal, rpc::Media media) {
  Reply reply{refusal.status, refusal.headers, {}};
  switch (refusal.body) {
    case Refusal::Body::kNothing: break;
    case Refusal::Body::kList: reply.body = refusal.text; break;
    case Refusal::Body::kText:
    case Refusal::Body::kExact:
      reply.headers.emplace_back("content-type", "text/plain");
      // What was sent comes back in it: nobody's terminal is to take orders from that.
      reply.body = visible(rpc::valid_utf8(refusal.text));
      if (refusal.body == Refusal::Body::kText) reply.body += '\n';
      break;
    case Refusal::Body::kException:  // a type that Octez's clients know
      reply.headers.emplace_back("content-type", "text/ocaml.exception");
      reply.body = refusal.text + '\n';
      break;
    case Refusal::Body::kTyped:
      reply.headers.emplace_back("content-type", rpc::media_name(media));
      break;
    case Refusal::Body::kTrace: {
      rpc::TraceError error;
      error.id = "auth." + std::string(native_status(refusal.code).name);
      error.text("msg", refusal.text);
      reply.headers.emplace_back("content-type", rpc::media_name(media));
      reply.body = rpc::encode_trace(media, {error});
    }
  }
  return reply;
}

Reply v0_reply(const Refusal& refusal, std::string_view uri) {
  Reply reply{refusal.status, refusal.headers, {}};
  reply.headers.emplace_back("content-type", "application/json");
  reply.body = v0_error(v0_kind(refusal), uri, refusal.text);
  return reply;
}

bool is_v0(std::string_view first_segment) {
  return first_segment == "v0";
}

bool is_v0_path(std::string_view path) {
  return path == "/v0" || path.starts_with("/v0/");
}

}  // namespace capstan::wire::rest
