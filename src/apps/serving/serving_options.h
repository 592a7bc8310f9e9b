// Why this file exists: the options that every server program of ours has, for the tables of
// io_engine/options.cc and gateway/options.cc: certificates, HTTP, who may call, the log.
// The columns are those of OptionSpec.
#pragma once

#include <array>

#include "apps/serving/options.h"

namespace capstan::apps {

namespace serving_options {
using enum OptionType;
using enum OptionUse;

inline constexpr OptionSpec kTls[] = {
    {"tls-cert", "--tls-cert", "CAPSTAN_TLS_CERT", kPath, "FILE", "", 0, 0, kActs, true,
     "Certificate of the TCP port with its chain (PEM): it then speaks TLS only. SIGHUP reads "
     "this file and those of the next two options again"},
    {"tls-key", "--tls-key", "CAPSTAN_TLS_KEY", kPath, "FILE", "", 0, 0, kActs, true,
     "Key of that certificate (PEM)"},
    {"tls-client-ca", "--tls-client-ca", "CAPSTAN_TLS_CLIENT_CA", kPath, "FILE", "", 0, 0, kActs,
     true, "Only clients with a certificate of one of these authorities (PEM) may connect"},
};

inline constexpr OptionSpec kHttp[] = {
    {"cors-origin", "--cors-origin", "CAPSTAN_CORS_ORIGIN", kList, "ORIGIN", "", 0, 0, kActs, true,
     "Origin of web pages that may call the node over HTTP, as in https://console.example; * "
     "allows any; repeatable"},
    {"cors-header", "--cors-header", "CAPSTAN_CORS_HEADER", kList, "NAME", "", 0, 0, kActs, true,
     "Header that such pages may send, beside Content-Type; repeatable"},
    {"cors-any-host", "--cors-any-host", "CAPSTAN_CORS_ANY_HOST", kSwitch, "", "", 0, 0, kActs,
     true,
     "With --cors-origin: also serves requests whose Host header is no such origin, as Octez's "
     "nodes do not"},
    {"media-type", "--media-type", "CAPSTAN_MEDIA_TYPE", kText, "TYPE", "any", 0, 0, kActs, true,
     "Media types over HTTP: any, json (and BSON) or binary; the first is that of requests which "
     "name none"},
    {"rest-max-connections", "--rest-max-connections", "CAPSTAN_REST_MAX_CONNECTIONS", kText, "N",
     "100", 0, 0, kActs, true,
     "HTTP connections per address, or unlimited; further ones wait until one ends"},
    {"rest-max-body", "--rest-max-body", "CAPSTAN_REST_MAX_BODY", kMebibytes, "SIZE", "64", 1, 512,
     kActs, true,
     "Largest body of one HTTP request, in MiB or with a unit; bytes that are streamed into a "
     "store have no limit"},
    {"rest-max-line", "--rest-max-line", "CAPSTAN_REST_MAX_LINE", kInteger, "BYTES", "8192", 512,
     65'536, kActs, true, "Longest first line of an HTTP/1.1 request"},
    {"rest-max-head", "--rest-max-head", "CAPSTAN_REST_MAX_HEAD", kInteger, "BYTES", "65536", 1024,
     1'048'576, kActs, true, "Largest head of an HTTP/1.1 request, its first line included"},
    {"rest-head-timeout", "--rest-head-timeout", "CAPSTAN_REST_HEAD_TIMEOUT", kDuration, "DURATION",
     "30s", 100, 3'600'000, kActs, true,
     "Longest time for the head of an HTTP/1.1 request, from its first byte"},
    {"rest-idle-timeout", "--rest-idle-timeout", "CAPSTAN_REST_IDLE_TIMEOUT", kDuration, "DURATION",
     "120s", 100, 86'400'000, kActs, true,
     "Longest time that an HTTP/1.1 connection stays open without a request"},
    {"rest-keep-after-chunks", "--rest-keep-after-chunks", "CAPSTAN_REST_KEEP_AFTER_CHUNKS",
     kSwitch, "", "", 0, 0, kActs, true,
     "HTTP/1.1 connections stay open after a large value in chunks, too, which Octez's nodes end"},
    {"metrics-addr", "--metrics-addr", "CAPSTAN_METRICS_ADDR", kList, "ADDR[:PORT]", "", 0, 0,
     kActs, true,
     "Address that serves GET /metrics for Prometheus and nothing else, to whoever connects; port "
     "9932 when none is given; repeatable"},
    {"http-metrics", "--http-metrics", "CAPSTAN_HTTP_METRICS", kSwitch, "", "", 0, 0, kActs, true,
     "Serves /metrics on --http-listen addresses, too, under their access list"},
    {"acl-late", "--acl-late", "CAPSTAN_ACL_LATE", kSwitch, "", "", 0, 0, kActs, true,
     "Over HTTP the access list is asked after path, media types and query, as in Octez; else "
     "before them, so that who is denied learns nothing"},
    {"enable-http-cache-headers", "--enable-http-cache-headers", "CAPSTAN_HTTP_CACHE_HEADERS",
     kSwitch, "", "", 0, 0, kActs, true,
     "Answers to GET carry an ETag, and If-None-Match is answered 304 while nothing changed"},
    {"ws-origin", "--ws-origin", "CAPSTAN_WS_ORIGIN", kList, "ORIGIN", "", 0, 0, kActs, true,
     "Origin of web pages that may open a WebSocket, as in https://console.example, beside those "
     "of the node's own host and of loopback addresses; * allows any; repeatable"},
};

inline constexpr OptionSpec kGate[] = {
    {"access", "--access", "CAPSTAN_ACCESS", kList, "RULE", "", 0, 0, kActs, true,
     "Who may call what: uid:N, gid:N, tls:SUBJECT (as in tls:CN=node-1), jwt:SUBJECT, tls, jwt, "
     "unix, tcp or any, then '=', then all, none or some of "
     "read, monitor, write, data, admin joined by '+'. The first rule that names the caller "
     "decides, with rules but none for the caller it may nothing; without rules everybody may "
     "everything"},
    {"acl", "--acl", "CAPSTAN_ACL", kPath, "FILE", "", 0, 0, kActs, true,
     "Access list by listening address (JSON): {\"acl\": [{\"address\": \"10.0.0.1:8080\", "
     "\"whitelist\": [\"GET /pools/**\"]}]}, or a blacklist. Holds for every wire. SIGHUP reads "
     "it again. Addresses that it does not name: see --secure"},
    {"allow-all-rpc", "--allow-all-rpc", "CAPSTAN_ALLOW_ALL_RPC", kList, "ADDR[:PORT]", "", 0, 0,
     kActs, true,
     "Everything is allowed at this listening address (or unix:PATH), whatever --acl and --secure "
     "say; repeatable"},
    {"secure", "--secure", "CAPSTAN_SECURE", kSwitch, "", "false", 0, 0, kActs, true,
     "At every address that --acl does not name, Unix sockets and loopback included, only what "
     "shows the state of the node is allowed, on all wires. Without it that is so for HTTP at "
     "addresses that others can reach"},
    {"jwk", "--jwk", "CAPSTAN_JWK", kPath, "FILE", "", 0, 0, kActs, true,
     "JSON Web Key (or set) that signs the tokens of callers: over TCP without a verified "
     "certificate nobody may call without 'authorization: Bearer TOKEN'. RS256, RS384, RS512, "
     "ES256. SIGHUP reads it again"},
    {"no-auth", "--no-auth", "CAPSTAN_NO_AUTH", kSwitch, "", "false", 0, 0, kActs, true,
     "Ask nobody for a token, which is what happens without --jwk; the two exclude each other"},
    {"rate-limit", "--rate-limit", "CAPSTAN_RATE_LIMIT", kList, "CLASS=RATE[/BURST]", "", 0, 0,
     kActs, true,
     "Calls of an access class (read, monitor, write, data, admin) in a second, by all clients "
     "together, and how many may come at once after a pause; repeatable"},
    {"rate-limit-client", "--rate-limit-client", "CAPSTAN_RATE_LIMIT_CLIENT", kText, "RATE[/BURST]",
     "", 0, 0, kActs, true,
     "Calls of one client in a second. A client is the subject of its token or certificate, the "
     "user of a Unix socket, or an IP address"},
    {"rate-limit-spare-admin", "--rate-limit-spare-admin", "CAPSTAN_RATE_LIMIT_SPARE_ADMIN",
     kSwitch, "", "false", 0, 0, kActs, true,
     "No rate limit for root and the node's own user on Unix sockets"},
    {"max-streams", "--max-streams", "CAPSTAN_MAX_STREAMS", kInteger, "COUNT", "1000", 1, 1'000'000,
     kActs, true,
     "Endless answers and streams at a time, of all clients; further ones are refused. A node does "
     "not count what comes from its gateways"},
    {"otlp-endpoint", "--otlp-endpoint", "CAPSTAN_OTLP_ENDPOINT", kText, "URL", "", 0, 0, kActs,
     true,
     "Collector that gets a span of every sampled call, OTLP/JSON over HTTP: "
     "http://HOST:4318/v1/traces"},
    {"trace-sample", "--trace-sample", "CAPSTAN_TRACE_SAMPLE", kText, "RATIO", "1", 0, 0, kActs,
     true,
     "Share of calls without a traceparent that are sampled, from 0 to 1; with one its flag "
     "decides"},
};

inline constexpr OptionSpec kLog[] = {
    {"log-format", "-F", "", kText, "FORMAT", "default", 0, 0, kActs, true,
     "Log style (default, compact, json) and options ([no]color, [no]date, [no]host), "
     "comma-separated"},
    {"log-components", "-L", "", kList, "COMPONENT", "", 0, 0, kActs, true,
     "Log everything; may be given several times"},
    {"log-level", "", "RUST_LOG", kText, "LEVEL", "", 0, 0, kActs, true,
     "Log level: error, warn, info, debug, trace; wins over -L"},
};

}  // namespace serving_options

// Tables one behind the other.
template <std::size_t... Sizes>
constexpr auto joined_options(const OptionSpec (&... tables)[Sizes]) {
  std::array<OptionSpec, (Sizes + ...)> all{};
  std::size_t next = 0;
  const auto add = [&](const auto& table) {
    for (const OptionSpec& option : table) all[next++] = option;
  };
  (add(tables), ...);
  return all;
}

}  // namespace capstan::apps
