// Why this file exists: see path_call.h.
#include "apps/capstan/path_call.h"

#include <algorithm>
#include <utility>

#include "apps/capstan/image_hash.h"
#include "client/http_exchange.h"
#include "rpc/any_json.h"
#include "rpc/error_trace.h"
#include "wire/http1/http1_request.h"
#include "wire/rest/answer_reader.h"

namespace capstan::apps {

namespace {

using wire::Http1Response;

constexpr std::size_t kRefusalBytes = 64U << 10, kLengthBytes = 4;

std::string type_of(const Http1Response& head) {
  std::string type(head.last("content-type").value_or(""));
  type.resize(std::min(type.size(), type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  return type;
}

// The node's own words, each error with its id.
std::string said(const Http1Response& head, std::string_view body) {
  const auto media = rpc::media_named(type_of(head));
  std::string text;
  if (media && !body.empty() && head.status != 400) {
    for (const auto& one : rpc::decode_optional_trace(*media, body)) {
      if (one.id.empty() || one.id.starts_with("RPC."))
        return wire::rest::error_of_answer(head, body).text();
      text += (text.empty() ? "" : "\n  ") + one.id + ": " + one.field_text("msg");
    }
  }
  return text.empty() ? wire::rest::error_of_answer(head, body).text() : text;
}

// What the paths of calls are below, as it may be given for --endpoint.
std::string base_of(const client::RemoteOptions& way) {
  const auto& at = way.channel;
  if (at.address.kind == core::Address::Kind::kUnix) return "http+unix:" + at.address.path;
  return (at.tls ? "https://" : "http://") +
         (at.authority.empty() ? at.address.text() : at.authority) + way.http.base_path;
}

std::unexpected<Error> refused(const Session& session, const Http1Response& head,
                               const std::string& body) {
  const Code code = wire::rest::error_of_answer(head, body).code;
  const bool bare = body.find_first_not_of(" \r\n") == std::string::npos;
  std::string text;
  switch (head.status) {
    case 404:
      if (bare) return no_service();
      text = said(head, body);
      break;
    case 401:
      text = "[HTTP 403] Access denied to: " + base_of(session.way()) + "\n  " + said(head, body);
      break;
    case 500:
      text = (bare ? "Command failed" : "Command failed: ") + (bare ? "" : said(head, body));
      break;
    case 301:
    case 302:
    case 303:
    case 304:
      text = "Unexpected server answer: " + std::to_string(head.status) + " " +
             std::string(wire::http1_reason(head.status));
      break;
    default: text = said(head, body); break;
  }
  return fatal(code, std::move(text));
}

}  // namespace

std::unexpected<Error> fatal(Code code, std::string text) {
  return fail(code, std::move(text), kFatalErrno);
}

std::unexpected<Error> no_service(std::string_view more) {
  return fatal(Code::kNotFound, "No service found at this URL" + std::string(more));
}

PathAnswer::PathAnswer(Session& session, const PathCall& call)
    : session_(session),
      stream_(call.stream),
      hex_(!call.raw && session.way().http.media == wire::rest::MediaTypes{rpc::Media::kBinary}),
      elements_(rpc::ElementSplitter::Format::kLengthPrefixed,
                session.way().channel.receive_message_bytes) {}

Result<void> PathAnswer::take(const Http1Response& head, std::string_view piece, bool last) {
  session_.heard();
  if (head.status == 201 || head.status == 204) return last ? nothing(head) : Result<void>();
  if (head.status != 200) {
    body_.append(piece.substr(0, kRefusalBytes - std::min(kRefusalBytes, body_.size())));
    if (last) return refused(session_, head, body_);
    return {};
  }
  const auto media = rpc::media_named(type_of(head));
  if (media == rpc::Media::kJson) return stream_ ? lines(piece, last) : whole(piece, last);
  if (hex_ && media == rpc::Media::kBinary) {
    return stream_ ? hex_lines(piece, last) : hex(piece, last);
  }
  session_.out().raw(piece);
  return session_.out().flush();
}

Result<void> PathAnswer::nothing(const Http1Response& head) {
  if (const auto location = head.last("location")) {
    session_.out().remark("Created " + std::string(*location));
  }
  return {};
}

Result<void> PathAnswer::keep(std::string_view piece) {
  const std::size_t most = session_.way().channel.receive_message_bytes;
  if (body_.size() + piece.size() > most) {
    return fail(Code::kResourceExhausted,
                "the answer is larger than the limit of " + std::to_string(most) + " bytes");
  }
  body_ += piece;
  return {};
}

Result<void> PathAnswer::lines(std::string_view piece, bool last) {
  TRY(keep(piece));
  std::size_t at = 0;
  for (auto end = body_.find('\n'); end != std::string::npos; end = body_.find('\n', at)) {
    session_.out().line(std::string_view(body_).substr(at, end - at));
    at = end + 1;
  }
  body_.erase(0, at);
  if (last && !body_.empty()) session_.out().line(body_);
  return session_.out().flush();
}

Result<void> PathAnswer::whole(std::string_view piece, bool last) {
  TRY(keep(piece));
  if (!last || body_.empty()) return {};
  while (body_.ends_with('\n')) body_.pop_back();
  session_.out().line(pretty_json(body_));
  return {};
}

Result<void> PathAnswer::hex(std::string_view piece, bool last) {
  TRY(keep(piece));
  if (!last) return {};
  session_.out().line(
      hex_text(as_bytes(std::string_view(body_).substr(std::min(kLengthBytes, body_.size())))));
  return {};
}

// A monitor may never end: what is there is shown.
Result<void> PathAnswer::hex_lines(std::string_view piece, bool last) {
  elements_.add(piece);
  while (true) {
    TRY_SET(const auto element, elements_.next());
    if (!element) break;
    session_.out().line(hex_text(as_bytes(element->substr(kLengthBytes))));
  }
  TRY(session_.out().flush());
  if (!last || elements_.complete()) return {};
  return fail(Code::kInternal, "the node's answer ends in the middle of an element");
}

Result<std::string> target_of(std::string_view url) {
  const bool clean = std::ranges::all_of(url, [](unsigned char c) { return c > 32 && c < 127; });
  if (!clean || url.contains('#')) {
    return Session::usage_error(
        "'" + std::string(url) +
        "' cannot be a URL: write blanks, '#' within a name and what is not "
        "ASCII as %20, %23 and so on");
  }
  return (url.starts_with('/') ? "" : "/") + std::string(url);
}

Done call_http(Session& session, PathCall call) {
  PathAnswer printed(session, call);
  client::HttpAsk ask{std::move(call.method),
                      std::move(call.target),
                      std::move(call.body),
                      call.media,
                      call.stream,
                      call.secret,
                      call.repeatable};
  const client::CallOptions options = session.within_timeout();
  auto done = co_await client::http_exchange(
      session.env(), session.way(), std::move(ask), options,
      [&printed](const Http1Response& head, std::string_view piece, bool last) {
        return printed.take(head, piece, last);
      });
  if (call.stream && session.token().fired()) co_return Result<void>();  // the usual end
  if (done) co_return done;
  co_return std::unexpected(session.timed_out(std::move(done).error(), options.deadline));
}

core::Task<Result<std::string>> http_document(Session& session, std::string target) {
  std::string text;
  auto media = rpc::Media::kJson;  // in which the document came
  const std::size_t most = session.way().channel.receive_message_bytes;
  const client::CallOptions options = session.within_timeout();
  auto done = co_await client::http_exchange(
      session.env(), session.way(), {"GET", std::move(target)}, options,
      [&](const Http1Response& head, std::string_view piece, bool last) -> Result<void> {
        session.heard();
        if (text.size() + piece.size() > most) {
          return fail(Code::kResourceExhausted, "the answer is larger than the limit");
        }
        text += piece;
        media = rpc::media_named(type_of(head)).value_or(rpc::Media::kJson);
        if (last && head.status != 200) return refused(session, head, text);
        return {};
      });
  if (!done) {
    co_return std::unexpected(session.timed_out(std::move(done).error(), options.deadline));
  }
  co_return rpc::decode_any_json(media, text);
}

}  // namespace capstan::apps
