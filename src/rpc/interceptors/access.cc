// Why this file exists: rules and the decision behind rpc/interceptors/access.h.
#include "rpc/interceptors/access.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "rpc/second_names.h"

namespace capstan::rpc {
namespace {

constexpr std::array kClasses = {Access::kRead, Access::kMonitor, Access::kWrite, Access::kData,
                                 Access::kAdmin};

std::uint8_t bit(Access access) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(access));
}

std::unexpected<Error> bad_rule(std::string_view text, std::string_view why) {
  return fail(Code::kInvalidArgument,
              "access rule '" + std::string(text) + "': " + std::string(why));
}

bool parse_number(std::string_view text, std::uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

Result<std::uint8_t> parse_classes(std::string_view rule, std::string_view text) {
  if (text == "none") return std::uint8_t{0};
  std::uint8_t classes = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t plus = std::min(text.find('+', at), text.size());
    const std::string_view name = text.substr(at, plus - at);
    const std::uint8_t before = classes;
    for (const Access access : kClasses) {
      if (name == "all" || name == access_name(access)) classes |= bit(access);
    }
    if (name.empty() || (classes == before && name != "all")) {
      const bool twice =
          !name.empty() && std::ranges::find(kClasses, name, access_name) != kClasses.end();
      return bad_rule(rule, twice ? "class '" + std::string(name) + "' stands there twice"
                                  : "'" + std::string(name) +
                                        "' is no class; write all, none, or some of read, "
                                        "monitor, write, data, admin joined by '+'");
    }
    at = plus + 1;
  }
  return classes;
}

// Who the caller is, in the words of a rule.
std::string subject_of(const core::PeerInfo& peer) {
  if (peer.uid) return "uid:" + std::to_string(*peer.uid);
  if (!peer.jwt_subject.empty()) return "jwt:" + peer.jwt_subject;
  if (!peer.tls_subject.empty()) return "tls:" + peer.tls_subject;
  return peer.address.starts_with("unix:") ? "unix" : "tcp";
}

struct Kind {
  std::string_view text;
  AccessRule::Subject subject;
};
constexpr Kind kPlain[] = {{"any", AccessRule::Subject::kAny},
                           {"unix", AccessRule::Subject::kUnix},
                           {"tcp", AccessRule::Subject::kTcp},
                           {"tls", AccessRule::Subject::kTls},
                           {"jwt", AccessRule::Subject::kJwt}};
constexpr Kind kNumbered[] = {{"uid:", AccessRule::Subject::kUid},
                              {"gid:", AccessRule::Subject::kGid}};
constexpr Kind kNamed[] = {{"tls:", AccessRule::Subject::kTls},
                           {"jwt:", AccessRule::Subject::kJwt}};

bool begins_rule(std::string_view text) {
  const auto begins = [&](const Kind& kind) { return text.starts_with(kind.text); };
  const auto equals = [&](const Kind& kind) {
    return text.starts_with(kind.text) && text.substr(kind.text.size()).starts_with('=');
  };
  return std::ranges::any_of(kNumbered, begins) || std::ranges::any_of(kNamed, begins) ||
         std::ranges::any_of(kPlain, equals);
}

// Whether a certificate's subject is `name` or has it as one of its parts.
bool has_part(std::string_view subject, std::string_view name) {
  if (subject == name) return true;
  for (std::size_t start = 0, at = 0; at <= subject.size(); ++at) {
    if (at < subject.size() && subject[at] == '\\') {
      ++at;  // an escaped character, which may be a comma
    } else if (at == subject.size() || subject[at] == ',' || subject[at] == '+') {
      if (subject.substr(start, at - start) == name) return true;
      start = at + 1;
    }
  }
  return false;
}

Result<void> read_subject(std::string_view text, std::string_view who, AccessRule& rule) {
  for (const Kind& kind : kPlain) {
    if (who != kind.text) continue;
    rule.subject = kind.subject;
    return {};
  }
  for (const Kind& kind : kNumbered) {
    if (!who.starts_with(kind.text)) continue;
    rule.subject = kind.subject;
    if (parse_number(who.substr(kind.text.size()), rule.id)) return {};
    return bad_rule(text, "'" + std::string(who.substr(kind.text.size())) + "' is no numeric id");
  }
  for (const Kind& kind : kNamed) {
    if (!who.starts_with(kind.text)) continue;
    rule.subject = kind.subject;
    rule.name = who.substr(kind.text.size());
    if (!rule.name.empty()) return {};
    return bad_rule(text, "the name after '" + std::string(kind.text) + "' is missing");
  }
  return bad_rule(text, "'" + std::string(who) +
                            "' names nobody; write uid:N, gid:N, tls:SUBJECT, jwt:SUBJECT, tls, "
                            "jwt, unix, tcp or any");
}

}  // namespace

