// Why this file exists: one request and its answer, whatever carries them: HTTP/1.1
// (rest/http1_session.h) or a stream of HTTP/2 (rest/http2_guest.h). The pipeline (rest/pipeline.h)
// knows nothing else of a connection.
//
// An answer is either answer(), whole, or start(), any number of write() and then finish() or
// break_off(). Every call is made by one coroutine at a time; errors of writing mean that the
// client is gone, and there is no way to tell it anything. Thread-safety: one core.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/cancel.h"
#include "core/env.h"
#include "core/task.h"
#include "wire/http1/http1_request.h"
#include "wire/http1/http1_response.h"

namespace capstan::wire::rest {

struct Reply {
  unsigned status = 200;
  Http1Headers headers;  // names in lower case; framing is the exchange's business
  std::string body;
  // The content-type, unless it is among the headers; a literal.
  std::string_view type = {};
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Http1Request& request() const = 0;
  virtual const core::PeerInfo& peer() const = 0;
  // Fires when the client is gone.
  virtual core::CancelToken gone() const = 0;
  // Fires when the server stops: endless answers end regularly.
  virtual core::CancelToken stopping() const = 0;

  // What the request says its body's size is; 0 when it does not.
  virtual std::uint64_t announced_bytes() const = 0;
  // The next bytes of the body, valid until the next call; none at its end. kInvalidArgument: the
  // framing is broken; kDeadlineExceeded: they do not come; kCancelled: the client is gone.
  virtual core::Task<Result<ByteView>> read() = 0;

  // A read() that waits, and every later one, ends with kCancelled.
  virtual void interrupt_read() = 0;

  // With content-length. 204 and 304 have neither body nor framing.
  virtual core::Task<Result<void>> answer(Reply reply) = 0;
  // The head of an answer whose length nobody knows. `whole` says that it is one large value, after
  // which the connection may be closed; else a sequence of elements.
  virtual core::Task<Result<void>> start(Reply head, bool whole) = 0;
  // Returns when the bytes have been taken by the connection: the producer waits for its reader.
  virtual core::Task<Result<void>> write(std::string_view bytes) = 0;
  virtual core::Task<Result<void>> finish() = 0;
  // The answer stays cut off, so that nobody takes it for complete.
  virtual void break_off() = 0;
};

}  // namespace capstan::wire::rest
