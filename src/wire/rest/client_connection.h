// Why this file exists: one HTTP/1.1 connection of a client, which carries one exchange after the
// other. It always reads, so that a server that closes is noticed at once, also between exchanges
// and while a request is still being sent; it stops reading while what has arrived is not taken,
// which slows the server down. An answer is whole when its framing says so (http-rpc section 10)
// and never because the connection ended.
//
// Lifetimes: run() keeps the connection alive and is spawned in a scope of its user's.
// Thread-safety: one core. One exchange at a time; its user calls give_back() or cut().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/env.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/http1/http1_body.h"
#include "wire/http1/http1_response.h"

namespace capstan::wire::rest {

class ClientConnection {
 public:
  explicit ClientConnection(std::unique_ptr<core::Stream> stream);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Until the connection has ended. `self` is this.
  static core::Task<void> run(std::shared_ptr<ClientConnection> self);

  // Begins an exchange; the connection is idle.
  void begin();
  bool idle() const { return state_ == State::kIdle && !failure_; }
  // Bytes of the request, queued.
  void send(std::string_view bytes);
  void end_request() { request_ended_ = true; }
  // The server does not take what is queued: wait for changed().
  bool output_full() const;

  // Null until it is there.
  const Http1Response* head() const { return head_ ? &*head_ : nullptr; }
  // What has arrived of the body.
  std::string take();
  // Nothing of the body will follow what has arrived.
  bool body_ended() const { return state_ == State::kAnswered; }
  // The server has said something in this exchange.
  bool heard() const { return heard_; }
  const std::optional<Error>& failure() const { return failure_; }
  // Notified whenever any of the above may have changed.
  core::Event& changed() { return changed_; }

  // Ends the exchange. True: the connection is idle again; else it is cut.
  bool give_back();
  // Ends the connection; what waits sees `why`.
  void cut(Error why);

 private:
  enum class State : std::uint8_t { kIdle, kHead, kBody, kAnswered };

  core::Task<void> read_loop();
  core::Task<void> write_loop();
  Result<void> receive(ByteView bytes);
  Result<void> receive_head(ByteView& bytes);
  Result<void> receive_body(ByteView& bytes);
  void ended(Error why);

  std::unique_ptr<core::Stream> stream_;
  core::Scope scope_;
  core::Event changed_, writable_;
  State state_ = State::kIdle;
  std::optional<Error> failure_;
  std::unique_ptr<std::uint8_t[]> input_;
  std::string output_, sending_, body_;
  std::optional<Http1ResponseParser> parser_;
  std::optional<Http1Response> head_;
  Http1BodyDecoder decoder_;
  bool request_ended_ = false, heard_ = false, running_ = true, write_failed_ = false;
};

}  // namespace capstan::wire::rest
