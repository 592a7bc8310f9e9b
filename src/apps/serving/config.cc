// Why this file exists: see config.h: the parts that are neither HTTP's (config_http.cc) nor about
// who may call (config_gate.cc).
#include "apps/serving/config.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "wire/websocket/websocket_handshake.h"

namespace capstan::apps {
namespace {

Result<std::string> read_pem(const Surroundings& surroundings, const Settings& settings,
                             std::string_view name) {
  if (!settings.given(name)) return std::string();
  auto text = surroundings.read_file(settings.text(name));
  return named(std::move(text), "--" + std::string(name), settings.at(name));
}

Result<void> read_tls(const Surroundings& surroundings, const Settings& settings,
                      ServingConfig& config) {
  if (settings.given("tls-cert") != settings.given("tls-key")) {
    return fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together. Give both");
  }
  if (!settings.given("tls-cert")) {
    if (!settings.given("tls-client-ca")) return {};
    return fail(Code::kInvalidArgument,
                "--tls-client-ca needs an encrypted server. Give --tls-cert and --tls-key too");
  }
  config.tls_files = {settings.text("tls-cert"), settings.text("tls-key"),
                      settings.given("tls-client-ca") ? settings.text("tls-client-ca") : ""};
  wire::TlsServerConfig tls;
  tls.http1 = true;  // WebSockets come to the same port
  TRY_SET(tls.certificate_pem, read_pem(surroundings, settings, "tls-cert"));
  TRY_SET(tls.private_key_pem, read_pem(surroundings, settings, "tls-key"));
  TRY_SET(tls.client_ca_pem, read_pem(surroundings, settings, "tls-client-ca"));
  // An empty file must not turn the check of clients off.
  if (settings.given("tls-client-ca") && tls.client_ca_pem.empty()) {
    return fail(Code::kInvalidArgument,
                "option --tls-client-ca: '" + settings.text("tls-client-ca") + "' is empty");
  }
  auto context = wire::TlsContext::server(tls);
  if (!context) {
    return std::unexpected(
        std::move(context).error().within("options --tls-cert, --tls-key and --tls-client-ca"));
  }
  config.tls = *std::move(context);
  return {};
}

Result<void> read_access(const Settings& settings, ServingConfig& config) {
  const Setting& setting = settings.at("access");
  if (setting.values.empty()) return {};
  // Rules joined by commas, as the variable has them.
  TRY_SET(config.access, named(rpc::AccessRule::parse_list(setting.text()), "--access", setting));
  return {};
}

Result<void> read_origins(const Settings& settings, ServingConfig& config) {
  const Setting& origins = settings.at("ws-origin");
  const std::string listed = origins.text();  // joined by commas, as the variable has them
  for (std::string_view rest = listed; !rest.empty();) {
    const std::string_view origin = rest.substr(0, rest.find(','));
    TRY(named(wire::websocket_check_origin(origin), "--ws-origin", origins));
    config.ws_origins.emplace_back(origin);
    rest.remove_prefix(std::min(rest.size(), origin.size() + 1));
  }
  return {};
}

// RUST_LOG is a list of "level" and "module=level"; the last bare level counts here.
Result<void> read_log(const Settings& settings, ServingConfig& config) {
  TRY_SET(config.log_format,
          named(parse_log_format(settings.text("log-format")), "-F", settings.at("log-format")));
  if (settings.given("log-components")) config.log_level = core::LogLevel::kTrace;
  std::string_view rest;
  const std::string text = settings.text("log-level");
  for (rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    std::string word(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
    if (word == "trace")
      config.log_level = core::LogLevel::kTrace;
    else if (word == "debug")
      config.log_level = core::LogLevel::kDebug;
    else if (word == "info")
      config.log_level = core::LogLevel::kInfo;
    else if (word == "warn")
      config.log_level = core::LogLevel::kWarn;
    else if (word == "error" || word == "off")
      config.log_level = core::LogLevel::kError;
    else if (word.find('=') == std::string::npos) {
      config.warnings.push_back("RUST_LOG: '" + word + "' is no log level and is ignored");
    }
  }
  return {};
}

}  // namespace

Result<std::vector<core::Address>> read_listen_list(const Settings& settings,
                                                    const Surroundings& surroundings,
                                                    std::string_view option) {
  const std::string flag = "--" + std::string(option);
  std::vector<core::Address> addresses;
  std::set<std::string> known;
  for (const std::string& text : settings.at(option).parts()) {  // also those of a variable
    TRY_SET(auto meant,
            named(parse_http_addresses(text, surroundings.resolve), flag, settings.at(option)));
    for (core::Address& address : meant) {
      const bool any_port = address.kind == core::Address::Kind::kTcp && address.port == 0;
      if (!any_port && !known.insert(address.text()).second) {
        return fail(Code::kInvalidArgument,
                    "option " + flag + ": '" + address.text() + "' is given twice. Leave one out");
      }
      addresses.push_back(std::move(address));
    }
  }
  return addresses;
}

core::Task<Result<wire::TlsServerConfig>> read_certificates(core::FileSystem& files,
                                                            TlsFiles names) {
  constexpr std::size_t kPemBytesMax = 1U << 20;
  wire::TlsServerConfig tls;
  tls.http1 = true;
  CO_TRY_SET(tls.certificate_pem, co_await files.read_file(names.certificate, kPemBytesMax));
  CO_TRY_SET(tls.private_key_pem, co_await files.read_file(names.key, kPemBytesMax));
  if (names.client_ca.empty()) co_return tls;
  CO_TRY_SET(tls.client_ca_pem, co_await files.read_file(names.client_ca, kPemBytesMax));
  // An empty file must not turn the check of clients off.
  if (tls.client_ca_pem.empty()) {
    co_return fail(Code::kInvalidArgument, "'" + names.client_ca + "' is empty");
  }
  co_return tls;
}

Result<void> read_serving(const Settings& settings, const Surroundings& surroundings,
                          ServingConfig& config) {
  TRY_SET(config.http, read_http(settings));
  TRY(read_origins(settings, config));
  TRY(read_access(settings, config));
  TRY_SET(config.gate, read_gate(settings, surroundings, config.warnings, config.alarms));
  TRY(read_log(settings, config));
  return read_tls(surroundings, settings, config);
}

}  // namespace capstan::apps
