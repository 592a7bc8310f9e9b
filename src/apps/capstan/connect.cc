// Why this file exists: see connect.h.
#include "apps/capstan/connect.h"

#include "apps/capstan/bind_uri.h"
#include "base/duration_text.h"
#include "core/os_file.h"
#include "core/os_resolve.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kPemBytesMax = 1U << 20;

Result<std::string> read_pem(const Arguments& global, std::string_view flag) {
  if (!global.given(flag)) return std::string();
  auto text = core::read_small_file(global.text(flag), kPemBytesMax);
  if (!text) {
    Error error = std::move(text).error().within("--" + std::string(flag));
    error.code = Code::kInvalidArgument;
    return std::unexpected(std::move(error));
  }
  return text;
}

}  // namespace

Result<client::RemoteOptions> remote_options(const Arguments& global) {
  TRY_SET(const BindUri uri, parse_bind_uri(global.text("bind")));
  const bool certificates =
      global.given("tls-ca") || global.given("tls-cert") || global.given("tls-key");
  if (certificates && !uri.tls) {
    return fail(
        Code::kInvalidArgument,
        "--tls-ca, --tls-cert and --tls-key need an encrypted node. Write --bind https://… or "
        "wss://…");
  }
  if (global.given("tls-cert") != global.given("tls-key")) {
    return fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together. Give both");
  }
  client::RemoteOptions remote;
  remote.wire = uri.wire;
  client::ChannelOptions& options = remote.channel;
  if (uri.tls) {
    wire::TlsClientConfig config;
    TRY_SET(config.ca_pem, read_pem(global, "tls-ca"));
    TRY_SET(config.certificate_pem, read_pem(global, "tls-cert"));
    TRY_SET(config.private_key_pem, read_pem(global, "tls-key"));
    TRY_SET(options.tls, wire::TlsContext::client(config));
    options.tls_host = uri.host;
  }
  if (!uri.path.empty()) {
    options.address = core::Address::unix_path(uri.path);
    return remote;
  }
  TRY_SET(std::string address, core::resolve_host(uri.host));
  options.address = core::Address::tcp(std::move(address), uri.port);
  const bool brackets = uri.host.find(':') != std::string::npos;
  options.authority = (brackets ? "[" + uri.host + "]" : uri.host) + ":" + std::to_string(uri.port);
  return remote;
}

Result<core::Nanos> call_timeout(const Arguments& global) {
  auto parsed = parse_duration(global.text("timeout"));
  if (!parsed) return std::unexpected(std::move(parsed).error().within("--timeout"));
  return *parsed;
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
