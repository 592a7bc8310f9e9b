// Why this file exists: `capstan rpc get URL` over HTTP: any path of the server, also one that
// stands for no operation, with the answer as it comes, and what is no answer in the words of
// Octez's client (http-rpc section 14.1). Typed calls are session.h's.
#pragma once

#include <optional>
#include <string>

#include "apps/capstan/commands.h"
#include "apps/capstan/session.h"
#include "rpc/media.h"

namespace capstan::apps {

struct PathCall {
  std::string method, target;  // "GET", "/pools?name=p"
  std::optional<std::string> body = {};
  std::optional<rpc::Media> media = rpc::Media::kJson;  // of the body; nothing: bytes
  bool stream = false;  // answers come for as long as somebody listens, each on a line
  bool secret = false;  // bodies are bytes of users, which no log shows
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