Result<AccessRule> AccessRule::parse(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos) {
    return bad_rule(text, "there is no '='; write SUBJECT=CLASSES, as in uid:1000=read+monitor");
  }
  AccessRule rule;
  TRY(read_subject(text, text.substr(0, equals), rule));
  TRY_SET(rule.classes, parse_classes(text, text.substr(equals + 1)));
  return rule;
}

Result<std::vector<AccessRule>> AccessRule::parse_list(std::string_view text) {
  std::vector<AccessRule> rules;
  for (std::size_t start = 0;;) {
    std::size_t comma = text.find(',', start);
    // A name may have commas within, before its '=CLASSES'.
    const bool named =
        text.substr(start).starts_with("tls:") || text.substr(start).starts_with("jwt:");
    while (named && comma != std::string_view::npos && !begins_rule(text.substr(comma + 1))) {
      comma = text.find(',', comma + 1);
    }
    TRY_SET(AccessRule rule, parse(text.substr(start, comma - start)));
    rules.push_back(std::move(rule));
    if (comma == std::string_view::npos) return rules;
    start = comma + 1;
  }
}

bool AccessRule::names(const core::PeerInfo& peer) const {
  const bool unix_socket = peer.uid.has_value() || peer.address.starts_with("unix:");
  switch (subject) {
    case Subject::kUid: return peer.uid == id;
    case Subject::kGid: return peer.gid == id;
    case Subject::kTls: {
      return !peer.tls_subject.empty() && (name.empty() || has_part(peer.tls_subject, name));
    }
    case Subject::kJwt: {
      return !peer.jwt_subject.empty() && (name.empty() || peer.jwt_subject == name);
    }
    case Subject::kUnix: return unix_socket;
    case Subject::kTcp: return !unix_socket;
    case Subject::kAny: return true;
  }
  return false;
}

bool AccessInterceptor::allowed(const Call& call) const {
  // Whoever opened an address for metrics means everybody there; the list lets nothing else
  // through.
  if (acl_ && acl_->is_metrics_listener(call.peer.listener)) return true;
  for (const AccessRule& rule : rules_) {
    if (rule.names(call.peer)) return rule.allows(call.operation->access);
  }
  return rules_.empty();
}

namespace {

std::unexpected<Error> denied(const Call& call) {
  const std::string who = subject_of(call.peer);
  const std::string name(access_name(call.operation->access));
  return fail(Code::kPermissionDenied, "the access rules let " + who + " make no call of class '" +
                                           name + "', which " + call.operation->full_name() +
                                           " is; a rule '" + who + "=" + name +
                                           "' before the others would allow it");
}

// What the list knows the operation by: its own path, and a native one if it is a second name.
std::string paths_of(const Operation& operation) {
  std::string text = acl_name(operation);
  const auto native = native_paths(operation.method());
  if (native && *native && !(*native)->empty()) text += " and " + (*native)->front().text();
  return text;
}

std::unexpected<Error> not_listed(const Call& call) {
  const std::string& listener = call.peer.listener;
  return fail(Code::kPermissionDenied,
              "the access list of " + (listener.empty() ? "this node" : listener) +
                  " does not let " + call.operation->full_name() + " through, which stands for " +
                  paths_of(*call.operation) +
                  "; an entry of --acl for this address, or --allow-all-rpc, would allow it");
}

core::Task<Result<void>> answer(Error error) {
  co_return std::unexpected(std::move(error));
}

}  // namespace

Result<void> AccessInterceptor::check(const Call& call,
                                      const google::protobuf::Message* request) const {
  if (acl_ && acl_->trusted(call.peer.listener)) return {};
  if (!allowed(call)) return denied(call);
  if (acl_ && !acl_->allows(call, request)) return not_listed(call);
  return {};
}

core::Task<Result<void>> AccessInterceptor::around(Call& call, Next& next) {
  if (auto may = check(call, next.request()); !may) return answer(std::move(may).error());
  return next.run(call);
}

}  // namespace capstan::rpc
