// Why this file exists: both ends of an HTTP/1.1 response: the head as a server writes it, and a
// parser of the head for clients (the command line, the gateway), with limits. Boost.Beast's parser
// does the work and no I/O; the body is wire/http1/http1_body.h's.
//
// Thread-safety: one owner; one parser per response.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/http1/http1_body.h"
#include "wire/http1/limits.h"

namespace capstan::wire {

using Http1Headers = std::vector<std::pair<std::string, std::string>>;

// Appends status line, headers and the empty line. Line ends in values, which nobody may send, are
// written as spaces.
void http1_append_head(unsigned status, const Http1Headers& headers, std::string& out);
// The parts of it, without the empty line.
void http1_append_status(unsigned status, std::string& out);
void http1_append_header(std::string_view name, std::string_view value, std::string& out);

struct Http1Response {
  unsigned status = 0;
  bool http10 = false, keep_alive = false;
  Http1Headers headers;  // names in lower case, as sent
  std::optional<std::string_view> last(std::string_view name) const;
};

class Http1ResponseParser {
 public:
  // `to_head`: of an answer to HEAD, which has no body whatever it says.
  explicit Http1ResponseParser(bool to_head = false);
  ~Http1ResponseParser();
  Http1ResponseParser(const Http1ResponseParser&) = delete;
  Http1ResponseParser& operator=(const Http1ResponseParser&) = delete;

  // Takes bytes as they arrive; true once the head is complete. Interim answers (1xx but 101) are
  // skipped. kResourceExhausted: too large; kInternal: not HTTP/1.
  Result<bool> add(ByteView bytes);
  const Http1Response& response() const { return response_; }
  // How its body is delimited.
  Result<Http1Framing> framing() const;
  // What was added beyond the head.
  ByteView rest() const { return as_bytes(buffer_).subspan(used_); }

 private:
  struct Parser;
  Result<bool> parse();

  std::unique_ptr<Parser> parser_;
  bool to_head_;
  std::string buffer_;
  std::size_t used_ = 0;
  Http1Response response_;
};

}  // namespace capstan::wire
