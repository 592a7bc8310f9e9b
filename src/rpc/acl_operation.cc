// Why this file exists: see acl_operation.h. Paths are built from bindings by reflection; what the
// list says without looking at a request is remembered for each operation.
#include "rpc/acl_operation.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "rpc/field_text.h"
#include "rpc/operation.h"
#include "rpc/second_names.h"

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

// The type of arguments that name a device.
constexpr std::string_view kDeviceArgument = "bdev";

bool decided_alike(const pb::Message& request, const HttpFixedField& fixed) {
  const pb::Message* in = field_holder(request, fixed.field);
  if (!in) return false;
  const auto& field = *fixed.field.back();
  if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
    const auto* value = in->GetReflection()->GetEnum(*in, &field);
    return value->name() == fixed.value || std::to_string(value->number()) == fixed.value;
  }
  return value_text(*in, field, -1) == fixed.value;
}

// The path that a request has by this binding; nothing when it cannot be asked for by it. Without a
// request: whatever paths it may have. What the metadata names is taken from `call`, where there is
// one: a whitelist may believe it, since the handler refuses an object that is not below it.
std::optional<Place> place_of(const HttpBinding& binding, const pb::Message* request,
                              const Call* call = nullptr) {
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
      const pb::Message* in = field_holder(*request, step.field);
      const int size = in ? in->GetReflection()->FieldSize(*in, step.field.back()) : 0;
      for (int i = 0; i < size; ++i) {
        place.path.steps.emplace_back(value_text(*in, *step.field.back(), i));
      }
    } else if (step.field.empty()) {
      const auto named = call ? call->metadata.get(step.metadata) : std::string_view();
      if (named.empty()) return std::nullopt;  // nobody says what stands there
      place.path.steps.emplace_back(std::string(named));
    } else {
      auto text = field_text(*request, step.field);
      if (!text) return std::nullopt;
      // A URI is another name of a device: it could be any.
      if (step.name == kDeviceArgument && text->find(":/") != std::string::npos) text.reset();
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
bool any_place(const Operation& operation, const pb::Message* request, const Call* call, Ask ask) {
  if (operation.http.empty()) return ask(nameless_place(operation));
  return std::ranges::any_of(operation.http, [&](const HttpBinding& binding) {
    const auto place = place_of(binding, request, call);
    return place && ask(*place);
  });
}

// The native path that a request of a second name would have; nothing when it does not hold for
// this request. What is not known could be any one step.
std::optional<Place> native_place(const HttpBinding& native, const pb::Message* request) {
  Place place{native.method, {}};
  if (request) {
    for (const auto& fixed : native.set) {
      if (!decided_alike(*request, fixed)) return std::nullopt;
    }
  }
  for (const auto& step : native.steps) {
    if (step.kind != HttpStep::Kind::kLiteral) {
      place.path.steps.push_back(request ? field_text(*request, step.field) : std::nullopt);
    } else if (step.name == kAnyStep) {
      place.path.steps.emplace_back();
    } else {
      place.path.steps.emplace_back(step.name);
    }
  }
  return place;
}

// Whether `ask` says yes to all the native paths that the request stands for.
template <class Ask>
bool all_native(const std::vector<HttpBinding>& natives, const pb::Message* request, Ask ask) {
  return std::ranges::all_of(natives, [&](const HttpBinding& native) {
    const auto place = native_place(native, request);
    return !place || ask(*place);
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

const Acl::Known& Acl::known_of(Policy& of, const Operation& operation) {
  if (const auto found = of.verdicts.find(&operation); found != of.verdicts.end()) {
    return found->second;
  }
  const AclPolicy& policy = of.policy;
  Known known;
  if (policy.kind == AclPolicy::Kind::kAllowAll) {
    auto native = native_paths(operation.method());
    CAPSTAN_ASSERT(native);  // all entries are read in a test
    if (*native) known.native = **std::move(native);
  }
  const auto surely = [&](const Place& place) {
    return policy.surely_allows(place.method, place.path);
  };
  const auto perhaps = [&](const Place& place) {
    return policy.may_allow(place.method, place.path);
  };
  // Of a native path that holds for some requests only, nothing is sure before one is at hand.
  const bool some = std::ranges::any_of(known.native, [](const auto& n) { return !n.set.empty(); });
  if (surely_allows(policy, operation) && all_native(known.native, nullptr, surely)) {
    known.verdict = Verdict::kAllowed;
  } else if (any_place(operation, nullptr, nullptr, perhaps) &&
             (some || all_native(known.native, nullptr, perhaps))) {
    known.verdict = Verdict::kDepends;
  } else {
    known.verdict = Verdict::kRefused;
  }
  return of.verdicts.emplace(&operation, std::move(known)).first->second;
}

bool Acl::allows(const Call& call, const pb::Message* request) const {
  Policy& of = policy_of(call);
  const AclPolicy& policy = of.policy;
  if (policy.except.empty()) return policy.kind == AclPolicy::Kind::kAllowAll;
  const bool whitelist = policy.kind == AclPolicy::Kind::kDenyAll;
  if (whitelist && call.operation == documents_ && call.wire == kHttpWire) return true;
  const Known& known = known_of(of, *call.operation);
  if (known.verdict != Verdict::kDepends) return known.verdict == Verdict::kAllowed;
  const auto surely = [&](const Place& place) {
    return policy.surely_allows(place.method, place.path);
  };
  if (!all_native(known.native, request, surely)) return false;
  // A stream over HTTP was asked about by its path already.
  if (!request) return call.wire == kHttpWire;
  return any_place(*call.operation, request, whitelist ? &call : nullptr, surely);
}

std::string acl_name(const Operation& operation) {
  if (operation.http.empty()) return "POST /rpc/" + operation.full_name();
  return operation.http.front().method + " " + operation.http.front().pattern();
}

}  // namespace capstan::rpc
