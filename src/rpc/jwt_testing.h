// Why this file exists: key pairs and tokens for tests, made on the spot, so that no key stands in
// the repository. Test code.
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <string>
#include <string_view>

#include "base/assert.h"
#include "rpc/json_text.h"

namespace capstan::rpc::testing {

inline std::string base64url(std::string_view bytes) {
  std::string out;
  append_base64(bytes, out);
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (out.ends_with('=')) out.pop_back();
  return out;
}

class KeyPair {
 public:
  explicit KeyPair(std::string algorithm, std::string id = {})
      : algorithm_(std::move(algorithm)),
        id_(std::move(id)),
        key_(algorithm_ == "ES256" ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048)) {
    CAPSTAN_ASSERT(key_ != nullptr);
  }
  ~KeyPair() { EVP_PKEY_free(key_); }
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;

  std::string jwk() const {
    std::string out = "{\"alg\":\"" + algorithm_ + "\"";
    if (!id_.empty()) out += ",\"kid\":\"" + id_ + "\"";
    if (algorithm_ != "ES256") {
      return out + R"(,"kty":"RSA","n":")" + number(OSSL_PKEY_PARAM_RSA_N, 0) + R"(","e":")" +
             number(OSSL_PKEY_PARAM_RSA_E, 0) + "\"}";
    }
    return out + R"(,"kty":"EC","crv":"P-256","x":")" + number(OSSL_PKEY_PARAM_EC_PUB_X, 32) +
           R"(","y":")" + number(OSSL_PKEY_PARAM_EC_PUB_Y, 32) + "\"}";
  }

  std::string sign(std::string_view claims, std::string header = {}) const {
    if (header.empty()) {
      header =
          "{\"alg\":\"" + algorithm_ + "\"" + (id_.empty() ? "" : ",\"kid\":\"" + id_ + "\"") + "}";
    }
    const std::string text = base64url(header) + "." + base64url(claims);
    return text + "." + base64url(signature(text));
  }

 private:
  std::string number(const char* name, int width) const {
    BIGNUM* value = nullptr;
    CAPSTAN_ASSERT(EVP_PKEY_get_bn_param(key_, name, &value) == 1);
    std::string bytes(static_cast<std::size_t>(width ? width : BN_num_bytes(value)), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()),
                 static_cast<int>(bytes.size()));
    BN_free(value);
    return base64url(bytes);
  }
  std::string signature(const std::string& text) const {
    const EVP_MD* digest = algorithm_ == "RS384"   ? EVP_sha384()
                           : algorithm_ == "RS512" ? EVP_sha512()
                                                   : EVP_sha256();
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    std::string out(512, '\0');
    std::size_t size = out.size();
    CAPSTAN_ASSERT(EVP_DigestSignInit(context, nullptr, digest, nullptr, key_) == 1);
    CAPSTAN_ASSERT(EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size,
                                  reinterpret_cast<const unsigned char*>(text.data()),
                                  text.size()) == 1);
    EVP_MD_CTX_free(context);
    out.resize(size);
    return algorithm_ == "ES256" ? raw(out) : out;
  }
  static std::string raw(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string out(64, '\0');
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), to, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), to + 32, 32);
    ECDSA_SIG_free(signature);
    return out;
  }

  std::string algorithm_, id_;
  EVP_PKEY* key_;
};

}  // namespace capstan::rpc::testing
