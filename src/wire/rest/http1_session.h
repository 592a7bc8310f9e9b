// Why this file exists: one HTTP/1.1 connection of a server: requests one after the other, answers
// in their order, keep-alive, and the limits on how long a peer may take for anything. Reading goes
// on while a request is answered, so a client that leaves is noticed at once and its call's token
// fires; what it sends ahead is bounded.
//
// Lifetimes: run() returns when the connection has ended and the last call with it.
// Thread-safety: one core.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/moving_timer.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/http1/http1_body.h"
#include "wire/http1/http1_request.h"
#include "wire/rest/exchange.h"
#include "wire/rest/limits.h"
#include "wire/rest/pipeline.h"

namespace capstan::wire::rest {

struct SessionOptions {
  Http1RequestLimits head = {limits::kHttp1LineBytes, limits::kHttp1HeaderBytes,
                             limits::kHttp1Headers};
  core::Nanos header = limits::kRestHeaderNanos;
  core::Nanos body = limits::kRestBodyNanos;
  core::Nanos idle = limits::kRestIdleNanos;
  core::Nanos stalled = limits::kRestStalledNanos;
  // After a large value in pieces the connection ends, as in Octez.
  bool close_after_chunked = true;
};

class Http1Session final : private Exchange {
 public:
  // Everything but the stream outlives the session.
  Http1Session(core::Reactor& reactor, std::unique_ptr<core::Stream> stream, Pipeline& pipeline,
               const SessionOptions& options);

  core::Task<void> run();
  // The request that runs may end, endless answers end at once; no other request is read.
  void drain();
  // Cancels the call and ends the connection.
  void abort();
  const core::PeerInfo& peer() const override { return stream_->peer(); }
  bool busy() const { return serving_; }

 private:
  const Http1Request& request() const override { return request_; }
  core::CancelToken gone() const override { return gone_->token(); }
  core::CancelToken stopping() const override { return stopping_.token(); }
  std::uint64_t announced_bytes() const override { return framing_.length; }
  core::Task<Result<ByteView>> read() override;
  void interrupt_read() override;
  core::Task<Result<void>> answer(Reply reply) override;
  core::Task<Result<void>> start(Reply head, bool whole) override;
  core::Task<Result<void>> write(std::string_view bytes) override;
  core::Task<Result<void>> finish() override;
  void break_off() override;

  core::Task<void> read_loop();
  core::Task<void> serve_loop();
  // False: there is no further request.
  core::Task<bool> read_head();
  core::Task<void> serve_one();
  core::Task<bool> skip_body();
  core::Task<void> refuse(unsigned status, std::string text);
  core::Task<void> linger();
  // Around the headers of its framing.
  void append_head(const Reply& reply);
  void end_head();
  core::Task<Result<void>> flush();
  // Waits for bytes, the end of the stream, a stop or the deadline, whatever comes first.
  core::Task<void> wait_for_change();
  void set_deadline(core::Nanos duration);
  std::string_view pending() const { return std::string_view(input_).substr(taken_); }
  void take(std::size_t count);
  // The client sends ahead more than is kept while an answer streams, and nobody takes it as a
  // body: nobody would notice that it has left.
  bool flooded() const;
  // Whether the body of the request that was just read has come already.
  bool body_is_here() const;
  // Whether what has come of a body that nobody has read breaks its framing.
  bool body_is_broken() const;

  core::Reactor& reactor_;
  std::unique_ptr<core::Stream> stream_;
  Pipeline& pipeline_;
  const SessionOptions& options_;
  core::Scope scope_;

  // What was read and not yet taken.
  std::string input_;
  std::size_t taken_ = 0;  // of input_
  bool ended_ = false;     // the client sends no more
  bool closing_ = false;   // what it sends is thrown away
  core::Event changed_, room_;
  core::MovingTimer deadline_, stalled_;
  bool overdue_ = false;

  Http1RequestParser parser_;
  Http1Request request_;
  Http1Framing framing_;
  Http1BodyDecoder decoder_;
  std::string piece_;
  bool expects_continue_ = false, interrupted_ = false;
  bool body_wanted_ = false;  // somebody has read of it
  std::optional<core::CancelSource> gone_;
  core::CancelSource stopping_;

  std::string output_;
  bool serving_ = false, keep_ = true, draining_ = false;
  bool answered_ = false, streaming_ = false, complete_ = false, chunked_ = false, upper_ = false;
  std::optional<Error> write_error_;
};

}  // namespace capstan::wire::rest
