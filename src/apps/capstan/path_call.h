// Why this file exists: `capstan rpc get URL` over HTTP: any path of the server, also one that
// stands for no operation, with the answer as it comes, and what is no answer in the words of
// Octez's client (http-rpc section 14.1). Typed calls are session.h's.
#pragma once

#include <optional>
#include <string>

#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "rpc/element_codec.h"
#include "rpc/media.h"
#include "wire/http1/http1_response.h"

namespace capstan::apps {

struct PathCall {
  std::string method, target;  // "GET", "/pools?name=p"
  std::optional<std::string> body = {};
  std::optional<rpc::Media> media = rpc::Media::kJson;  // of the body; nothing: bytes
  bool stream = false;      // answers come for as long as somebody listens, each on a line
  bool raw = false;         // the answer is bytes of its own, in none of the media types
  bool secret = false;      // bodies are bytes of users, which no log shows
  bool repeatable = false;  // idempotent
};

// What is printed of an answer, piece by piece: JSON indented, or of a stream each element on a
// line; with `-m binary` the same in hexadecimal without the lengths (http-rpc section 14.1);
// anything else as it is.
class PathAnswer {
 public:
  PathAnswer(Session& session, const PathCall& call);
  // As client::HttpTake says.
  Result<void> take(const wire::Http1Response& head, std::string_view piece, bool last);

 private:
  Result<void> nothing(const wire::Http1Response& head);
  Result<void> keep(std::string_view piece);
  Result<void> lines(std::string_view piece, bool last);
  Result<void> whole(std::string_view piece, bool last);
  Result<void> hex(std::string_view piece, bool last);
  Result<void> hex_lines(std::string_view piece, bool last);

  Session& session_;
  bool stream_, hex_;
  std::string body_;
  rpc::ElementSplitter elements_;
};

// An error that ends the program with "Fatal error:" and exit code 1.
std::unexpected<Error> fatal(Code code, std::string text);
// "No service found at this URL"
std::unexpected<Error> no_service(std::string_view more = {});

// What is wrong with `url` as the target of a request, if anything: kInvalidArgument, marked as
// usage error.
Result<std::string> target_of(std::string_view url);

// Prints the answer as it comes.
Done call_http(Session& session, PathCall call);
// What GET answers, as a whole.
core::Task<Result<std::string>> http_document(Session& session, std::string target);

}  // namespace capstan::apps
