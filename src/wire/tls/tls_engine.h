// Why this file exists: TLS without I/O: OpenSSL over memory BIOs. Bytes from the network go in,
// plain bytes come out, and the other way round; who moves them is somebody else's business
// (wire/grpc/tls_stream.h). TLS 1.2 and 1.3, ALPN, client certificates, host name checks.
//
// Keys and certificates are given as PEM text: whoever read the files names them in the errors.
// Thread-safety: a TlsContext is shared by the engines of one core, and immutable but for renew();
// an engine has one owner.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

struct ssl_st;
struct ssl_ctx_st;
struct bio_st;

namespace capstan::wire {

struct TlsServerConfig {
  std::string certificate_pem;  // the chain, leaf first
  std::string private_key_pem;
  std::string client_ca_pem;                // empty: clients are not asked for certificates
  bool client_certificate_required = true;  // with client_ca_pem
  // Also takes clients that choose "http/1.1" by ALPN, or nothing.
  bool http1 = false;
};

struct TlsClientConfig {
  std::string ca_pem;           // empty: the system's authorities
  std::string certificate_pem;  // ours, when the server asks; may be empty
  std::string private_key_pem;
};

class TlsContext {
 public:
  // Both fail with kInvalidArgument and the reason that OpenSSL gives.
  static Result<std::shared_ptr<const TlsContext>> server(const TlsServerConfig& config);
  static Result<std::shared_ptr<const TlsContext>> client(const TlsClientConfig& config);
  // A server's new certificates (and authorities of clients) for the engines made from now on;
  // those that exist keep what they have. On an error nothing changes. Everybody who shares the
  // context sees it, hence const.
  Result<void> renew(const TlsServerConfig& config) const;
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsEngine;
  TlsContext(ssl_ctx_st* context, bool is_server, bool http1)
      : context_(context), is_server_(is_server), http1_(http1) {}
  mutable ssl_ctx_st* context_;
  bool is_server_;
  mutable bool http1_;
};

class TlsEngine {
 public:
  // `host` is the name or address that the server's certificate must be for; unused for servers.
  TlsEngine(const TlsContext& context, std::string_view host);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  // Advances the handshake with what was received; true once it is complete. The first step of a
  // client needs no input. An error is final; there may still be output (an alert) to send.
  Result<bool> handshake();
  bool established() const { return established_; }
  // Bytes from the network.
  void receive(ByteView bytes);
  // Decrypted bytes; 0 when more must be received first, or when the peer closed (see closed()).
  Result<std::size_t> read(MutableBytes into);
  bool closed() const { return closed_; }
  // Encrypts; only after the handshake.
  Result<void> write(ByteView plain);
  // Takes what must go to the network.
  std::string take_output();
  bool has_output() const;
  // Queues the close_notify alert.
  void close();

  // The peer's certificate's subject ("CN=node-1,O=x", RFC 2253), empty when it sent no
  // certificate. One without a subject is called by the first of its alternative names that is a
  // URI, else a DNS name, else an IP address ("URI:spiffe://x/y"), with what separates the parts of
  // a subject escaped; one without any of these "(no subject)". No part of a subject can read like
  // that: they begin with a type and '='.
  std::string peer_subject() const;
  // The same, and empty also when nobody has verified that certificate.
  std::string verified_subject() const;
  std::string alpn() const;

 private:
  ssl_st* ssl_ = nullptr;
  bio_st* input_ = nullptr;   // owned by ssl_
  bio_st* output_ = nullptr;  // owned by ssl_
  bool established_ = false, closed_ = false, bad_host_ = false, http1_ = false;
};

}  // namespace capstan::wire
