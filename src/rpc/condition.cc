// Why this file exists: see condition.h. A tag is of one media type, and the handler does not know
// in which one the client read: any of them shows that it knows the object as it is.
#include "rpc/condition.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "rpc/etag.h"

namespace capstan::rpc {

namespace {

using Tags = std::array<std::string, 3>;

std::unexpected<Error> not_met(std::string message) {
  auto details = std::make_shared<ErrorDetails>();
  details->reason = kConditionReason;
  return std::unexpected(
      Error{Code::kFailedPrecondition, 0, std::move(message), {}, std::move(details)});
}

bool is_condition(std::string_view name) {
  return name == kIfMatch || name == kIfNoneMatch;
}

bool listed(std::string_view header, const Tags& tags, Weak weak) {
  return std::ranges::any_of(
      tags, [&](const std::string& tag) { return etag_listed(header, tag, weak); });
}

std::unexpected<Error> not_as_known(bool there) {
  return not_met(there ? "the object is not as if-match says: it has changed; read it again"
                       : "if-match wants an object that is there, and there is none");
}

}  // namespace

bool is_conditional(const Call& call) {
  return std::ranges::any_of(call.metadata.request,
                             [](const auto& entry) { return is_condition(entry.first); });
}

Condition::Condition(const Call& call) {
  for (const auto& [name, value] : call.metadata.request) {
    if (is_condition(name)) wanted_.emplace_back(name, value);
  }
}

Result<void> check_condition(const Call& call, const google::protobuf::Message* current,
                             std::string_view shape) {
  return Condition(call).check(current, shape);
}

Result<void> Condition::check(const google::protobuf::Message* current,
                              std::string_view shape) const {
  if (!given()) return {};
  Tags tags;
  if (current) {
    tags = {etag_of(*current, Media::kJson, shape), etag_of(*current, Media::kBson, shape),
            etag_of(*current, Media::kBinary, shape)};
  }
  bool wanted = false, met = false;
  for (const auto& [name, value] : wanted_) {
    if (name == kIfMatch) {
      wanted = true;
      met = met || (current && listed(value, tags, Weak::kNamesNothing));
    }
    if (name == kIfNoneMatch && current && listed(value, tags, Weak::kCounts)) {
      return not_met("if-none-match names what is there: the object exists already");
    }
  }
  if (wanted && !met) return not_as_known(current != nullptr);
  return {};
}

Result<void> check_read_condition(const Call& call, std::string_view tag) {
  bool wanted = false, met = false;
  for (const auto& [name, value] : call.metadata.request) {
    if (name != kIfMatch) continue;
    wanted = true;
    met = met || etag_listed(value, tag, Weak::kNamesNothing);
  }
  if (wanted && !met) return not_as_known(true);
  return {};
}

Conditions::Conditions(const std::vector<const Operation*>& operations) {
  for (const Operation* operation : operations) {
    if (operation->kind != Kind::kUnary) continue;
    for (const auto& binding : operation->http) {
      if (binding.method == "GET" && binding.answer != HttpAnswer::kRaw) {
        objects_.insert(binding.pattern());
      }
    }
  }
}

bool Conditions::taken_by(const Operation& operation, const HttpBinding& binding) const {
  const std::string& method = binding.method;
  if (operation.kind != Kind::kUnary) return false;
  if (method != "PUT" && method != "PATCH" && method != "DELETE") return false;
  std::string pattern = binding.pattern();
  if (objects_.contains(pattern)) return true;
  if (binding.steps.empty() || binding.steps.back().kind != HttpStep::Kind::kLiteral) return false;
  pattern.resize(pattern.rfind('/'));
  return objects_.contains(pattern);
}

}  // namespace capstan::rpc
