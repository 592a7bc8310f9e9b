// Why this file exists: see jwt.h.
#include "rpc/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <simdjson.h>

#include <optional>

#include "rpc/access_limits.h"
#include "rpc/json_text.h"

namespace capstan::rpc {
namespace {

using Value = simdjson::dom::element;

template <auto function>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    function(object);
  }
};
using BnPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using EcSignaturePtr = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

constexpr std::size_t kRsaBitsMin = 2048;
constexpr std::size_t kP256Bytes = 32;

std::unexpected<Error> bad_token(std::string_view why) {
  return fail(Code::kUnauthenticated, "the token is not accepted: " + std::string(why));
}

std::optional<std::string> text_of(const Value& object, const char* name) {
  std::string_view text;
  if (object.at_key(name).get(text) != simdjson::SUCCESS) return std::nullopt;
  return std::string(text);
}

// Raw bytes of a base64url member.
std::optional<std::string> bytes_of(const Value& object, const char* name) {
  const auto text = text_of(object, name);
  return text ? parse_base64(*text) : std::nullopt;
}

const EVP_MD* digest_of(std::string_view algorithm) {
  if (algorithm == "RS384") return EVP_sha384();
  if (algorithm == "RS512") return EVP_sha512();
  return EVP_sha256();
}

std::shared_ptr<EVP_PKEY> make_key(const char* type, OSSL_PARAM_BLD& builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(&builder));
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  const bool made = params && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) == 1;
  ERR_clear_error();
  return made ? std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free) : nullptr;
}

BnPtr number_of(const std::string& bytes) {
  return BnPtr(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                         static_cast<int>(bytes.size()), nullptr));
}

// The two numbers of a JWS signature as the structure that OpenSSL reads.
std::optional<std::string> der_signature(const std::string& raw) {
  if (raw.size() != 2 * kP256Bytes) return std::nullopt;
  const EcSignaturePtr signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), number_of(raw.substr(0, kP256Bytes)).release(),
                 number_of(raw.substr(kP256Bytes)).release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool signature_holds(EVP_PKEY& key, std::string_view algorithm, std::string_view text,
                     const std::string& signature) {
  std::optional<std::string> checked = signature;
  if (algorithm == "ES256") checked = der_signature(signature);
  if (!checked) return false;
  const DigestContextPtr context(EVP_MD_CTX_new());
  const bool holds =
      EVP_DigestVerifyInit(context.get(), nullptr, digest_of(algorithm), nullptr, &key) == 1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(checked->data()),
                       checked->size(), reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) == 1;
  ERR_clear_error();
  return holds;
}

// A claim of seconds: whole or with a fraction, which is cut off.
Result<std::optional<std::uint64_t>> seconds_of(const Value& claims, const char* name) {
  Value value;
  if (claims.at_key(name).get(value) != simdjson::SUCCESS) return std::optional<std::uint64_t>();
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS || !(number >= 0) || number > 1e15) {
    return bad_token("its claim '" + std::string(name) + "' is no time");
  }
  return std::optional(static_cast<std::uint64_t>(number));
}

}  // namespace

Result<void> VerifiedToken::check_time(std::uint64_t now) const {
  if (now >= expires) return bad_token("it has expired; get a new one");
  if (now < not_before) return bad_token("it is not valid yet (nbf); compare the clocks");
  return {};
}

// --- keys ---------------------------------------------------------------------------------------

class JwkReader {
 public:
  static Result<void> add(const Value& value, JwkSet& set) {
    if (!value.is_object()) return wrong("it is no object");
    const std::string type = text_of(value, "kty").value_or("");
    const auto use = text_of(value, "use");
    if (use && *use != "sig") return {};  // not for signatures
    JwkSet::Key key;
    key.id = text_of(value, "kid").value_or("");
    key.algorithm = text_of(value, "alg").value_or("");
    const bool curve = type == "EC" || (type.empty() && key.algorithm == "ES256");
    if (!type.empty() && type != "RSA" && type != "EC") {
      return wrong("its type '" + type + "' is neither RSA nor EC");
    }
    if (key.algorithm.empty()) key.algorithm = curve ? "ES256" : "RS256";
    if (curve ? key.algorithm != "ES256"
              : key.algorithm != "RS256" && key.algorithm != "RS384" && key.algorithm != "RS512") {
      return wrong("its alg '" + key.algorithm +
                   "' is none of RS256, RS384, RS512 and ES256, or "
                   "does not go with its type");
    }
    TRY_SET(key.key, curve ? point(value) : modulus(value));
    set.keys_.push_back(std::move(key));
    return {};
  }

