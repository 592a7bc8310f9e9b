// Why this file exists: matchers and policies of access lists (rpc/acl.h).
#include "rpc/acl.h"

#include <algorithm>
#include <utility>

namespace capstan::rpc {
namespace {

constexpr std::array<std::string_view, 5> kMethods = {"GET", "POST", "DELETE", "PUT", "PATCH"};

bool is_listed_method(std::string_view method) {
  return std::ranges::find(kMethods, method) != kMethods.end();
}

std::unexpected<Error> bad(std::string_view text, std::string_view why) {
  return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                          "' is no access matcher: " + std::string(why) +
                                          ". Write it as in GET /pools/*, or /pools/** for any "
                                          "method and all below");
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Escapes that are none stay as they are.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool room = text[i] == '%' && i + 2 < text.size();
    const int high = room ? hex_digit(text[i + 1]) : -1;
    const int low = room ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

void append_encoded(std::string_view text, std::string& out) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~!$'()+,;:@";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

bool same_method(const std::string& wanted, std::string_view asked) {
  return wanted.empty() ? is_listed_method(asked) : wanted == asked;
}

}  // namespace

Result<AclMatcher> AclMatcher::parse(std::string_view text) {
  AclMatcher made;
  std::string_view rest = text;
  for (const auto method : kMethods) {
    if (!rest.starts_with(method)) continue;
    made.method = method;
    rest.remove_prefix(method.size());
    break;
  }
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (!rest.starts_with('/')) {
    return bad(text,
               "a path, which starts with '/', follows an optional GET, POST, DELETE, PUT "
               "or PATCH");
  }
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const auto chunk = rest.substr(0, rest.find('/'));
    rest.remove_prefix(chunk.size());
    if (chunk.empty()) continue;
    if (made.suffix) return bad(text, "nothing may follow '**'");
    if (chunk == "**") {
      made.suffix = true;
    } else if (chunk == "*") {
      made.chunks.emplace_back();
    } else if (chunk.find_first_of("*?&#=") != std::string_view::npos) {
      return bad(text, "'" + std::string(chunk) +
                           "' has one of * ? & # = within; as a character "
                           "of a name it is written %2A, %3F, %26, %23, %3D");
    } else {
      made.chunks.emplace_back(percent_decoded(chunk));
    }
  }
  return made;
}

std::string AclMatcher::text() const {
  std::string out = method;
  for (const auto& chunk : chunks) {
    out += '/';
    if (chunk) {
      append_encoded(*chunk, out);
    } else {
      out += '*';
    }
  }
  if (chunks.empty()) out += '/';
  if (suffix) out += "/**";
  return out;
}

bool AclMatcher::matches(std::string_view asked, std::span<const std::string> steps) const {
  if (!same_method(method, asked)) return false;
  if (suffix ? steps.size() < chunks.size() : steps.size() != chunks.size()) return false;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (chunks[i] && *chunks[i] != steps[i]) return false;
  }
  return true;
}

bool AclMatcher::covers(std::string_view asked, const AclPath& path) const {
  if (!same_method(method, asked)) return false;
  const std::size_t known = path.steps.size();
  if (suffix ? known < chunks.size() : known != chunks.size() || path.open) return false;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (chunks[i] && path.steps[i] != chunks[i]) return false;
  }
  return true;
}

bool AclMatcher::meets(std::string_view asked, const AclPath& path) const {
  if (!same_method(method, asked)) return false;
  const std::size_t known = path.steps.size();
  if (!path.open && known < chunks.size()) return false;
  if (!suffix && known > chunks.size()) return false;
  for (std::size_t i = 0; i < std::min(known, chunks.size()); ++i) {
    if (chunks[i] && path.steps[i] && path.steps[i] != chunks[i]) return false;
  }
  return true;
}

AclPolicy AclPolicy::secure() {
  // http-rpc section 20.7; then what gRPC clients have in place of /health and /describe.
  static constexpr std::string_view kList[] = {
      "GET /version",
      "GET /health/**",
      "GET /describe/**",
      "GET /errors",
      "GET /openapi",
      "GET /operations",
      "GET /node",
      "GET /pools",
      "GET /pools/**",
      "GET /replicas",
      "GET /replicas/**",
      "GET /nexuses",
      "GET /nexuses/**",
      "GET /snapshots",
      "GET /snapshots/**",
      "GET /clones",
      "GET /stats/**",
      "GET /monitor/bootstrapped",
      "GET /v0/nodes",
      "GET /v0/nodes/*",
      "GET /v0/nodes/*/pools",
      "GET /v0/nodes/*/pools/**",
      "GET /v0/nodes/*/replicas",
      "GET /v0/nodes/*/nexuses",
      "GET /v0/nodes/*/nexuses/**",
      "GET /v0/pools/**",
      "GET /v0/replicas/**",
      "GET /v0/nexuses/**",
      "GET /v0/api/spec",
      "POST /rpc/grpc.health.v1.Health/Check",
      "POST /rpc/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "POST /rpc/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  };
  AclPolicy policy{Kind::kDenyAll, {}};
  for (const auto text : kList) policy.except.push_back(AclMatcher::parse(text).value());
  return policy;
}

bool AclPolicy::allows(std::string_view method, std::span<const std::string> steps) const {
  if (!is_listed_method(method)) return true;
  const bool listed = std::ranges::any_of(
      except, [&](const AclMatcher& matcher) { return matcher.matches(method, steps); });
  return listed == (kind == Kind::kDenyAll);
}

bool AclPolicy::surely_allows(std::string_view method, const AclPath& path) const {
  if (kind == Kind::kDenyAll) {
    return std::ranges::any_of(except, [&](const AclMatcher& m) { return m.covers(method, path); });
  }
  return std::ranges::none_of(except, [&](const AclMatcher& m) { return m.meets(method, path); });
}

bool AclPolicy::may_allow(std::string_view method, const AclPath& path) const {
  if (kind == Kind::kDenyAll) {
    return std::ranges::any_of(except, [&](const AclMatcher& m) { return m.meets(method, path); });
  }
  return std::ranges::none_of(except, [&](const AclMatcher& m) { return m.covers(method, path); });
}

std::string_view AclPolicy::type_name() const {
  if (*this == allow_all()) return "AllowAll";
  return *this == secure() ? "Secure" : "Custom";
}

}  // namespace capstan::rpc
