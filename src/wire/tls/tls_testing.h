// Why this file exists: certificates for tests, made on the spot, so that none can expire in the
// repository. Test code.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>

namespace capstan::wire::testing {

struct Identity {
  std::string certificate_pem, key_pem;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name)
      : key_(EVP_EC_gen("P-256")), certificate_(make(name, key_, nullptr, true)) {}
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  std::string pem() const { return pem_of(certificate_); }
  // A certificate for the host `name`.
  Identity issue(const std::string& name) const {
    return issue(name, "DNS:" + name + ",IP:10.0.0.1");
  }
  // One with these alternative names, in OpenSSL's words; `name` empty: without a subject.
  Identity issue(const std::string& name, const std::string& alternatives) const {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = make(name, key, this, false, alternatives);
    Identity identity{pem_of(certificate), pem_of(key)};
    X509_free(certificate);
    EVP_PKEY_free(key);
    return identity;
  }

 private:
  static std::string take(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
  }
  static std::string pem_of(X509* certificate) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    return take(bio);
  }
  static std::string pem_of(EVP_PKEY* key) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return take(bio);
  }
  static void extend(X509* certificate, int id, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static X509* make(const std::string& name, EVP_PKEY* key, const TestAuthority* issuer,
                    bool is_authority, const std::string& alternatives = {}) {
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), is_authority ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* subject = X509_get_subject_name(certificate);
    if (!name.empty()) {
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    }
    X509_set_issuer_name(certificate,
                         issuer ? X509_get_subject_name(issuer->certificate_) : subject);
    if (is_authority) {
      extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
    } else if (!alternatives.empty()) {
      extend(certificate, NID_subject_alt_name, alternatives);
    }
    X509_sign(certificate, issuer ? issuer->key_ : key, EVP_sha256());
    return certificate;
  }

  EVP_PKEY* key_;
  X509* certificate_;
};

}  // namespace capstan::wire::testing
