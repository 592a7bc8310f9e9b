// Why this file exists: see http_headers.h.
#include "client/http_headers.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "wire/rest/limits.h"

namespace capstan::client {

namespace {

// Octez's preferences (http-rpc section 7.1).
std::string_view preference(rpc::Media media) {
  switch (media) {
    case rpc::Media::kBson: return ";q=0.100";
    case rpc::Media::kBinary: return ";q=0.200";
    default: return ";q=1";
  }
}

// What this side says itself, or what is about the connection.
constexpr std::array<std::string_view, 14> kOwn = {
    "accept",       "accept-encoding", "connection", "content-length",
    "content-type", "expect",          "host",       "keep-alive",
    "te",           "trailer",         "upgrade",    "transfer-encoding",
    "user-agent",   "x-timeout-ms"};

bool is_token(unsigned char c) {
  return std::isalnum(c) != 0 || std::string_view("!#$%&'*+-.^_`|~").contains(static_cast<char>(c));
}

Result<void> append_header(const std::string& name, std::string_view value, std::string& out) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kUnimplemented,
                "'" + name + "' cannot be a header over HTTP: " + std::string(why));
  };
  if (name.empty() || !std::ranges::all_of(name, is_token)) return refuse("its name");
  if (name.ends_with("-bin")) return refuse("it is binary. Use gRPC");
  if (std::ranges::find(kOwn, name) != kOwn.end()) return refuse("it belongs to the connection");
  const bool clean = std::ranges::all_of(
      value, [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
  if (!clean) return refuse("its value has control characters");
  out.append(name).append(": ").append(value).append("\r\n");
  return {};
}

std::string_view body_type(const wire::rest::OutgoingRequest& request) {
  return request.media ? rpc::media_name(*request.media) : "application/octet-stream";
}

}  // namespace

Result<std::string> header_lines(const MetadataList& metadata) {
  std::string lines;
  for (const auto& [name, value] : metadata) TRY(append_header(name, value, lines));
  return lines;
}

std::string accept_header(const wire::rest::MediaTypes& media) {
  std::string list;
  for (const auto one : media) {
    list.append(list.empty() ? "" : ",").append(rpc::media_name(one)).append(preference(one));
  }
  return list;
}

Result<std::string> http_head(const ChannelOptions& channel, const CallOptions& call,
                              const std::string& accept, const wire::rest::OutgoingRequest& request,
                              bool stream) {
  std::string out = request.method + " " + request.target + " HTTP/1.1\r\nhost: ";
  out.append(channel.authority).append("\r\naccept: ").append(accept);
  out.append("\r\nuser-agent: ").append(channel.user_agent).append("\r\n");
  if (request.has_body) {
    out.append("content-type: ").append(body_type(request)).append("\r\n");
    out += stream ? "transfer-encoding: chunked\r\n"
                  : "content-length: " + std::to_string(request.body.size()) + "\r\n";
  }
  if (call.deadline != 0) {
    const core::Nanos now = core::Reactor::current()->now();
    const core::Nanos left = call.deadline > now ? call.deadline - now : 0;
    const std::uint64_t millis = (left + core::kMillisecond - 1) / core::kMillisecond;
    out += "x-timeout-ms: " +
           std::to_string(std::clamp<std::uint64_t>(millis, 1, limits::kRestTimeoutMillisMax)) +
           "\r\n";
  }
  for (const auto* list : {&call.metadata, &channel.metadata}) {
    TRY_SET(const std::string lines, header_lines(*list));
    out += lines;
  }
  return out += "\r\n";
}

}  // namespace capstan::client
