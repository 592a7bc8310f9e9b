// Why this file exists: see authenticate.h. Verifying a signature costs as much as a hundred calls,
// so a token that was verified once is looked up by its digest; its times are compared every time.
#include "rpc/interceptors/authenticate.h"

#include <openssl/sha.h>

#include <array>

#include "base/bytes.h"

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

void AuthenticateInterceptor::replace(std::optional<JwkSet> keys) {
  keys_ = std::move(keys);
  verified_.clear();
}

Result<std::string> AuthenticateInterceptor::check_token(std::string_view token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  const auto key = as_text(ByteView(digest));
  const std::uint64_t now = clock_() / 1'000'000'000;
  const VerifiedToken* known = verified_.find(key);
  if (!known) {
    TRY_SET(VerifiedToken verified, keys_->verify(token, now));
    known = &verified_.put(key, std::move(verified));
  }
  TRY(known->check_time(now));
  return known->subject;
}

Result<std::string> AuthenticateInterceptor::check(const core::PeerInfo& peer,
                                                   std::string_view authorization) {
  if (!keys_ || is_local(peer) || exempt_.contains(peer.listener)) return std::string();
  if (!authorization.empty()) return check_token(without_bearer(authorization));
  if (!peer.tls_subject.empty()) return std::string();
  return fail(Code::kUnauthenticated,
              "no token came with the call; send 'authorization: Bearer TOKEN' with one that is "
              "signed by a key of the node's --jwk, or come over a Unix socket or with a client "
              "certificate");
}

core::Task<Result<void>> AuthenticateInterceptor::around(Call& call, Next& next) {
  // Call objects may be used again: what an earlier token said does not hold for this call.
  call.peer.jwt_subject.clear();
  auto checked = check(call.peer, call.metadata.get("authorization"));
  if (!checked) return answer_refused(std::move(checked).error());
  call.peer.jwt_subject = *std::move(checked);
  return next.run(call);
}

}  // namespace capstan::rpc
