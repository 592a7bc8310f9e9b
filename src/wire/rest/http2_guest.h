// Why this file exists: HTTP requests on the streams of an HTTP/2 connection that somebody else
// drives (gRPC's, on the node's port): every stream becomes an Exchange for the same pipeline that
// HTTP/1.1 has. Flow control is HTTP/2's: a body is given back to its window as it is read, and a
// producer waits while its stream has too much unsent.
//
// Lifetimes: the session and everything else given outlive the guest; join() before it goes.
// Thread-safety: one core.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/env.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/http2/http2_session.h"
#include "wire/rest/pipeline.h"

namespace capstan::wire::rest {

class Http2Exchange;

class Http2Guest final : public Http2Events {
 public:
  // `wake`: there is output to send.
  Http2Guest(core::Reactor& reactor, Http2Session& http2, const core::PeerInfo& peer,
             std::function<void()> wake, Pipeline& pipeline);
  ~Http2Guest() override;

  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool too_large) override;
  void on_data(Http2Stream& stream, ByteView data) override;
  void on_end(Http2Stream& stream) override;
  void on_closed(Http2Stream& stream, Http2Error error) override;
  void on_sent(Http2Stream& stream) override;

  // Endless answers end; the others may.
  void drain();
  void abort();
  // Until the last call has ended; every stream must be closed.
  core::Task<void> join() { return scope_.join(); }
  std::size_t calls_in_flight() const { return exchanges_.size(); }

 private:
  friend class Http2Exchange;
  core::Task<void> serve(Http2Exchange* exchange);

  core::Reactor& reactor_;
  Http2Session& http2_;
  const core::PeerInfo& peer_;
  std::function<void()> wake_;
  Pipeline& pipeline_;
  core::CancelSource stopping_;
  // Of answers that nobody paces, taken by the peer or not: while it is too much no request begins.
  std::size_t unsent_bytes_ = 0;
  core::Event room_;
  std::vector<std::unique_ptr<Http2Exchange>> exchanges_;
  core::Scope scope_;
};

}  // namespace capstan::wire::rest
