// Why this file exists: see authenticate.h. Verifying a signature costs as much as a hundred calls,
// so a token that was verified once is looked up by its digest; its times are compared every time.
#include "rpc/interceptors/authenticate.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "core/reactor.h"
#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

bool is_local(const core::PeerInfo& peer) {
  if (peer.uid || peer.address.starts_with("unix:")) return true;
  return peer.address.empty() && peer.listener.empty();  // the node itself
}

std::string_view without_bearer(std::string_view value) {
  constexpr std::string_view kBearer = "bearer ";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  bool is_bearer = value.size() >= kBearer.size();
  for (std::size_t i = 0; is_bearer && i < kBearer.size(); ++i) {
    is_bearer = lower(value[i]) == kBearer[i];
  }
  if (is_bearer) value.remove_prefix(kBearer.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  while (value.ends_with(' ')) value.remove_suffix(1);
  return value;
}

core::Task<Result<void>> answer_refused(Error error) {
  co_return std::unexpected(std::move(error));
}

}  // namespace

// What a stream was let in by, while it runs.
class AuthenticateInterceptor::Running {
 public:
  Running(AuthenticateInterceptor& owner, Call& call, std::uint64_t expires)
      : owner_(owner),
        call_(call),
        source_(call.token),
        outer_(std::exchange(call.token, source_.token())),
        expires_(stays_open(call) ? expires : UINT64_MAX),
        timer_([this] { look(); }) {
    owner_.running_.insert(this);
    arm();
  }
  ~Running() {
    owner_.running_.erase(this);
    call_.token = outer_;
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  // Ends the stream if its token is not good any more.
  void look() {
    const auto checked = owner_.check(call_.peer, call_.metadata.get("authorization"));
    if (checked) return arm();
    ended_ = checked.error();
    ended_->message = "the call was ended, because " + ended_->message;
    timer_.disarm();
    source_.fire(Code::kCancelled);
  }
  Result<void> final(Result<void> result) const {
    // What has an end of its own and reached it is done.
    if (ended_ && (!result || stays_open(call_))) return std::unexpected(*ended_);
    return result;
  }

 private:
  static bool stays_open(const Call& call) {
    return call.operation->kind == Kind::kEndless || call.operation->kind == Kind::kBidirectional;
  }
  // Never far ahead: the wall clock may be set meanwhile.
  void arm() {
    if (expires_ == UINT64_MAX || !owner_.keys_) return;  // replace() looks again
    auto& reactor = *core::Reactor::current();
    const std::uint64_t wall = owner_.clock_();
    const std::uint64_t end = std::min(expires_, UINT64_MAX / core::kSecond) * core::kSecond;
    const core::Nanos left = end > wall ? end - wall : core::Nanos{1};
    timer_.arm_at(reactor, reactor.now() + std::min(left, access_limits::kTokenLookNanos));
  }

  AuthenticateInterceptor& owner_;
  Call& call_;
  core::CancelSource source_;
  const core::CancelToken outer_;
  const std::uint64_t expires_;  // seconds since the Unix epoch
  core::Timer timer_;
  std::optional<Error> ended_;
};

void AuthenticateInterceptor::replace(std::optional<JwkSet> keys) {
  keys_ = std::move(keys);
  verified_.clear();
  const std::vector<Running*> running(running_.begin(), running_.end());
  for (Running* one : running) {
    if (running_.contains(one)) one->look();  // the end of one may be that of another
  }
}

Result<const VerifiedToken*> AuthenticateInterceptor::check_token(std::string_view token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  const auto key = as_text(ByteView(digest));
  const std::uint64_t now = clock_() / core::kSecond;
  const VerifiedToken* known = verified_.find(key);
  if (!known) {
    TRY_SET(VerifiedToken verified, keys_->verify(token, now));
    known = &verified_.put(key, std::move(verified));
  }
  TRY(known->check_time(now));
  return known;
}

Result<const VerifiedToken*> AuthenticateInterceptor::check(const core::PeerInfo& peer,
                                                            std::string_view authorization) {
  if (!keys_ || is_local(peer) || exempt_.contains(peer.listener)) return nullptr;
  if (!authorization.empty()) return check_token(without_bearer(authorization));
  if (!peer.tls_subject.empty()) return nullptr;
  return fail(Code::kUnauthenticated,
              "no token came with the call; send 'authorization: Bearer TOKEN' with one that is "
              "signed by a key of the node's --jwk, or come over a Unix socket or with a client "
              "certificate");
}

core::Task<Result<void>> AuthenticateInterceptor::watched(Call& call, Next& next,
                                                          std::uint64_t expires) {
  Running running(*this, call, expires);
  co_return running.final(co_await next.run(call));
}

core::Task<Result<void>> AuthenticateInterceptor::around(Call& call, Next& next) {
  // Call objects may be used again: what an earlier token said does not hold for this call.
  call.peer.jwt_subject.clear();
  const auto checked = check(call.peer, call.metadata.get("authorization"));
  if (!checked) return answer_refused(checked.error());
  const VerifiedToken* token = *checked;
  if (!token) return next.run(call);
  call.peer.jwt_subject = token->subject;
  if (call.operation->kind == Kind::kUnary) return next.run(call);
  return watched(call, next, token->expires);
}

}  // namespace capstan::rpc
