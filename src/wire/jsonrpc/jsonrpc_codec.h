// Why this file exists: JSON-RPC 2.0 as SPDK speaks it (jsonrpc part A), bytes in, requests and
// replies out, no I/O. Framing has no delimiters (json_scanner.h); the envelope is read strictly:
// what is wrong with it decides whether the id of the answer is the request's own or null.
// Views point into the text they were read from.
// Thread-safety: plain objects and functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "wire/jsonrpc/json_scanner.h"

namespace capstan::wire::jsonrpc {

// Cuts a stream of bytes into JSON texts.
class TextDecoder {
 public:
  enum class Event : std::uint8_t { kNeedMore, kText, kMalformed, kTooLong };

  // Texts from clients have the limits of section A.3.
  explicit TextDecoder(const JsonScanner::Limits& limits = {limits::kJsonRpcTextBytes,
                                                            limits::kJsonRpcValues,
                                                            limits::kJsonNestingDepth});

  // Takes bytes off the front of `input`. After kText, text() is the next text, until the next
  // call. kNeedMore has taken all. kMalformed and kTooLong end the stream.
  //
  // A number outside of any container ends only with what follows it, and nothing has to. It is
  // handed out when the input ends; digits that follow later are swallowed.
  Event next(std::string_view& input);
  std::string_view text() const { return text_; }
  // Bytes held of a text that has not ended.
  std::size_t buffered() const { return buffer_.size(); }

 private:
  Event finish(std::string_view part);

  JsonScanner scanner_;
  std::string buffer_;
  std::string_view text_;
  bool handed_out_ = false;  // the number that is being read
  bool spent_ = false;       // buffer_ holds the text of the last event
};

// The id of a request: a number as it was written, or a text without its quotes and escapes.
struct Id {
  enum class Kind : std::uint8_t { kNull, kNumber, kText } kind = Kind::kNull;
  std::string value;
  bool operator==(const Id&) const = default;
};

struct Request {
  bool valid = false;  // false: answered with -32600 to `id`
  Id id;               // kNull: a notification
  std::string method;
  std::string_view params;  // JSON; empty: absent or null
};

struct Requests {
  bool batch = false;
  std::vector<Request> all;  // an empty batch is one invalid request that is no batch
};
// `text` is well-formed JSON, as TextDecoder gives it.
void read_requests(std::string_view text, Requests& into);

struct ReplyView {
  Id id;
  bool failed = false;
  std::int64_t code = 0;    // of a failed one
  std::string message;      // of a failed one
  std::string_view result;  // JSON
};
// The replies of one text: one, or those of a batch. Nothing when it is no JSON-RPC reply.
std::optional<std::vector<ReplyView>> read_replies(std::string_view text);

// The content of a well-formed JSON string, given with its quotes.
std::string decode_json_string(std::string_view quoted);

}  // namespace capstan::wire::jsonrpc
