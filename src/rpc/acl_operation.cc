// Why this file exists: see acl_operation.h. Paths are built from bindings by reflection; what the
// list says without looking at a request is remembered for each operation.
#include "rpc/acl_operation.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

namespace pb = google::protobuf;

struct Place {
  std::string_view method;
  AclPath path;
};

// Host and port of an Address::text().
std::pair<std::string_view, std::uint16_t> split(std::string_view listener) {
  const auto colon = listener.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string_view::npos) return {listener, port};
  std::from_chars(listener.data() + colon + 1, listener.data() + listener.size(), port);
  std::string_view host = listener.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host, port};
}

std::string value_text(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  const bool list = index >= 0;
  using Type = pb::FieldDescriptor::CppType;
#define CAPSTAN_VALUE(type)                                     \
  (list ? reflection->GetRepeated##type(message, &field, index) \
        : reflection->Get##type(message, &field))
  switch (field.cpp_type()) {
    case Type::CPPTYPE_STRING: return CAPSTAN_VALUE(String);
    case Type::CPPTYPE_INT32: return std::to_string(CAPSTAN_VALUE(Int32));
    case Type::CPPTYPE_INT64: return std::to_string(CAPSTAN_VALUE(Int64));
    case Type::CPPTYPE_UINT32: return std::to_string(CAPSTAN_VALUE(UInt32));
    case Type::CPPTYPE_UINT64: return std::to_string(CAPSTAN_VALUE(UInt64));
    case Type::CPPTYPE_BOOL: return CAPSTAN_VALUE(Bool) ? "true" : "false";
    case Type::CPPTYPE_ENUM: return std::string(CAPSTAN_VALUE(Enum)->name());
    case Type::CPPTYPE_FLOAT: return std::to_string(CAPSTAN_VALUE(Float));
    case Type::CPPTYPE_DOUBLE: return std::to_string(CAPSTAN_VALUE(Double));
    case Type::CPPTYPE_MESSAGE: return {};
  }
#undef CAPSTAN_VALUE
  return {};
}

// The message that holds the last field of `path`; null where one on the way is not set.
const pb::Message* holder(const pb::Message& request, const FieldPath& path) {
  const pb::Message* in = &request;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (!in->GetReflection()->HasField(*in, path[i])) return nullptr;
    in = &in->GetReflection()->GetMessage(*in, path[i]);
  }
  return in;
}

// The text of a single field, wrapped values included; nothing when it is empty or not set: no path
// can carry that.
std::optional<std::string> field_text(const pb::Message& request, const FieldPath& path) {
  const pb::Message* in = holder(request, path);
  if (!in) return std::nullopt;
  const auto* field = path.back();
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
    if (!in->GetReflection()->HasField(*in, field)) return std::nullopt;
    in = &in->GetReflection()->GetMessage(*in, field);
    field = in->GetDescriptor()->FindFieldByName("value");
    if (!field || field->is_repeated()) return std::nullopt;
  }
  auto text = value_text(*in, *field, -1);
  if (text.empty()) return std::nullopt;
  return text;
}

bool decided_alike(const pb::Message& request, const HttpFixedField& fixed) {
  const pb::Message* in = holder(request, fixed.field);
  if (!in) return false;
  const auto& field = *fixed.field.back();
  if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
    const auto* value = in->GetReflection()->GetEnum(*in, &field);
    return value->name() == fixed.value || std::to_string(value->number()) == fixed.value;
  }
  return value_text(*in, field, -1) == fixed.value;
}

// The path that a request has by this binding; nothing when it cannot be asked for by it. Without a
// request: whatever paths it may have.
std::optional<Place> place_of(const HttpBinding& binding, const pb::Message* request) {
  Place place{binding.method, {}};
  if (request) {
    for (const auto& fixed : binding.set) {
      if (!decided_alike(*request, fixed)) return std::nullopt;
    }
  }
  for (const auto& step : binding.steps) {
    if (step.kind == HttpStep::Kind::kLiteral) {
      place.path.steps.emplace_back(step.name);
    } else if (!request) {
      if (step.kind == HttpStep::Kind::kTail) {
        place.path.open = true;
      } else {
        place.path.steps.emplace_back();
      }
    } else if (step.kind == HttpStep::Kind::kTail) {
      const pb::Message* in = holder(*request, step.field);
      const int size = in ? in->GetReflection()->FieldSize(*in, step.field.back()) : 0;
      for (int i = 0; i < size; ++i) {
        place.path.steps.emplace_back(value_text(*in, *step.field.back(), i));
      }
    } else {
      auto text = field_text(*request, step.field);
      if (!text) return std::nullopt;
      place.path.steps.push_back(std::move(text));
    }
  }
  return place;
}

Place nameless_place(const Operation& operation) {
  return {"POST",
          {{std::string("rpc"), std::string(operation.service()), std::string(operation.name())},
           false}};
}

