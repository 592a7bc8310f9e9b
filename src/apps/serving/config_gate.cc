// Why this file exists: see config_gate.h.
#include "apps/serving/config_gate.h"

#include <unistd.h>

#include <charconv>

#include "apps/serving/config.h"

namespace capstan::apps {
namespace {

template <class T>
Result<T> of_option(Result<T> result, std::string_view option) {
  if (result) return result;
  return std::unexpected(std::move(result).error().within("option " + std::string(option)));
}

rpc::AclTable::Resolver remembering(const Surroundings& surroundings, GateConfig& gate) {
  return [&surroundings, &gate](const std::string& host) -> Result<std::vector<std::string>> {
    if (!surroundings.resolve) return fail(Code::kUnavailable, "names are not resolved here");
    TRY_SET(auto addresses, surroundings.resolve(host));
    return gate.names[host] = std::move(addresses);
  };
}

Result<void> read_acl(const Settings& settings, const Surroundings& surroundings,
                      GateConfig& gate) {
  gate.acl.secure = settings.on("secure");
  gate.allow_all = settings.at("allow-all-rpc").parts();
  std::string text = "[]";
  if (settings.given("acl")) {
    gate.acl_file = settings.text("acl");
    TRY_SET(text, of_option(surroundings.read_file(gate.acl_file), "--acl"));
  }
  const std::string_view option = gate.acl_file.empty() ? "--allow-all-rpc" : "--acl";
  TRY_SET(gate.acl.table,
          of_option(make_acl(text, gate.allow_all, remembering(surroundings, gate)), option));
  return {};
}

Result<void> read_keys(const Settings& settings, const Surroundings& surroundings,
                       GateConfig& gate) {
  if (!settings.given("jwk")) return {};
  if (settings.on("no-auth")) {
    return fail(Code::kInvalidArgument, "--jwk asks for tokens and --no-auth for none. Give one");
  }
  gate.jwk_file = settings.text("jwk");
  TRY_SET(const std::string text, of_option(surroundings.read_file(gate.jwk_file), "--jwk"));
  TRY_SET(gate.keys, of_option(rpc::JwkSet::parse(text), "--jwk"));
  return {};
}

Result<void> read_rates(const Settings& settings, GateConfig& gate) {
  for (const std::string& text : settings.at("rate-limit").parts()) {
    auto added = of_option(gate.rates.add_class(text), "--rate-limit");
    if (!added) return added;
  }
  if (settings.given("rate-limit-client")) {
    TRY_SET(gate.rates.client,
            of_option(rpc::Rate::parse(settings.text("rate-limit-client")), "--rate-limit-client"));
  }
  gate.rates.spare_local_admin = settings.on("rate-limit-spare-admin");
  gate.rates.own_uid = ::geteuid();
  return {};
}

// A collector that has no address yet must not keep the node from starting.
Result<void> read_trace(const Settings& settings, const Surroundings& surroundings,
                        GateConfig& gate, std::vector<std::string>& warnings) {
  const std::string ratio = settings.text("trace-sample");
  const char* end = ratio.data() + ratio.size();
  const auto read = std::from_chars(ratio.data(), end, gate.trace_ratio, std::chars_format::fixed);
  if (read.ec != std::errc() || read.ptr != end || !(gate.trace_ratio >= 0) ||
      gate.trace_ratio > 1) {
    return fail(Code::kInvalidArgument, "option --trace-sample: '" + ratio +
                                            "' is no share. Give a number from 0 to 1, as in 0.01");
  }
  if (!settings.given("otlp-endpoint")) return {};
  TRY_SET(gate.trace,
          of_option(parse_trace_endpoint(settings.text("otlp-endpoint")), "--otlp-endpoint"));
  std::string& host = gate.trace->address.host;
  if (rpc::ip_bytes(host)) return {};
  Result<std::vector<std::string>> found = fail(Code::kUnavailable, "names are not resolved here");
  if (surroundings.resolve) found = surroundings.resolve(host);
  if (found) {
    host = found->front();
  } else {
    warnings.push_back("no traces are exported: " + found.error().text());
    gate.trace.reset();
  }
  return {};
}

}  // namespace

Result<rpc::AclTable> make_acl(std::string_view text, const std::vector<std::string>& allow_all,
                               const rpc::AclTable::Resolver& resolver) {
  rpc::AclTable wanted;
  TRY_SET(const rpc::AclTable listed, rpc::AclTable::parse(text));
  for (const std::string& address : allow_all) {
    TRY_SET(auto entry, rpc::AclTable::entry_for(address, rpc::AclPolicy::allow_all()));
    wanted.put(std::move(entry));
  }
  // put() would replace what the flags say for the same address.
  for (const auto& entry : listed.entries()) {
    if (!wanted.has(entry)) wanted.put(entry);
  }
  return wanted.resolved(resolver);
}

Result<TraceEndpoint> parse_trace_endpoint(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                            "' is no collector: " + std::string(why) +
                                            ". Write it as in http://127.0.0.1:4318/v1/traces");
  };
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return wrong("only http:// is spoken");
  std::string_view rest = text.substr(kScheme.size());
  if (rest.find_first_of(" \r\n\t#") != std::string_view::npos) return wrong("a space is within");
  const auto slash = std::min(rest.find('/'), rest.size());
  TraceEndpoint endpoint;
  endpoint.path = slash == rest.size() ? "/v1/traces" : std::string(rest.substr(slash));
  endpoint.authority = rest.substr(0, slash);
  auto entry = rpc::AclTable::entry_for(endpoint.authority, {});
  if (!entry || entry->host.starts_with("unix:")) return wrong("the host is not readable");
  endpoint.address = core::Address::tcp(entry->host, entry->port.value_or(4318));
  return endpoint;
}

Result<GateConfig> read_gate(const Settings& settings, const Surroundings& surroundings,
                             std::vector<std::string>& warnings, std::vector<std::string>& alarms) {
  GateConfig gate;
  TRY(read_acl(settings, surroundings, gate));
  TRY(read_keys(settings, surroundings, gate));
  TRY(read_rates(settings, gate));
  gate.streams_max = static_cast<std::size_t>(settings.integer("max-streams"));
  TRY(read_trace(settings, surroundings, gate, warnings));
  for (const std::string& address : gate.allow_all) {
    alarms.push_back("--allow-all-rpc: everything is allowed to whoever reaches " + address);
  }
  return gate;
}

}  // namespace capstan::apps
