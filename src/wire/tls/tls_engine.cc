// Why this file exists: the only place that knows OpenSSL's API. Every call is followed by a look
// at its error queue, which is emptied, so that an old error is never reported for a new failure.
#include "wire/tls/tls_engine.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <limits>
#include <optional>

#include "base/assert.h"

namespace capstan::wire {

namespace {

constexpr unsigned char kAlpnH2[] = {2, 'h', '2'};
constexpr unsigned char kAlpnBoth[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;
using X509Ptr = std::unique_ptr<X509, FreeX509>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeNames>;
using ContextPtr = std::unique_ptr<SSL_CTX, FreeContext>;

std::string openssl_reason() {
  std::string reason;
  while (const auto code = ERR_get_error()) {
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    reason = text.data();  // the last one is the most general; keep going to empty the queue
    if (const char* plain = ERR_reason_error_string(code)) reason = plain;
  }
  return reason.empty() ? "unknown reason" : reason;
}

std::unexpected<Error> bad_config(const std::string& what) {
  return fail(Code::kInvalidArgument, "TLS: " + what + ": " + openssl_reason());
}

BioPtr memory(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Result<void> use_certificate(SSL_CTX* context, const std::string& chain_pem,
                             const std::string& key_pem) {
  const auto chain = memory(chain_pem);
  const X509Ptr leaf(PEM_read_bio_X509_AUX(chain.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return bad_config("the certificate cannot be used");
  }
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return bad_config("the certificate's chain cannot be used");
    }
  }
  ERR_clear_error();  // the end of the PEM text counts as an error
  const auto key_memory = memory(key_pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(key_memory.get(), nullptr, nullptr, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return bad_config("the private key cannot be used");
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return bad_config("the private key does not belong to the certificate");
  }
  return {};
}

Result<void> trust(SSL_CTX* context, const std::string& ca_pem, bool announce) {
  const auto pem = memory(ca_pem);
  std::size_t count = 0;
  while (true) {
    const X509Ptr authority(PEM_read_bio_X509(pem.get(), nullptr, nullptr, nullptr));
    if (!authority) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1) {
      return bad_config("a CA certificate cannot be used");
    }
    if (announce) SSL_CTX_add_client_CA(context, authority.get());
    ++count;
  }
  if (count == 0) return bad_config("there is no CA certificate in the given PEM text");
  ERR_clear_error();
  return {};
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                const unsigned char* offered, unsigned int offered_size, void* http1) {
  unsigned char* chosen = nullptr;
  const unsigned char* served = http1 ? kAlpnBoth : kAlpnH2;
  const auto size = static_cast<unsigned>(http1 ? sizeof kAlpnBoth : sizeof kAlpnH2);
  if (SSL_select_next_proto(&chosen, out_size, served, size, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// As RFC 2253 writes values: nothing in it can be taken for the border between two parts.
std::string escaped(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF", kSpecial = ",+\"\\<>;";
  std::string out;
  for (const unsigned char c : text) {
    if (c < 0x20 || c > 0x7e) {
      out += {'\\', kDigits[c >> 4U], kDigits[c & 15U]};
      continue;
    }
    if (kSpecial.contains(static_cast<char>(c))) out += '\\';
    out += static_cast<char>(c);
  }
  return out;
}

std::string take_text(BIO* bio) {
  std::string text(BIO_ctrl_pending(bio), '\0');
  if (!text.empty()) BIO_read(bio, text.data(), static_cast<int>(text.size()));
  return text;
}

std::string address_text(GENERAL_NAME* name) {
  const BioPtr text(BIO_new(BIO_s_mem()));
  GENERAL_NAME_print(text.get(), name);  // "IP Address:10.0.0.1"
  const std::string printed = take_text(text.get());
  return printed.substr(printed.find(':') + 1);
}

std::optional<std::string> first_name(GENERAL_NAMES* names, int type, std::string_view prefix) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != type) continue;
    if (type == GEN_IPADD) return std::string(prefix) + escaped(address_text(name));
    const ASN1_IA5STRING* text = name->d.ia5;
    return std::string(prefix) +
           escaped({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                    static_cast<std::size_t>(ASN1_STRING_length(text))});
  }
  return std::nullopt;
}

std::string name_without_subject(const X509* certificate) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (const auto& [type, prefix] :
       {std::pair(GEN_URI, "URI:"), std::pair(GEN_DNS, "DNS:"), std::pair(GEN_IPADD, "IP:")}) {
    if (auto found = first_name(names.get(), type, prefix)) return *std::move(found);
  }
  return "(no subject)";
}

ContextPtr new_context(const SSL_METHOD* method) {
  ContextPtr context(SSL_CTX_new(method));
  CAPSTAN_ASSERT(context != nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsServerConfig& config) {
  auto context = new_context(TLS_server_method());
  TRY(use_certificate(context.get(), config.certificate_pem, config.private_key_pem));
  if (!config.client_ca_pem.empty()) {
    TRY(trust(context.get(), config.client_ca_pem, true));
    SSL_CTX_set_verify(
        context.get(),
        SSL_VERIFY_PEER |
            (config.client_certificate_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        nullptr);
  }
  static constexpr unsigned char kSessionId[] = "capstan";
  SSL_CTX_set_session_id_context(context.get(), kSessionId, sizeof kSessionId - 1);
  void* const http1 = config.http1 ? context.get() : nullptr;  // a flag: null or not
  SSL_CTX_set_alpn_select_cb(context.get(), select_alpn, http1);
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release(), true, config.http1));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsClientConfig& config) {
  auto context = new_context(TLS_client_method());
  if (config.ca_pem.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else {
    TRY(trust(context.get(), config.ca_pem, false));
  }
  if (!config.certificate_pem.empty()) {
    TRY(use_certificate(context.get(), config.certificate_pem, config.private_key_pem));
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_alpn_protos(context.get(), kAlpnH2, sizeof kAlpnH2);
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release(), false, false));
}

Result<void> TlsContext::renew(const TlsServerConfig& config) const {
  CAPSTAN_ASSERT(is_server_);
  TRY_SET(const auto fresh, server(config));
  std::swap(context_, fresh->context_);  // OpenSSL counts who uses the former one
  http1_ = fresh->http1_;
  return {};
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsEngine::TlsEngine(const TlsContext& context, std::string_view host)
    : ssl_(SSL_new(context.context_)), input_(BIO_new(BIO_s_mem())), output_(BIO_new(BIO_s_mem())) {
  CAPSTAN_ASSERT(ssl_ && input_ && output_);
  BIO_set_mem_eof_return(input_, -1);  // empty means "later", not "the end"
  BIO_set_mem_eof_return(output_, -1);
  SSL_set_bio(ssl_, input_, output_);
  if (context.is_server_) {
    http1_ = context.http1_;
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  const std::string name(host);
  auto* verify = SSL_get0_param(ssl_);
  if (X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) != 1) {
    ERR_clear_error();
    SSL_set_tlsext_host_name(ssl_, name.c_str());
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // A name that cannot be checked must not be trusted.
    bad_host_ = name.empty() || X509_VERIFY_PARAM_set1_host(verify, name.c_str(), name.size()) != 1;
    ERR_clear_error();
  }
}

TlsEngine::~TlsEngine() {
  SSL_free(ssl_);
}

Result<bool> TlsEngine::handshake() {
  if (established_) return true;
  if (bad_host_) {
    return fail(Code::kInvalidArgument, "TLS: the server's host name is empty or malformed");
  }
  ERR_clear_error();
  const int rc = SSL_do_handshake(ssl_);
  if (rc == 1) {
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    if (!http1_ && size != sizeof kAlpnH2 - 1) {
      return fail(Code::kUnavailable, "TLS: the peer did not agree on HTTP/2 (ALPN \"h2\")");
    }
    established_ = true;
    return true;
  }
  const int error = SSL_get_error(ssl_, rc);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return false;
  const long verified = SSL_get_verify_result(ssl_);
  std::string reason = openssl_reason();
  if (verified != X509_V_OK)
    reason += std::string(" (") + X509_verify_cert_error_string(verified) + ")";
  return fail(Code::kUnavailable, "TLS handshake failed: " + reason);
}

void TlsEngine::receive(ByteView bytes) {
  while (!bytes.empty()) {
    const int count =
        static_cast<int>(std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max()));
    const int taken = BIO_write(input_, bytes.data(), count);
    CAPSTAN_ASSERT(taken > 0);  // memory BIOs take everything
    bytes = bytes.subspan(static_cast<std::size_t>(taken));
  }
}

Result<std::size_t> TlsEngine::read(MutableBytes into) {
  ERR_clear_error();
  std::size_t got = 0;
  if (SSL_read_ex(ssl_, into.data(), into.size(), &got) == 1) return got;
  switch (SSL_get_error(ssl_, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return std::size_t{0};
    case SSL_ERROR_ZERO_RETURN: closed_ = true; return std::size_t{0};
    default: return fail(Code::kUnavailable, "TLS: " + openssl_reason());
  }
}

Result<void> TlsEngine::write(ByteView plain) {
  CAPSTAN_ASSERT(established_);
  if (plain.empty()) return {};
  ERR_clear_error();
  std::size_t written = 0;
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) == 1) {
    CAPSTAN_ASSERT(written == plain.size());  // partial writes are not enabled
    return {};
  }
  return fail(Code::kUnavailable, "TLS: " + openssl_reason());
}

std::string TlsEngine::take_output() {
  std::string out(BIO_ctrl_pending(output_), '\0');
  if (!out.empty()) {
    const int got = BIO_read(output_, out.data(), static_cast<int>(out.size()));
    out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  return out;
}

bool TlsEngine::has_output() const {
  return BIO_ctrl_pending(output_) != 0;
}

void TlsEngine::close() {
  if (!established_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string TlsEngine::peer_subject() const {
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_));
  if (!certificate) return {};
  const BioPtr text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate.get()), 0, XN_FLAG_RFC2253);
  const std::string subject = take_text(text.get());
  return subject.empty() ? name_without_subject(certificate.get()) : subject;
}

std::string TlsEngine::verified_subject() const {
  const bool verifies = (SSL_get_verify_mode(ssl_) & SSL_VERIFY_PEER) != 0;
  return verifies && SSL_get_verify_result(ssl_) == X509_V_OK ? peer_subject() : std::string();
}

std::string TlsEngine::alpn() const {
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &protocol, &size);
  return protocol ? std::string(reinterpret_cast<const char*>(protocol), size) : std::string();
}

}  // namespace capstan::wire