 private:
  static std::unexpected<Error> wrong(std::string why) {
    return fail(Code::kInvalidArgument, "the key is not usable: " + std::move(why));
  }
  static Result<std::shared_ptr<EVP_PKEY>> modulus(const Value& value) {
    const auto n = bytes_of(value, "n"), e = bytes_of(value, "e");
    if (!n || !e) return wrong("an RSA key has n and e in base64url");
    const BnPtr modulus = number_of(*n), exponent = number_of(*e);
    if (static_cast<std::size_t>(BN_num_bits(modulus.get())) < kRsaBitsMin) {
      return wrong("its modulus has less than " + std::to_string(kRsaBitsMin) + " bits");
    }
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
    auto key = make_key("RSA", *builder);
    if (!key) return wrong("OpenSSL does not take its n and e");
    return key;
  }
  static Result<std::shared_ptr<EVP_PKEY>> point(const Value& value) {
    const auto x = bytes_of(value, "x"), y = bytes_of(value, "y");
    if (text_of(value, "crv") != "P-256" || !x || !y || x->size() != kP256Bytes ||
        y->size() != kP256Bytes) {
      return wrong("an ES256 key has crv P-256, and x and y of 32 bytes in base64url");
    }
    const std::string coded = "\x04" + *x + *y;
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, coded.data(),
                                     coded.size());
    auto key = make_key("EC", *builder);
    if (!key) return wrong("x and y are no point of the curve");
    return key;
  }
};

Result<JwkSet> JwkSet::parse(std::string_view json) {
  const auto wrong = [](std::string what) {
    return fail(Code::kInvalidArgument, "JSON Web Key: " + std::move(what));
  };
  if (json.size() > access_limits::kJwkFileBytes) {
    return wrong("more than " + std::to_string(access_limits::kJwkFileBytes) + " bytes");
  }
  simdjson::dom::parser parser;
  Value root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
    return wrong(std::string("no JSON: ") + simdjson::error_message(error));
  }
  JwkSet set;
  simdjson::dom::array keys;
  if (root.is_object() && root.at_key("keys").get(keys) == simdjson::SUCCESS) {
    if (keys.size() > access_limits::kJwkKeys) {
      return wrong("more than " + std::to_string(access_limits::kJwkKeys) + " keys");
    }
    std::size_t number = 0;
    for (const Value key : keys) {
      ++number;
      if (auto added = JwkReader::add(key, set); !added) {
        return std::unexpected(std::move(added).error().within("key " + std::to_string(number)));
      }
    }
  } else {
    TRY(JwkReader::add(root, set));
  }
  if (set.keys_.empty()) return wrong("it holds no key for signatures");
  return set;
}

// --- tokens -------------------------------------------------------------------------------------

Result<void> JwkSet::check_signature(std::string_view algorithm, std::string_view id,
                                     std::string_view text, const std::string& signature) const {
  bool known = false;
  for (const Key& key : keys_) {
    if (key.algorithm != algorithm) continue;
    if (!id.empty() && !key.id.empty() && key.id != id) continue;
    known = true;
    if (signature_holds(*key.key, algorithm, text, signature)) return {};
  }
  if (!known) return bad_token("no key of --jwk has its algorithm and key id");
  return bad_token("its signature is not by a key of --jwk");
}

Result<VerifiedToken> JwkSet::verify(std::string_view token, std::uint64_t now) const {
  if (token.size() > access_limits::kTokenBytes) return bad_token("it is too long");
  const auto first = token.find('.');
  const auto second = first == token.npos ? first : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) {
    return bad_token("it does not have three parts joined by dots");
  }
  const auto header = parse_base64(token.substr(0, first));
  const auto claims = parse_base64(token.substr(first + 1, second - first - 1));
  const auto signature = parse_base64(token.substr(second + 1));
  if (!header || !claims || !signature) return bad_token("a part of it is no base64url");

  simdjson::dom::parser parser;
  Value value;
  std::string_view algorithm;
  if (parser.parse(*header).get(value) != simdjson::SUCCESS || !value.is_object() ||
      value.at_key("alg").get(algorithm) != simdjson::SUCCESS) {
    return bad_token("its header names no algorithm");
  }
  if (value.at_key("crit").error() == simdjson::SUCCESS) {
    return bad_token("its header demands extensions that are unknown here");
  }
  const std::string id = text_of(value, "kid").value_or("");
  TRY(check_signature(std::string(algorithm), id, token.substr(0, second), *signature));

  if (parser.parse(*claims).get(value) != simdjson::SUCCESS || !value.is_object()) {
    return bad_token("its claims are no JSON object");
  }
  VerifiedToken made;
  made.subject = text_of(value, "sub").value_or("");
  if (made.subject.size() > access_limits::kSubjectBytes) return bad_token("its sub is too long");
  if (made.subject == kNoSub)
    return bad_token("its sub is what tokens without one are called here");
  if (made.subject.empty()) made.subject = kNoSub;
  TRY_SET(const auto expires, seconds_of(value, "exp"));
  TRY_SET(const auto not_before, seconds_of(value, "nbf"));
  made.expires = expires.value_or(UINT64_MAX);
  made.not_before = not_before.value_or(0);
  TRY(made.check_time(now));
  return made;
}

}  // namespace capstan::rpc
