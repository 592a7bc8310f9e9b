// Why this file exists: see rate_limit.h.
#include "rpc/interceptors/rate_limit.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "rpc/describe.h"

namespace capstan::rpc {
namespace {

constexpr double kSecondNanos = 1e9;
constexpr core::Nanos kWaitMax = 3600 * core::kSecond;  // said to clients

std::unexpected<Error> bad_rate(std::string_view text) {
  return fail(Code::kInvalidArgument,
              "'" + std::string(text) +
                  "' is no rate. Write calls per second above 0, and perhaps a burst of at least 1 "
                  "after a slash, as in 100 or 100/500");
}

bool read_number(std::string_view text, double& number) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() && number > 0 &&
         number <= 1e9;
}

std::string milliseconds(core::Nanos wait) {
  return std::to_string((wait + core::kMillisecond - 1) / core::kMillisecond) + " ms";
}

core::Task<Result<void>> answer_limited(Call& call, core::Nanos wait, bool by_client) {
  const std::string who =
      by_client ? "this client calls"
                : "calls of class '" + std::string(access_name(call.operation->access)) + "' come";
  co_return fail_until(Code::kResourceExhausted,
                       who + " more often than the node's rate limit allows; repeat " +
                           call.operation->full_name() + " in " + milliseconds(wait),
                       wait);
}

}  // namespace

Result<Rate> Rate::parse(std::string_view text) {
  const auto slash = text.find('/');
  Rate rate;
  if (!read_number(text.substr(0, slash), rate.per_second)) return bad_rate(text);
  rate.burst = std::max(rate.per_second, 1.0);
  if (slash == std::string_view::npos) return rate;
  if (!read_number(text.substr(slash + 1), rate.burst) || rate.burst < 1) return bad_rate(text);
  return rate;
}

bool RateLimits::any() const {
  return client || std::ranges::any_of(classes, [](const auto& rate) { return rate.has_value(); });
}

Result<void> RateLimits::add_class(std::string_view text) {
  const auto equals = text.find('=');
  const auto name = text.substr(0, equals);
  for (const Access access :
       {Access::kRead, Access::kMonitor, Access::kWrite, Access::kData, Access::kAdmin}) {
    if (equals == std::string_view::npos || name != access_name(access)) continue;
    auto& rate = classes[static_cast<std::size_t>(access)];
    if (rate) {
      return fail(Code::kInvalidArgument, "class '" + std::string(name) + "' has two rates");
    }
    TRY_SET(rate, Rate::parse(text.substr(equals + 1)));
    return {};
  }
  return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                          "' is no limit. Write CLASS=RATE[/BURST] with one of the "
                                          "classes read, monitor, write, data, admin");
}

core::Nanos TokenBucket::wait_for(const Rate& rate, double cost, core::Nanos now) {
  if (now > filled_) {
    const double seconds = static_cast<double>(now - filled_) / kSecondNanos;
    tokens_ = std::min(rate.burst, tokens_ + seconds * rate.per_second);
    filled_ = now;
  }
  const double missing = std::min(cost, rate.burst) - tokens_;
  if (missing <= 1e-9) return 0;
  const double wait = std::ceil(missing / rate.per_second * kSecondNanos);
  return wait >= static_cast<double>(kWaitMax) ? kWaitMax : static_cast<core::Nanos>(wait);
}

std::string_view RateLimitInterceptor::client_key(const core::PeerInfo& peer) {
  if (!peer.jwt_subject.empty()) {
    key_.assign("jwt:").append(peer.jwt_subject);
  } else if (!peer.tls_subject.empty()) {
    key_.assign("tls:").append(peer.tls_subject);
  } else if (peer.uid) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *peer.uid).ptr;
    key_.assign("uid:").append(digits.data(), end);
  } else {
    key_.assign(peer.address, 0, peer.address.rfind(':'));
  }
  return key_;
}

RateLimitInterceptor::Refusal RateLimitInterceptor::decide(const Call& call) {
  const auto& peer = call.peer;
  const core::Nanos now = core::Reactor::current()->now();
  const double cost = call.operation->cost;
  const auto index = static_cast<std::size_t>(call.operation->access);
  TokenBucket* of_class = nullptr;
  if (const auto& rate = limits_.classes[index]) {
    auto& bucket = classes_[index];
    if (!bucket) bucket.emplace(*rate, now);
    of_class = &*bucket;
    if (const core::Nanos wait = of_class->wait_for(*rate, cost, now)) return {wait, false};
  }
  if (limits_.client && !(acl_ && acl_->trusted(peer.listener))) {
    const auto key = client_key(peer);
    TokenBucket* bucket = clients_.find(key);
    if (!bucket) bucket = &clients_.put(key, TokenBucket(*limits_.client, now));
    if (const core::Nanos wait = bucket->wait_for(*limits_.client, cost, now)) return {wait, true};
    bucket->take(cost);
  }
  if (of_class) of_class->take(cost);
  return {};
}

core::Task<Result<void>> RateLimitInterceptor::around(Call& call, Next& next) {
  const auto& uid = call.peer.uid;
  const bool admin = uid && (*uid == 0 || *uid == limits_.own_uid);
  if (limits_.spare_local_admin && admin) return next.run(call);
  const Refusal refusal = decide(call);
  if (refusal.wait == 0) return next.run(call);
  ++(refusal.by_client ? refused_by_client_ : refused_by_class_);
  return answer_limited(call, refusal.wait, refusal.by_client);
}

void RateLimitInterceptor::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* by, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, "rate_limited_total",
                                   "Calls refused by a rate limit", {{"by", by}},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("class", &refused_by_class_);
  counter("client", &refused_by_client_);
  metrics_.push_back(metrics.add(Kind::kGauge, "rate_limit_clients", "Clients with a bucket", {},
                                 [this] { return static_cast<double>(clients_.size()); }));
}

}  // namespace capstan::rpc
