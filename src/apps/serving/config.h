// Why this file exists: what every server program of ours reads from its command line:
// certificates, HTTP, who may call, whose web pages, the log. The storage node adds what it serves
// (io_engine/config.h), the gateway whom it asks (gateway/config.h). All of it is checked before
// anything is opened.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/serving/config_gate.h"
#include "apps/serving/config_http.h"
#include "apps/serving/options.h"
#include "base/result.h"
#include "core/env.h"
#include "core/log.h"
#include "core/os_interfaces.h"
#include "rpc/interceptors/access.h"
#include "wire/tls/tls_engine.h"

namespace capstan::apps {

// What configuration may ask the system for; tests give their own.
struct Surroundings {
  Variables variables;
  std::function<Result<std::string>(const std::string& path)> read_file;
  bool root = false;
  std::function<Result<std::vector<core::InterfaceAddress>>()> interfaces = {};
  // The addresses of a host name; may take its time.
  std::function<Result<std::vector<std::string>>(const std::string& host)> resolve = {};
  std::vector<unsigned> cpus = {};  // that this process may use; empty: not known
};

// Where the certificates of the TCP port are; empty: not given.
struct TlsFiles {
  std::string certificate, key, client_ca;
};

struct ServingConfig {
  std::shared_ptr<const wire::TlsContext> tls;  // of TCP addresses; null: clear text
  TlsFiles tls_files;
  HttpConfig http;
  std::vector<std::string> ws_origins;  // whose web pages may open a WebSocket
  std::vector<rpc::AccessRule> access;  // empty: whoever connects may call what the list allows
  GateConfig gate;
  core::LogFormat log_format;
  core::LogLevel log_level = core::LogLevel::kInfo;
  std::vector<std::string> warnings;  // to be logged once there is a log
  std::vector<std::string> alarms;    // the same, as errors: what lets strangers in
};

// Errors are usage errors: the message names option, value and remedy.
Result<void> read_serving(const Settings& settings, const Surroundings& surroundings,
                          ServingConfig& config);

// What the certificates' files hold, for TlsContext::server() and renew().
core::Task<Result<wire::TlsServerConfig>> read_certificates(core::FileSystem& files,
                                                            TlsFiles names);

// The addresses of a list option, none of them twice; all that a host name stands for.
Result<std::vector<core::Address>> read_listen_list(const Settings& settings,
                                                    const Surroundings& surroundings,
                                                    std::string_view option);

// The single parts.
Result<core::Address> parse_endpoint(std::string_view text, std::uint16_t default_port);
Result<core::Address> parse_http_address(std::string_view text);  // IP:PORT or unix:PATH
// The same, and HOST:PORT with all the addresses that `resolve` knows of it.
Result<std::vector<core::Address>> parse_http_addresses(
    std::string_view text,
    const std::function<Result<std::vector<std::string>>(const std::string&)>& resolve);
Result<core::LogFormat> parse_log_format(std::string_view text);

// "option -m" or "environment variable X" or "<file>, eal_opts.reactor_mask" before a message.
template <class T>
Result<T> named(Result<T> result, std::string_view option, const Setting& setting) {
  if (result) return result;
  std::string from = "option " + std::string(option);
  if (setting.source == Source::kEnvironment) from = "environment variable for " + from;
  if (setting.source == Source::kFile) from = "configuration file, value of " + from;
  return std::unexpected(std::move(result).error().within(std::move(from)));
}

}  // namespace capstan::apps
