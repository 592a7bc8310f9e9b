// Why this file exists: tokens that must be taken and, above all, those that must not: signed by
// another key, for another algorithm, changed, too old, too early, cut. Keys are made on the spot.
#include "rpc/jwt.h"

#include <gtest/gtest.h>

#include "rpc/jwt_testing.h"

namespace capstan::rpc {
namespace {

using testing::KeyPair;
constexpr std::uint64_t kNow = 1'800'000'000;

JwkSet keys_of(const std::string& json) {
  auto parsed = JwkSet::parse(json);
  EXPECT_TRUE(parsed) << parsed.error().text();
  return parsed.value_or(JwkSet());
}

std::string refusal(const JwkSet& keys, const std::string& token) {
  const auto verified = keys.verify(token, kNow);
  if (verified) return "taken";
  EXPECT_EQ(verified.error().code, Code::kUnauthenticated);
  // No part of a token comes back.
  if (token.size() > 20) {
    EXPECT_EQ(verified.error().text().find(token.substr(0, 20)), std::string::npos);
  }
  return verified.error().message;
}

TEST(Jwt, TakesEveryAlgorithm) {
  for (const char* algorithm : {"RS256", "RS384", "RS512", "ES256"}) {
    const KeyPair pair(algorithm);
    const JwkSet keys = keys_of(pair.jwk());
    const auto verified =
        keys.verify(pair.sign(R"({"sub":"operator","exp":1800000001,"nbf":1800000000})"), kNow);
    ASSERT_TRUE(verified) << algorithm << verified.error().text();
    EXPECT_EQ(verified->subject, "operator");
    EXPECT_EQ(verified->expires, kNow + 1);
    // Without claims that matter here.
    EXPECT_EQ(refusal(keys, pair.sign(R"({"iss":"x"})")), "taken");
    EXPECT_NE(refusal(keys, KeyPair(algorithm).sign("{}")).find("not by a key"), std::string::npos);
  }
}

TEST(Jwt, KeepsTime) {
  const KeyPair pair("ES256");
  const JwkSet keys = keys_of(pair.jwk());
  EXPECT_NE(refusal(keys, pair.sign(R"({"exp":1800000000})")).find("expired"), std::string::npos);
  EXPECT_EQ(refusal(keys, pair.sign(R"({"exp":1800000001.5})")), "taken");
  EXPECT_NE(refusal(keys, pair.sign(R"({"nbf":1800000001})")).find("nbf"), std::string::npos);
  EXPECT_NE(refusal(keys, pair.sign(R"({"exp":"tomorrow"})")).find("no time"), std::string::npos);
  EXPECT_NE(refusal(keys, pair.sign(R"({"exp":-1})")).find("no time"), std::string::npos);
}

TEST(Jwt, TheKeyChoosesTheAlgorithm) {
  const KeyPair rsa("RS256"), curve("ES256");
  const JwkSet keys = keys_of(rsa.jwk());
  EXPECT_NE(refusal(keys, rsa.sign("{}", R"({"alg":"RS512"})")).find("no key"), std::string::npos);
  EXPECT_NE(refusal(keys, rsa.sign("{}", R"({"alg":"none"})")).find("no key"), std::string::npos);
  EXPECT_NE(refusal(keys, rsa.sign("{}", R"({"alg":"HS256"})")).find("no key"), std::string::npos);
  EXPECT_NE(refusal(keys, curve.sign("{}")).find("no key"), std::string::npos);
  EXPECT_NE(refusal(keys, rsa.sign("{}", R"({"typ":"JWT"})")).find("no algorithm"),
            std::string::npos);
  EXPECT_NE(refusal(keys, rsa.sign("{}", R"({"alg":"RS256","crit":["x"]})")).find("extensions"),
            std::string::npos);
}

TEST(Jwt, RefusesWhatIsChangedOrCut) {
  const KeyPair pair("ES256");
  const JwkSet keys = keys_of(pair.jwk());
  const std::string token = pair.sign(R"({"sub":"a"})");
  EXPECT_EQ(refusal(keys, token), "taken");
  for (std::size_t at = 0; at < token.size(); at += 7) {
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    if (changed != token) EXPECT_NE(refusal(keys, changed), "taken") << at;
  }
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string("a.b"), std::string(".."), token + ".x",
        token + "=", token.substr(0, token.size() - 4), std::string(9000, 'a')}) {
    EXPECT_NE(refusal(keys, bad), "taken") << bad.size();
  }
  EXPECT_NE(refusal(keys, pair.sign("[]")), "taken");
  EXPECT_NE(refusal(keys, pair.sign("no json")), "taken");
}

TEST(Jwt, ASetIsSearchedByKeyId) {
  const KeyPair first("RS256", "k1"), second("RS256", "k2"), third("ES256", "k3");
  const JwkSet keys =
      keys_of("{\"keys\":[" + first.jwk() + "," + second.jwk() + R"(,{"kty":"RSA","use":"enc"}]})");
  EXPECT_EQ(keys.size(), 2U);
  EXPECT_EQ(refusal(keys, first.sign("{}")), "taken");
  EXPECT_EQ(refusal(keys, second.sign("{}")), "taken");
  EXPECT_EQ(refusal(keys, second.sign("{}", R"({"alg":"RS256"})")), "taken");
  EXPECT_NE(refusal(keys, second.sign("{}", R"({"alg":"RS256","kid":"k1"})")), "taken");
  EXPECT_NE(refusal(keys, third.sign("{}")), "taken");
}

TEST(Jwt, SaysWhatIsWrongWithAKey) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "no JSON"},
      {"[]", "no object"},
      {R"({"keys":[]})", "no key"},
      {R"({"kty":"oct","k":"AAAA"})", "neither RSA nor EC"},
      {R"({"kty":"RSA","alg":"HS256","n":"AQ","e":"AQAB"})", "HS256"},
      {R"({"kty":"RSA","alg":"RS256","e":"AQAB"})", "has n and e"},
      {R"({"kty":"RSA","alg":"RS256","n":"AQAB","e":"AQAB"})", "less than 2048"},
      {R"({"kty":"EC","crv":"P-384","x":"AA","y":"AA"})", "P-256"},
      {R"({"kty":"EC","alg":"RS256"})", "go with its type"},
      {R"({"keys":[{"kty":"RSA"}]})", "key 1"},
  };
  for (const auto& [json, part] : rows) {
    const auto parsed = JwkSet::parse(json);
    ASSERT_FALSE(parsed) << json;
    EXPECT_NE(parsed.error().text().find(part), std::string::npos) << parsed.error().text();
  }
}

}  // namespace
}  // namespace capstan::rpc
