// Why this file exists: an HTTP answer as what a typed call wants of it: messages, or the Error
// with the code that the node meant. The framing (wire/http1/http1_body.h) says where the answer
// ends; this says what it is: one value, a sequence of elements, bytes, nothing, or a refusal in
// one of the forms of http-rpc sections 4.3, 6 and 15.3. What ends in the middle of an element is
// an error, never an end.
//
// Fields that this program does not know are skipped: the node may be newer.
// Lifetime: the CallPath outlives the reader. Thread-safety: one owner; no I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rpc/element_codec.h"
#include "rpc/json_reader.h"
#include "rpc/media.h"
#include "wire/http1/http1_response.h"
#include "wire/rest/request_writer.h"

namespace capstan::wire::rest {

// What an answer that is no success means. `body` is all of it.
Error error_of_answer(const Http1Response& head, std::string_view body);

class AnswerReader {
 public:
  // `limit_bytes`: of one value or element; more is kResourceExhausted.
  AnswerReader(const CallPath& path, std::size_t limit_bytes);

  // Once, before anything else.
  void begin(const Http1Response& head);
  // Bytes of the body.
  void add(std::string_view bytes);

  enum class Step : std::uint8_t { kMore, kMessage, kEnd };
  // With `ended` nothing more will be added. kMore (never when it has ended): add something. Errors
  // are final.
  Result<Step> next(rpc::Message& into, bool ended);
  // What is kept here.
  std::size_t buffered() const { return body_.size() + (elements_ ? elements_->buffered() : 0); }

 private:
  enum class Kind : std::uint8_t { kRefusal, kValue, kElements, kBytes, kNothing };
  Result<void> decode(std::string_view bytes, rpc::Message& into);
  Result<Step> next_element(rpc::Message& into, bool ended);
  Result<void> whole_value(rpc::Message& into);

  const CallPath& path_;
  const std::size_t limit_;
  Http1Response head_;
  Kind kind_ = Kind::kRefusal;
  rpc::Media media_ = rpc::Media::kJson;
  std::optional<Error> wrong_;  // about the head
  bool too_large_ = false, given_ = false;
  std::string body_;
  std::optional<rpc::ElementSplitter> elements_;
  rpc::JsonReader reader_;
};

}  // namespace capstan::wire::rest
