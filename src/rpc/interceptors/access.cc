// Why this file exists: rules and the decision behind rpc/interceptors/access.h.
#include "rpc/interceptors/access.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

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
  return peer.address.starts_with("unix:") ? "unix" : "tcp";
}

}  // namespace

Result<AccessRule> AccessRule::parse(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return bad_rule(text, "there is no '='; write SUBJECT=CLASSES, as in uid:1000=read+monitor");
  }
  const std::string_view who = text.substr(0, equals);
  AccessRule rule;
  if (who == "any") {
    rule.subject = Subject::kAny;
  } else if (who == "unix") {
    rule.subject = Subject::kUnix;
  } else if (who == "tcp") {
    rule.subject = Subject::kTcp;
  } else if (who.starts_with("uid:") || who.starts_with("gid:")) {
    rule.subject = who[0] == 'u' ? Subject::kUid : Subject::kGid;
    if (!parse_number(who.substr(4), rule.id)) {
      return bad_rule(text, "'" + std::string(who.substr(4)) + "' is no numeric id");
    }
  } else {
    return bad_rule(
        text, "'" + std::string(who) + "' names nobody; write uid:N, gid:N, unix, tcp or any");
  }
  TRY_SET(rule.classes, parse_classes(text, text.substr(equals + 1)));
  return rule;
}

bool AccessRule::names(const core::PeerInfo& peer) const {
  const bool unix_socket = peer.uid.has_value() || peer.address.starts_with("unix:");
  switch (subject) {
    case Subject::kUid: return peer.uid == id;
    case Subject::kGid: return peer.gid == id;
    case Subject::kUnix: return unix_socket;
    case Subject::kTcp: return !unix_socket;
    case Subject::kAny: return true;
  }
  return false;
}

bool AccessInterceptor::allowed(const Call& call) const {
  for (const AccessRule& rule : rules_) {
    if (rule.names(call.peer)) return rule.allows(call.operation->access);
  }
  return rules_.empty();
}

core::Task<Result<void>> AccessInterceptor::around(Call& call, Next& next) {
  if (!allowed(call)) {
    const std::string who = subject_of(call.peer);
    const std::string name(access_name(call.operation->access));
    co_return fail(Code::kPermissionDenied,
                   "the access rules let " + who + " make no call of class '" + name + "', which " +
                       call.operation->full_name() + " is; a rule '" + who + "=" + name +
                       "' before the others would allow it");
  }
  co_return co_await next.run(call);
}

}  // namespace capstan::rpc
