// Why this file exists: see connect.h.
#include "apps/capstan/connect.h"

#include <algorithm>
#include <cerrno>

#include "apps/capstan/bind_uri.h"
#include "base/duration_text.h"
#include "core/os_file.h"
#include "core/os_resolve.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kFileBytesMax = 1U << 20;

Result<std::string> read_file(const Arguments& global, std::string_view flag) {
  if (!global.given(flag)) return std::string();
  auto text = core::read_small_file(global.text(flag), kFileBytesMax);
  if (!text) {
    Error error = std::move(text).error().within("--" + std::string(flag));
    error.code = Code::kInvalidArgument;
    return std::unexpected(std::move(error));
  }
  return text;
}

// "00-<32 digits>-<16 digits>-<2 digits>"; what is not so is no trace and left out (W3C).
bool is_traceparent(std::string_view text) {
  constexpr std::string_view kForm = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
  return std::ranges::equal(text, kForm, [](char c, char form) {
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    return form == 'h' ? digit : c == form;
  });
}

// What every call says besides its request.
Result<client::MetadataList> common_metadata(const Arguments& global,
                                             const CallEnvironment& environment) {
  client::MetadataList list;
  TRY_SET(std::string token, read_file(global, "token"));
  const std::string where = global.given("token") ? "--token" : "CAPSTAN_TOKEN";
  if (!global.given("token")) token = environment.token;
  while (!token.empty() && std::string_view(" \t\r\n").contains(token.back())) token.pop_back();
  if (token.empty() && global.given("token")) {
    return fail(Code::kInvalidArgument, "--token: " + global.text("token") + " holds no token");
  }
  const bool clean = std::ranges::all_of(token, [](unsigned char c) { return c > 32 && c < 127; });
  if (!clean) {
    return fail(Code::kInvalidArgument,
                where +
                    ": a token has no blanks and no control characters. Give the text of one "
                    "JSON Web Token");
  }
  if (!token.empty()) list.emplace_back("authorization", "Bearer " + token);
  if (is_traceparent(environment.traceparent)) {
    list.emplace_back("traceparent", environment.traceparent);
  }
  return list;
}

Result<BindUri> address_of(const Arguments& global) {
  if (!global.given("endpoint")) return parse_bind_uri(global.text("bind"));
  if (global.text("bind") == kDefaultBind) {
    return parse_bind_uri(global.text("endpoint"), AddressFlag::kEndpoint);
  }
  return fail(Code::kInvalidArgument, "--bind and --endpoint are both given. Leave one out");
}

}  // namespace

Result<NodeWay> way_to_node(const Arguments& global, const CallEnvironment& environment) {
  TRY_SET(const BindUri uri, address_of(global));
  const bool certificates =
      global.given("tls-ca") || global.given("tls-cert") || global.given("tls-key");
  if (certificates && !uri.tls) {
    return fail(
        Code::kInvalidArgument,
        "--tls-ca, --tls-cert and --tls-key need an encrypted node. Write --bind https://… or "
        "wss://…, or --endpoint https://…");
  }
  if (global.given("tls-cert") != global.given("tls-key")) {
    return fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together. Give both");
  }
  client::RemoteOptions remote;
  remote.wire = uri.wire;
  TRY_SET(remote.http.media, wire::rest::media_preference(global.text("media-type")));
  remote.http.base_path = uri.base_path;
  client::ChannelOptions& options = remote.channel;
  TRY_SET(options.metadata, common_metadata(global, environment));
  if (uri.tls) {
    wire::TlsClientConfig config;
    TRY_SET(config.ca_pem, read_file(global, "tls-ca"));
    TRY_SET(config.certificate_pem, read_file(global, "tls-cert"));
    TRY_SET(config.private_key_pem, read_file(global, "tls-key"));
    TRY_SET(options.tls, wire::TlsContext::client(config));
    options.tls_host = uri.host;
  }
  NodeWay way;
  if (!uri.path.empty()) {
    way.addresses.push_back(core::Address::unix_path(uri.path));
  } else {
    TRY_SET(const auto hosts, core::resolve_all(uri.host));
    for (const auto& host : hosts) way.addresses.push_back(core::Address::tcp(host, uri.port));
    const bool brackets = uri.host.find(':') != std::string::npos;
    options.authority =
        (brackets ? "[" + uri.host + "]" : uri.host) + ":" + std::to_string(uri.port);
  }
  options.address = way.addresses.front();
  way.options = std::move(remote);
  return way;
}

Error with_remedy(Error error, const client::RemoteOptions& options) {
  // With any other errno nothing was spoken yet.
  const bool spoken = error.sys_errno == 0 || error.sys_errno == ECONNRESET;
  const bool tcp = options.channel.address.kind == core::Address::Kind::kTcp;
  if (error.code != Code::kUnavailable || !spoken || !tcp) return error;
  const std::string scheme = options.wire == client::Wire::kMuxio ? "ws" : "http";
  if (options.channel.tls) {
    error.message += ". A node without TLS is " + scheme +
                     "://…; the authority of a node's certificate is given with --tls-ca";
  } else {
    error.message += ". A node with TLS is " + scheme + "s://…";
  }
  return error;
}

Result<core::Nanos> call_timeout(const Arguments& global) {
  auto parsed = parse_duration(global.text("timeout"));
  if (!parsed) return std::unexpected(std::move(parsed).error().within("--timeout"));
  return *parsed;
}

Result<core::Nanos> interval_of(const Arguments& arguments) {
  auto parsed = parse_duration(arguments.text("interval"));
  if (!parsed) return std::unexpected(std::move(parsed).error().within("--interval"));
  if (*parsed >= 100 * core::kMillisecond && *parsed <= 3600 * core::kSecond) return *parsed;
  return fail(Code::kInvalidArgument, "--interval: '" + arguments.text("interval") +
                                          "' is not between 100ms and 1h. Give as in 2s");
}

Printer::Options printer_options(const Arguments& global) {
  Printer::Options options;
  if (global.text("output") == "json") options.format = Printer::Format::kJson;
  if (global.text("units") == "d") options.units = SizeUnits::kDecimal;
  if (global.text("units") == "b") options.units = SizeUnits::kBytes;
  options.quiet = global.on("quiet");
  return options;
}

}  // namespace capstan::apps