// Whether every request can be asked for by this binding.
bool is_for_all(const HttpBinding& binding) {
  return binding.set.empty() && std::ranges::all_of(binding.steps, [](const HttpStep& step) {
           return step.kind == HttpStep::Kind::kLiteral;
         });
}

// Whether the policy lets every request through: by a binding that is for all of them, or by each
// of those that share them.
bool surely_allows(const AclPolicy& policy, const Operation& operation) {
  const auto allowed = [&](const Place& place) {
    return policy.surely_allows(place.method, place.path);
  };
  if (operation.http.empty()) return allowed(nameless_place(operation));
  bool every = true;
  for (const HttpBinding& binding : operation.http) {
    const bool this_one = allowed(*place_of(binding, nullptr));
    if (this_one && is_for_all(binding)) return true;
    every = every && this_one;
  }
  return every;
}

// Whether `ask` says yes to one of the operation's places.
template <class Ask>
bool any_place(const Operation& operation, const pb::Message* request, Ask ask) {
  if (operation.http.empty()) return ask(nameless_place(operation));
  return std::ranges::any_of(operation.http, [&](const HttpBinding& binding) {
    const auto place = place_of(binding, request);
    return place && ask(*place);
  });
}

}  // namespace

Acl::Acl(AclSettings settings) : settings_(std::move(settings)) {}

void Acl::replace(AclSettings settings) {
  settings_ = std::move(settings);
  listeners_.clear();
}

void Acl::add_metrics_listener(std::string listener) {
  listeners_.erase(listener);
  metrics_.insert(std::move(listener));
}

void Acl::add_trusted_listener(std::string listener) {
  listeners_.erase(listener);
  trusted_.insert(std::move(listener));
}

AclPolicy Acl::default_policy(std::string_view host, bool is_unix, bool http) const {
  if (settings_.secure) return AclPolicy::secure();
  if (!http || is_unix || scope_of(host) == AddressScope::kInterface) return AclPolicy::allow_all();
  return AclPolicy::secure();
}

Acl::Listener& Acl::listener(std::string_view text) const {
  const auto known = listeners_.find(text);
  if (known != listeners_.end()) return *known->second;
  auto made = std::make_unique<Listener>();
  if (trusted(text)) {
    made->http.policy = made->other.policy = AclPolicy::allow_all();
    return *listeners_.emplace(text, std::move(made)).first->second;
  }
  if (metrics_.contains(text)) {
    AclPolicy only{AclPolicy::Kind::kDenyAll, {AclMatcher{"GET", {"metrics"}, false}}};
    made->http.policy = made->other.policy = std::move(only);
    return *listeners_.emplace(text, std::move(made)).first->second;
  }
  // Who has no listener was not accepted from outside.
  const bool is_unix = text.empty() || text.starts_with("unix:");
  const auto [host, port] =
      is_unix ? std::pair<std::string_view, std::uint16_t>(text, 0) : split(text);
  if (const auto* found = settings_.table.find(host, port)) {
    made->http.policy = made->other.policy = *found;
  } else {
    made->http.policy = default_policy(host, is_unix, true);
    made->other.policy = default_policy(host, is_unix, http_.contains(text));
  }
  return *listeners_.emplace(text, std::move(made)).first->second;
}

const AclPolicy& Acl::policy(std::string_view text, std::string_view wire) const {
  Listener& found = listener(text);
  return (is_http(wire) ? found.http : found.other).policy;
}

Acl::Policy& Acl::policy_of(const Call& call) const {
  Listener& found = listener(call.peer.listener);
  return is_http(call.wire) ? found.http : found.other;
}

bool Acl::allows(const Call& call, const pb::Message* request) const {
  Policy& known = policy_of(call);
  const AclPolicy& policy = known.policy;
  if (policy.except.empty()) return policy.kind == AclPolicy::Kind::kAllowAll;
  const Operation& operation = *call.operation;
  auto verdict = known.verdicts.find(&operation);
  if (verdict == known.verdicts.end()) {
    const bool surely = surely_allows(policy, operation);
    const bool perhaps = any_place(operation, nullptr, [&](const Place& place) {
      return policy.may_allow(place.method, place.path);
    });
    verdict = known.verdicts
                  .emplace(&operation, surely    ? Verdict::kAllowed
                                       : perhaps ? Verdict::kDepends
                                                 : Verdict::kRefused)
                  .first;
  }
  if (verdict->second != Verdict::kDepends) return verdict->second == Verdict::kAllowed;
  // A stream over HTTP was asked about by its path already.
  if (!request) return call.wire == kHttpWire;
  return any_place(operation, request, [&](const Place& place) {
    return policy.surely_allows(place.method, place.path);
  });
}

std::string acl_name(const Operation& operation) {
  if (operation.http.empty()) return "POST /rpc/" + operation.full_name();
  return operation.http.front().method + " " + operation.http.front().pattern();
}

}  // namespace capstan::rpc
