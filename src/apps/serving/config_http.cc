// Why this file exists: see config_http.h.
#include "apps/serving/config_http.h"

#include <algorithm>
#include <charconv>

#include "apps/serving/config.h"

namespace capstan::apps {
namespace {

constexpr std::uint16_t kMetricsPort = 9932;  // http-rpc section 16
constexpr std::uint64_t kMebibyte = 1U << 20;

Result<std::size_t> read_connections(const std::string& text) {
  if (text == "unlimited") return std::size_t{0};
  std::size_t count = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, count);
  if (parsed.ec == std::errc() && parsed.ptr == end && count > 0 &&
      count <= limits::kConnectionsMax) {
    return count;
  }
  return fail(Code::kInvalidArgument,
              "option --rest-max-connections: '" + text + "' is neither a number from 1 to " +
                  std::to_string(limits::kConnectionsMax) + " nor unlimited");
}

// The names of headers are tokens (RFC 9110 section 5.6.2): what is none never comes, and would
// break the answers it stands in.
Result<void> check_cors(const wire::rest::CorsSettings& cors) {
  const auto is_token = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  for (const std::string& name : cors.headers) {
    if (!name.empty() && std::ranges::all_of(name, is_token)) continue;
    return fail(Code::kInvalidArgument,
                "option --cors-header: '" + name +
                    "' is no name of a header. Write the name alone, as in X-Request-Id");
  }
  const auto is_visible = [](char c) { return c > ' ' && c < 0x7F; };
  for (const std::string& origin : cors.origins) {
    if (!origin.empty() && std::ranges::all_of(origin, is_visible)) continue;
    return fail(Code::kInvalidArgument, "option --cors-origin: '" + origin +
                                            "' is no origin. Write * or one as browsers send it, "
                                            "as in https://ui.example:8443");
  }
  return {};
}

}  // namespace

Result<core::Address> parse_metrics_address(std::string_view text) {
  return parse_endpoint(text, kMetricsPort);
}

Result<HttpConfig> read_http(const Settings& settings) {
  HttpConfig config;
  config.cors.origins = settings.at("cors-origin").parts();
  config.cors.headers = settings.at("cors-header").parts();
  TRY(check_cors(config.cors));
  config.cors.check_host = !settings.on("cors-any-host");
  auto media = wire::rest::media_preference(settings.text("media-type"));
  if (!media) return std::unexpected(std::move(media).error().within("option --media-type"));
  config.media = *std::move(media);
  TRY_SET(config.connections, read_connections(settings.text("rest-max-connections")));
  config.body_bytes = static_cast<std::size_t>(settings.integer("rest-max-body")) * kMebibyte;
  config.session.head.line_bytes = static_cast<std::size_t>(settings.integer("rest-max-line"));
  config.session.head.head_bytes = static_cast<std::size_t>(settings.integer("rest-max-head"));
  if (config.session.head.head_bytes < config.session.head.line_bytes) {
    return fail(Code::kInvalidArgument,
                "option --rest-max-head: the head has the first line in it, so it cannot be less "
                "than --rest-max-line");
  }
  config.session.header = settings.nanos("rest-head-timeout");
  config.session.idle = settings.nanos("rest-idle-timeout");
  config.session.close_after_chunked = !settings.on("rest-keep-after-chunks");
  config.metrics_everywhere = settings.on("http-metrics");
  config.acl_late = settings.on("acl-late");
  config.cache_headers = settings.on("enable-http-cache-headers");
  for (const std::string& text : settings.at("metrics-addr").parts()) {
    auto address = parse_metrics_address(text);
    if (!address)
      return std::unexpected(std::move(address).error().within("option --metrics-addr"));
    config.metrics_listen.push_back(*std::move(address));
  }
  return config;
}

}  // namespace capstan::apps
