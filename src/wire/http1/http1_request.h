// Why this file exists: the head of an HTTP/1.1 request (request line and headers) from bytes, with
// limits on all of it, and what it says about the body behind it. Boost.Beast's parser does the
// work and no I/O. What comes after the head, a body (wire/http1/http1_body.h) or the bytes of
// another protocol, stays with the caller.
//
// Strict where leniency lets two parsers disagree: lines end with CRLF, no folded headers, one
// content-length of digits, never beside transfer-encoding, which is "chunked" or nothing.
// Thread-safety: one owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "wire/http1/http1_body.h"
#include "wire/http1/limits.h"

namespace capstan::wire {

struct Http1Request {
  std::string method, target;
  bool http10 = false;                                       // HTTP/1.0; anything else is 1.1
  bool keep_alive = false;                                   // what version and Connection say
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, as sent

  // All values of `name` (lower case), joined by ", "; "" when there is none.
  std::string header(std::string_view name) const;
  // The last value of `name`; nothing when there is none.
  std::optional<std::string_view> last(std::string_view name) const;
  // The target without its query.
  std::string_view path() const;
  // Whether the client waits with the body until it is told to go on: "Expect: 100-continue", in
  // any case of letters (RFC 9110 section 10.1.1).
  bool expects_continue() const;
};

// How the body of a request is delimited. kInvalidArgument (answer 400) and kUnimplemented (501):
// nobody can tell where the next request begins, so the connection ends.
Result<Http1Framing> http1_request_framing(const Http1Request& request);

struct Http1RequestLimits {
  std::size_t line_bytes = limits::kHttp1LineBytes;
  std::size_t head_bytes = limits::kHttp1HeadBytes;
  std::size_t headers = limits::kHttp1Headers;
};

class Http1RequestParser {
 public:
  explicit Http1RequestParser(const Http1RequestLimits& limits = {});
  ~Http1RequestParser();
  Http1RequestParser(const Http1RequestParser&) = delete;
  Http1RequestParser& operator=(const Http1RequestParser&) = delete;

  // Takes bytes as they arrive; true once the head is complete (then request() and rest() are
  // valid). kResourceExhausted: larger than the limits (answer 431); kInvalidArgument: not
  // HTTP/1 (answer 400).
  Result<bool> add(ByteView bytes);
  const Http1Request& request() const { return request_; }
  // The same for whoever keeps it.
  Http1Request take_request() { return std::move(request_); }
  // What was added beyond the head.
  ByteView rest() const { return as_bytes(buffer_).subspan(used_); }
  // For the next request, with the memory of this one.
  void restart();

 private:
  struct Parser;
  Result<void> check_lines();

  std::unique_ptr<Parser> parser_;
  Http1RequestLimits limits_;
  std::string buffer_;
  std::size_t used_ = 0;
  std::size_t checked_ = 0;  // of buffer_, by check_lines()
  bool first_line_ = false;  // it is complete
  Http1Request request_;
};

// A short whole answer that ends the connection: status line, content-length, connection: close.
// `headers` are whole lines. HEAD requests get no body.
std::string http1_answer(unsigned status, std::string_view body, std::string_view headers = {},
                         bool head_only = false);
std::string_view http1_reason(unsigned status);

}  // namespace capstan::wire
