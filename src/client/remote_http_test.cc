// Why this file exists: the HTTP client against a server that says exactly what a test wants,
// byte by byte on a simulated network: answers cut at every place are errors and never an end, what
// may be repeated is repeated and nothing else, refusals become the codes that the node meant.
#include <gtest/gtest.h>

#include <array>

#include "client/http_exchange.h"
#include "client/remote.h"
#include "core/sim_env.h"
#include "datastore/datastore.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"
#include "rpc/media.h"
#include "wire/http1/http1_body.h"

namespace capstan::client {
namespace {

using core::kSecond;
using core::Task;

constexpr char kVersion[] = "capstan.node.v1.NodeRpc/GetVersion";
constexpr char kEvents[] = "capstan.node.v1.NodeRpc/MonitorEvents";
constexpr char kCreatePool[] = "mayastor.v1.PoolRpc/CreatePool";
constexpr char kStore[] = "capstan.datastore.v1.DataStoreRpc/";

std::string answer(int status, const std::string& body, const std::string& headers = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " x\r\n" + headers +
         "content-type: application/json\r\ncontent-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string version_answer() {
  return answer(200, "{\"version\":\"1\",\"of_tomorrow\":[1]}\n");
}
std::string trace(const std::string& id, const std::string& msg) {
  return "[{\"kind\":\"permanent\",\"id\":\"" + id + "\",\"msg\":\"" + msg +
         "\",\"uuid\":\"u\"}]\n";
}

// A server that answers each request with the next of `answers` and closes after the last one, or
// when one of them is not whole. "" closes without an answer; "wait" says nothing for ever.
struct Script {
  core::SimWorld world{1};
  core::SimEnv server{world}, client{world};
  std::vector<std::string> answers;
  std::vector<std::string> requests;
  int connections = 0;
  bool close_between = false;  // after each answer, although it says nothing of it
  core::Nanos pause = 0;       // between pieces of an answer
  std::size_t piece = 1000;
  wire::rest::MediaTypes media = HttpOptions().media;
  std::vector<HttpAttempt> attempts;
  std::string base_path;
  HttpLog* log = nullptr;

  core::Address address() const { return core::Address::tcp(server.address(), 80); }
  std::unique_ptr<Remote> remote() { return make_remote(client, options()); }
  RemoteOptions options() {
    RemoteOptions options;
    options.wire = Wire::kHttp;
    options.channel.address = core::Address::tcp(server.address(), 80);
    options.http.media = media;
    options.http.on_attempt = [this](const HttpAttempt& attempt) { attempts.push_back(attempt); };
    options.http.base_path = base_path;
    options.http.log = log;
    return options;
  }
};

// One request with its body; empty when the client closes.
Task<std::string> hear(core::Stream* stream) {
  std::string text;
  std::array<std::uint8_t, 4096> buffer;
  while (true) {
    const auto end = text.find("\r\n\r\n");
    if (end != std::string::npos) {
      const auto at = text.find("content-length: ");
      const std::size_t size = at < end ? std::stoul(text.substr(at + 16)) : 0;
      const bool chunked = text.find("transfer-encoding: chunked") < end;
      if (chunked ? text.ends_with("0\r\n\r\n") : text.size() >= end + 4 + size) co_return text;
    }
    const auto got = co_await stream->read(buffer);
    if (!got || *got == 0) co_return std::string();
    text.append(as_text(ByteView(buffer).first(*got)));
  }
}

Task<void> talk(Script* script, std::unique_ptr<core::Stream> stream, core::CancelToken end) {
  const core::CancelCallback on_end(end, [peer = stream.get()] { peer->cancel(); });
  while (!script->answers.empty()) {
    std::string request = co_await hear(stream.get());
    if (request.empty()) co_return;
    script->requests.push_back(std::move(request));
    if (script->answers.empty()) co_return;
    std::string text = script->answers.front();
    script->answers.erase(script->answers.begin());
    if (text == "wait") {
      const std::string left = co_await hear(stream.get());
      EXPECT_TRUE(left.empty());
      co_return;
    }
    for (std::size_t at = 0; at < text.size(); at += script->piece) {
      if (script->pause != 0) EXPECT_TRUE(co_await core::sleep_for(script->pause));
      if (!co_await stream->write(as_bytes(std::string_view(text).substr(at, script->piece)))) {
        co_return;
      }
    }
    if (script->close_between || text.empty()) co_return;
  }
}

Task<void> listen(Script* script, core::StreamListener* listener, core::Scope* scope) {
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) co_return;
    ++script->connections;
    scope->spawn(talk(script, *std::move(stream), scope->token()));
  }
}

using Body = Task<void> (*)(Script&, Remote&);

Task<void> whole(Script* script, Body body) {
  auto listener = script->server.network().listen(script->address());
  CAPSTAN_ASSERT(listener);
  core::Scope accepting, talking;
  accepting.spawn(listen(script, listener->get(), &talking));
  const auto remote = script->remote();
  co_await body(*script, *remote);
  co_await remote->close();
  (*listener)->cancel();
  co_await accepting.join();
  talking.cancel();
  co_await talking.join();
}

void run(Script& script, Body body) {
  script.world.run(whole(&script, body));
}

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code::kOk : result.error().code;
}
template <class T>
std::string text_of(const Result<T>& result) {
  return result ? "OK" : result.error().text();
}

Task<Result<void>> ask_version(Remote* remote, CallOptions options = {}) {
  node::v1::Version version;
  const node::v1::GetVersionRequest request;
  auto got = co_await remote->unary(kVersion, request, version, std::move(options));
  if (got) EXPECT_EQ(version.version(), "1");
  co_return got;
}

// --- whole answers ------------------------------------------------------------------------------

Task<void> kept_body(Script& script, Remote& remote) {
  for (int i = 0; i < 3; ++i) {
    const auto got = co_await ask_version(&remote);
    EXPECT_TRUE(got) << text_of(got);
  }
  EXPECT_EQ(script.connections, 1);
  EXPECT_TRUE(script.requests[0].starts_with("GET /version HTTP/1.1\r\nhost: "))
      << script.requests[0];
  EXPECT_NE(script.requests[0].find("accept: application/json;q=1,"), std::string::npos);
}
TEST(RemoteHttp, ConnectionsAreKept) {
  Script script;
  script.answers.assign(4, version_answer());
  run(script, kept_body);
}

Task<void> closed_body(Script& script, Remote& remote) {
  for (int i = 0; i < 3; ++i) {
    const auto got = co_await ask_version(&remote);
    EXPECT_TRUE(got) << text_of(got);
    EXPECT_TRUE(co_await core::sleep_for(kSecond));
  }
  EXPECT_EQ(script.connections, 3);
  EXPECT_EQ(script.requests.size(), 3U);
}
TEST(RemoteHttp, AServerThatClosesBetweenCallsIsFoundAgain) {
  Script script;
  script.answers.assign(3, version_answer());
  script.close_between = true;
  run(script, closed_body);
}

// The server closes a kept connection when the next request is under way.
Task<void> stale_body(Script& script, Remote& remote) {
  EXPECT_TRUE(co_await ask_version(&remote));
  const auto again = co_await ask_version(&remote);
  EXPECT_TRUE(again) << text_of(again);
  EXPECT_EQ(script.requests.size(), 3U);
  EXPECT_EQ(script.connections, 2);
  // Not what changes something: nobody knows whether it was done.
  datastore::v1::RenameRequest rename;
  rename.set_store("s");
  rename.set_key("a");
  rename.set_new_key("b");
  datastore::v1::WriteResponse response;
  const auto renamed = co_await remote.unary(std::string(kStore) + "Rename", rename, response, {});
  EXPECT_EQ(code_of(renamed), Code::kUnavailable) << text_of(renamed);
  EXPECT_EQ(script.requests.size(), 4U);
}
TEST(RemoteHttp, OnlyHarmlessCallsAreRepeatedOnANewConnection) {
  Script script;
  script.answers = {version_answer(), "", version_answer(), ""};
  run(script, stale_body);
}

Task<void> cut_body(Script& script, Remote& remote) {
  const auto got = co_await ask_version(&remote);
  EXPECT_EQ(code_of(got), Code::kUnavailable) << text_of(got) << "\n" << script.requests.size();
}
TEST(RemoteHttp, AnAnswerCutAnywhereIsAnError) {
  const std::string text = version_answer();
  for (std::size_t size = 1; size < text.size(); ++size) {
    Script script;
    script.answers = {text.substr(0, size)};
    run(script, cut_body);
  }
}

Task<void> endless_value_body(Script&, Remote& remote) {
  const auto got = co_await ask_version(&remote);
  EXPECT_EQ(code_of(got), Code::kUnavailable);
  EXPECT_NE(text_of(got).find("how long it is"), std::string::npos) << text_of(got);
}
TEST(RemoteHttp, AnAnswerThatEndsWithTheConnectionMayBeCut) {
  Script script;
  script.answers = {"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}\n"};
  script.close_between = true;
  run(script, endless_value_body);
}

Task<void> media_body(Script&, Remote& remote) {
  for (int i = 0; i < 3; ++i) {
    const auto got = co_await ask_version(&remote);
    EXPECT_TRUE(got) << text_of(got);
  }
  const auto html = co_await ask_version(&remote);
  EXPECT_EQ(code_of(html), Code::kUnavailable);
  EXPECT_NE(text_of(html).find("text/html"), std::string::npos) << text_of(html);
}
TEST(RemoteHttp, EveryMediaTypeOfTheNodeIsRead) {
  node::v1::Version version;
  version.set_version("1");
  const auto shape = rpc::BodyShape::of(version);
  Script script;
  for (const auto media : {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary}) {
    const auto body = *rpc::encode_body(media, version, shape);
    script.answers.push_back("HTTP/1.1 200 OK\r\ncontent-type: " + std::string(media_name(media)) +
                             ";x=y\r\ntransfer-encoding: chunked\r\n\r\n1\r\n" + body.substr(0, 1) +
                             "\r\n" + std::string("A;ext\r\n") + body.substr(1, 10) + "\r\n");
    std::string rest;
    wire::http1_append_chunk(body.substr(11), true, rest);
    script.answers.back() += rest + "0\r\n\r\n";
  }
  script.answers.emplace_back(
      "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi");
  run(script, media_body);
}

// --- refusals -----------------------------------------------------------------------------------

struct Refusal {
  std::string answer;
  Code code;
  std::string says;
};
const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> kAll = {
      {answer(404, trace("pool.not_found", "no 'p'")), Code::kNotFound, "no 'p'"},
      {answer(409, trace("pool.already_exists", "boom")), Code::kAlreadyExists, "boom"},
      {answer(409, trace("pool.failed_precondition", "boom")), Code::kFailedPrecondition, "boom"},
      {answer(409, trace("pool.resource_exhausted", "full"), "retry-after: 3\r\n"),
       Code::kResourceExhausted, "full"},
      {answer(401, trace("auth.unauthorized", "no token")), Code::kUnauthenticated, "no token"},
      {answer(401, ""), Code::kPermissionDenied, "access list"},
      {answer(500, trace("pool.data_loss", "bad")), Code::kDataLoss, "bad"},
      {answer(503, trace("pool.aborted", "later")), Code::kAborted, "later"},
      {answer(504, trace("pool.deadline_exceeded", "late")), Code::kDeadlineExceeded, "late"},
      {answer(500, "[]"), Code::kInternal, "Empty_error_list"},
      {answer(500, "oops"), Code::kInternal, "oops"},
      {answer(422, R"({"details":"it is there","message":"/v0/x","kind":"AlreadyExists"})"),
       Code::kAlreadyExists, "it is there"},
      {"HTTP/1.1 400 x\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nbad query",
       Code::kInvalidArgument, "bad query"},
      {"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n", Code::kUnimplemented, "does not serve it"},
      {"HTTP/1.1 405 x\r\nallow: PUT\r\nallow: GET, POST\r\ncontent-length: 0\r\n\r\n",
       Code::kUnimplemented, "GET, POST"},
      {"HTTP/1.1 405 x\r\nallow: GET\r\nAllow: PATCH\r\ncontent-length: 0\r\n\r\n",
       Code::kUnimplemented, "GET, PATCH"},
      {"HTTP/1.1 406 x\r\ncontent-length: 11\r\n\r\ntext/plain\n", Code::kUnimplemented,
       "text/plain"},
      {"HTTP/1.1 403 x\r\nX-OCaml-Resto-CORS-Error: invalid host\r\ncontent-length: 0\r\n\r\n",
       Code::kPermissionDenied, "host name"},
      {"HTTP/1.1 500 x\r\ncontent-type: text/ocaml.exception\r\ncontent-length: 7\r\n\r\nFailure",
       Code::kInternal, "Failure"},
      {"HTTP/1.1 418 x\r\ncontent-length: 0\r\n\r\n", Code::kUnknown, "418"},
      {"NOT HTTP AT ALL\r\n\r\n", Code::kUnavailable, "not HTTP"},
  };
  return kAll;
}

Task<void> refusals_body(Script&, Remote& remote) {
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  for (const auto& expected : refusals()) {
    const auto got = co_await remote.unary(kCreatePool, request, pool, {});
    EXPECT_EQ(code_of(got), expected.code) << expected.answer << "\n" << text_of(got);
    EXPECT_NE(text_of(got).find(expected.says), std::string::npos) << expected.answer << "\n"
                                                                   << text_of(got);
    if (expected.says == "full") {
      CAPSTAN_ASSERT(got.error().details);
      EXPECT_EQ(got.error().details->retry_after_ns, 3'000'000'000U);
      EXPECT_EQ(got.error().details->facts.at(0).second, "u");
    }
  }
}
TEST(RemoteHttp, RefusalsHaveTheCodeThatWasMeant) {
  Script script;
  for (const auto& one : refusals()) script.answers.push_back(one.answer);
  run(script, refusals_body);
}

// --- repeating ----------------------------------------------------------------------------------

Task<void> retry_body(Script& script, Remote& remote) {
  const core::Nanos begun = core::Reactor::current()->now();
  EXPECT_TRUE(co_await ask_version(&remote));
  EXPECT_EQ(script.requests.size(), 10U);
  const core::Nanos took = core::Reactor::current()->now() - begun;
  EXPECT_GE(took, 3600 * core::kMillisecond);
  EXPECT_LT(took, 5 * kSecond);
  const auto refused = co_await ask_version(&remote);
  EXPECT_EQ(code_of(refused), Code::kUnavailable);
  EXPECT_NE(text_of(refused).find("away"), std::string::npos) << text_of(refused);
  EXPECT_EQ(script.requests.size(), 20U);
  // Each 502 is told, the last one too.
  EXPECT_EQ(script.attempts.size(), 19U);
  core::Nanos pauses = 0;
  for (std::size_t i = 0; i < script.attempts.size(); ++i) {
    const HttpAttempt& attempt = script.attempts[i];
    EXPECT_EQ(attempt.number, static_cast<int>(i % 9 + (i == 18 ? 10 : 1)));
    EXPECT_EQ(attempt.last, i == 18);
    EXPECT_NE(attempt.text.find("away"), std::string::npos) << attempt.text;
    if (i < 9) pauses += attempt.pause;
  }
  EXPECT_EQ(pauses, 3600 * core::kMillisecond);
}
TEST(RemoteHttp, A502IsTriedTenTimes) {
  Script script;
  script.answers.assign(9, answer(502, "away"));
  script.answers.push_back(version_answer());
  script.answers.insert(script.answers.end(), 10, answer(502, "away"));
  script.answers.push_back(version_answer());
  run(script, retry_body);
}

// The node may have died after it did what was asked.
Task<void> once_body(Script& script, Remote& remote) {
  mayastor::v1::ImportPoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  const auto got = co_await remote.unary("mayastor.v1.PoolRpc/ImportPool", request, pool, {});
  EXPECT_EQ(code_of(got), Code::kUnavailable);
  EXPECT_EQ(script.requests.size(), 1U);
  EXPECT_EQ(script.attempts.size(), 1U);
  EXPECT_TRUE(script.attempts.empty() || script.attempts[0].last);
}
TEST(RemoteHttp, A502IsNotTriedAgainWhereTwiceIsTooOften) {
  Script script;
  script.answers.assign(2, answer(502, "away"));
  run(script, once_body);
}

Task<void> no_retry_body(Script& script, Remote& remote) {
  for (std::size_t i = 1; i <= 3; ++i) {
    EXPECT_FALSE(co_await ask_version(&remote));
    EXPECT_EQ(script.requests.size(), i);
  }
}
TEST(RemoteHttp, OtherErrorsAreNotTriedAgain) {
  Script script;
  script.answers = {answer(503, "x"), answer(504, "x"), answer(500, "x"), version_answer()};
  run(script, no_retry_body);
}

// --- media types --------------------------------------------------------------------------------

Task<void> wanted_media_body(Script& script, Remote& remote) {
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  // A server that does not take what is offered is not offered anything else.
  const auto got = co_await remote.unary(kCreatePool, request, pool, {});
  EXPECT_EQ(code_of(got), Code::kUnimplemented) << text_of(got);
  EXPECT_EQ(script.requests.size(), 1U);
}
struct MediaCase {
  wire::rest::MediaTypes media;
  const char *accept, *content_type;
};
TEST(RemoteHttp, OnlyTheMediaTypesThatAreWanted) {
  using rpc::Media;
  const std::vector<MediaCase> cases = {
      {{Media::kBinary}, "application/octet-stream;q=0.200", "application/octet-stream"},
      {{Media::kBson}, "application/bson;q=0.100", "application/bson"},
  };
  for (const auto& one : cases) {
    Script script;
    script.media = one.media;
    script.answers = {"HTTP/1.1 415 x\r\ncontent-length: 0\r\n\r\n", answer(200, "{}")};
    run(script, wanted_media_body);
    ASSERT_FALSE(script.requests.empty());
    const std::string& request = script.requests.front();
    EXPECT_NE(request.find(std::string("\r\naccept: ") + one.accept + "\r\n"), request.npos)
        << request;
    EXPECT_NE(request.find(std::string("\r\ncontent-type: ") + one.content_type + "\r\n"),
              request.npos)
        << request;
  }
}

// --- redirects ----------------------------------------------------------------------------------

Task<void> redirect_body(Script& script, Remote& remote) {
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  const auto got = co_await remote.unary(kCreatePool, request, pool, {});
  EXPECT_TRUE(got) << text_of(got);
  EXPECT_TRUE(script.requests.at(1).starts_with("PUT /elsewhere?x=1 HTTP/1.1"))
      << script.requests[1];
  EXPECT_TRUE(script.requests.at(1).ends_with("{}\n"));
  const auto away = co_await ask_version(&remote);
  EXPECT_EQ(code_of(away), Code::kUnavailable);
  EXPECT_NE(text_of(away).find("http://other/"), std::string::npos);
  const auto endless = co_await ask_version(&remote);
  EXPECT_NE(text_of(endless).find("20 redirects"), std::string::npos) << text_of(endless);
}
TEST(RemoteHttp, RedirectsAreFollowedOnTheSameServer) {
  Script script;
  script.answers = {answer(307, "", "location: /elsewhere?x=1#part\r\n"), answer(200, "{}"),
                    answer(301, "", "location: http://other/\r\n")};
  script.answers.insert(script.answers.end(), 22, answer(308, "", "location: /again\r\n"));
  run(script, redirect_body);
}

Task<void> other_media_body(Script& script, Remote& remote) {
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  for (int i = 0; i < 2; ++i) {
    const auto got = co_await remote.unary(kCreatePool, request, pool, {});
    EXPECT_TRUE(got) << text_of(got);
  }
  EXPECT_EQ(script.requests.size(), 3U);
  EXPECT_NE(script.requests[1].find("content-type: application/octet-stream"), std::string::npos);
  EXPECT_NE(script.requests[2].find("content-type: application/octet-stream"), std::string::npos);
}
TEST(RemoteHttp, ANodeThatTakesNoJsonIsAskedOtherwise) {
  Script script;
  script.answers = {"HTTP/1.1 415 x\r\ncontent-length: 0\r\n\r\n", answer(200, "{}"),
                    answer(200, "{}"), ""};
  run(script, other_media_body);
}

// --- any path -----------------------------------------------------------------------------------

class Logged final : public HttpLog {
 public:
  std::vector<std::string> lines;
  unsigned asked(const std::string& uri, const Body& body) override {
    lines.push_back(">" + std::to_string(next_) + uri.substr(uri.find('/', 8)) + told(body));
    return next_++;
  }
  void answered(unsigned number, unsigned status, const Body& body) override {
    lines.push_back("<" + std::to_string(number) + " " + std::to_string(status) + told(body));
  }
  void failed(unsigned number, const Error& error) override {
    lines.push_back("!" + std::to_string(number) + " " + std::string(code_name(error.code)));
  }

 private:
  static std::string told(const Body& body) {
    return " " + std::string(body.type) + (body.secret ? " secret " : " ") +
           std::string(body.bytes);
  }
  unsigned next_ = 0;
};

struct Heard {
  unsigned status = 0;
  std::string body;
  int ends = 0;
};
Task<Result<void>> exchange(Script* script, HttpAsk ask, Heard* heard, CallOptions call = {}) {
  return http_exchange(
      script->client, script->options(), std::move(ask), std::move(call),
      [heard](const wire::Http1Response& head, std::string_view piece, bool last) -> Result<void> {
        heard->status = head.status;
        heard->body += piece;
        heard->ends += last ? 1 : 0;
        return {};
      });
}

Task<void> any_path_body(Script& script, Remote&) {
  Heard found;
  const auto got = co_await exchange(&script, {"GET", "/health/ready?x=1"}, &found);
  EXPECT_TRUE(got) << text_of(got);
  EXPECT_EQ(found.status, 200U);
  EXPECT_EQ(found.body, "{\"ready\":true}\n");
  EXPECT_EQ(found.ends, 1);
  EXPECT_TRUE(script.requests[0].starts_with("GET /base/health/ready?x=1 HTTP/1.1\r\n"));
  EXPECT_TRUE(script.requests[1].starts_with("GET /there HTTP/1.1\r\n")) << script.requests[1];
  Heard missing;
  EXPECT_TRUE(co_await exchange(&script, {"PUT", "/nope", "{}"}, &missing));
  EXPECT_EQ(missing.status, 404U);
  EXPECT_TRUE(script.requests.back().ends_with("content-length: 2\r\n\r\n{}"));
  // Behind a 502 it may have been done.
  Heard refused;
  EXPECT_TRUE(co_await exchange(&script, {"PUT", "/twice", "{}"}, &refused));
  EXPECT_EQ(refused.status, 502U);
  EXPECT_EQ(script.attempts.size(), 1U);
  Heard cut;
  EXPECT_EQ(code_of(co_await exchange(&script, {"GET", "/cut"}, &cut)), Code::kUnavailable);
  EXPECT_EQ(cut.ends, 0);
}
Task<void> repeatable_body(Script& script, Remote&) {
  HttpAsk ask{"PUT", "/again", "{}"};
  ask.repeatable = true;
  Heard heard;
  EXPECT_TRUE(co_await exchange(&script, std::move(ask), &heard));
  EXPECT_EQ(heard.status, 200U);
  EXPECT_EQ(script.attempts.size(), 1U);
  EXPECT_EQ(script.requests.size(), 2U);
  EXPECT_EQ(script.requests.back(), script.requests.front());
  EXPECT_TRUE(script.requests.back().ends_with("\r\n\r\n{}"));
}
TEST(RemoteHttp, AnIdempotentCallByPathIsRepeatedAfterA502) {
  Script script;
  script.answers = {answer(502, "away"), answer(200, "{}")};
  run(script, repeatable_body);
}

TEST(RemoteHttp, AnyPathIsAsked) {
  Script script;
  Logged log;
  script.base_path = "/base";
  script.log = &log;
  script.answers = {answer(307, "", "location: /there\r\n"), answer(200, "{\"ready\":true}\n"),
                    "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n", answer(502, "away"),
                    "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nab"};
  run(script, any_path_body);
  EXPECT_EQ(log.lines,
            (std::vector<std::string>{
                ">0/base/health/ready?x=1  ", "<0 307 application/json ", ">1/there  ",
                "<1 200 application/json {\"ready\":true}\n", ">2/base/nope application/json {}",
                "<2 404  ", ">3/base/twice application/json {}", "<3 502 application/json away",
                ">4/base/cut  ", "!4 UNAVAILABLE"}));
}

Task<void> late_exchange_body(Script& script, Remote&) {
  CallOptions call;
  call.deadline = core::Reactor::current()->now() + kSecond;
  Heard heard;
  EXPECT_EQ(code_of(co_await exchange(&script, {"GET", "/x"}, &heard, call)),
            Code::kDeadlineExceeded);
  EXPECT_LE(core::Reactor::current()->now(), call.deadline + core::kMillisecond);
}
TEST(RemoteHttp, AnExchangeEndsAtItsDeadline) {
  Script script;
  script.answers = {"wait"};
  run(script, late_exchange_body);
}

Task<void> logged_body(Script& script, Remote& remote) {
  EXPECT_TRUE(co_await ask_version(&remote));
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  mayastor::v1::Pool pool;
  EXPECT_EQ(code_of(co_await remote.unary(kCreatePool, request, pool, {})), Code::kNotFound);
  datastore::v1::WriteRequest write;
  write.set_store("s");
  write.set_key("k");
  write.set_value("v");
  datastore::v1::WriteResponse written;
  EXPECT_TRUE(co_await remote.unary(std::string(kStore) + "Write", write, written, {}));
  EXPECT_TRUE(script.requests[0].starts_with("GET /base/version HTTP/1.1\r\n"));
}
TEST(RemoteHttp, CallsAreLoggedAsTheyGoOverTheWire) {
  Script script;
  Logged log;
  script.base_path = "/base";
  script.log = &log;
  script.answers = {version_answer(), answer(404, trace("pool.not_found", "none")),
                    answer(200, "{}")};
  run(script, logged_body);
  ASSERT_EQ(log.lines.size(), 6U);
  EXPECT_EQ(log.lines[0], ">0/base/version  ");
  EXPECT_TRUE(log.lines[1].starts_with("<0 200 application/json {\"version\":\"1\""))
      << log.lines[1];
  EXPECT_TRUE(log.lines[2].starts_with(">1/base/pools/p application/json {")) << log.lines[2];
  EXPECT_TRUE(log.lines[3].starts_with("<1 404 application/json [{")) << log.lines[3];
  EXPECT_TRUE(log.lines[4].starts_with(">2/base/kv/s/entries/")) << log.lines[4];
  EXPECT_NE(log.lines[4].find(" secret "), std::string::npos) << log.lines[4];
}

// --- time ---------------------------------------------------------------------------------------

Task<void> late_body(Script& script, Remote& remote) {
  CallOptions options;
  options.deadline = core::Reactor::current()->now() + kSecond;
  const auto got = co_await ask_version(&remote, options);
  EXPECT_EQ(code_of(got), Code::kDeadlineExceeded) << text_of(got);
  EXPECT_NE(script.requests.at(0).find("x-timeout-ms: 1000\r\n"), std::string::npos);
  EXPECT_LE(core::Reactor::current()->now(), options.deadline + core::kMillisecond);
}
TEST(RemoteHttp, ADeadlineEndsWaiting) {
  Script script;
  script.answers = {"wait"};
  run(script, late_body);
}

// --- streams ------------------------------------------------------------------------------------

std::string stream_answer(int events, bool last) {
  std::string text =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
  for (int i = 0; i < events; ++i) {
    wire::http1_append_chunk("{\"id\":\"" + std::to_string(i) + "\"}\n", false, text);
  }
  return last ? text + "0\r\n\r\n" : text;
}

Task<Result<int>> count_events(Remote* remote) {
  const node::v1::MonitorEventsRequest request;
  CO_TRY_SET(auto call, co_await remote->open(kEvents, &request, {}));
  node::v1::Event event;
  for (int count = 0;; ++count) {
    CO_TRY_SET(const bool more, co_await call->next(event));
    if (!more) co_return count;
    EXPECT_EQ(event.id(), std::to_string(count));
  }
}

Task<void> stream_body(Script& script, Remote& remote) {
  for (int i = 0; i < 2; ++i) {
    const auto count = co_await count_events(&remote);
    EXPECT_EQ(code_of(count), Code::kOk) << text_of(count);
    EXPECT_EQ(count.value_or(-1), 3);
  }
  EXPECT_EQ(script.connections, 1);
}
TEST(RemoteHttp, AStreamEndsWithItsLastChunk) {
  for (const std::size_t piece : {1, 7, 1000}) {
    Script script;
    script.piece = piece;
    script.answers = {stream_answer(3, true), stream_answer(3, true), ""};
    run(script, stream_body);
  }
}

Task<void> cut_stream_body(Script&, Remote& remote) {
  const auto count = co_await count_events(&remote);
  EXPECT_EQ(code_of(count), Code::kUnavailable) << text_of(count);
}
TEST(RemoteHttp, AStreamCutAnywhereIsAnErrorAndNoEnd) {
  const std::string text = stream_answer(3, true);
  for (std::size_t size = 1; size < text.size(); ++size) {
    Script script;
    script.answers = {text.substr(0, size)};
    run(script, cut_stream_body);
  }
}
// The framing is whole, the last element is not.
TEST(RemoteHttp, AnElementThatIsCutIsAnError) {
  Script script;
  std::string text = stream_answer(2, false);
  wire::http1_append_chunk("{\"id\":\"2\"}", false, text);
  script.answers = {text + "0\r\n\r\n"};
  run(script, cut_stream_body);
}

Task<void> slow_reader_body(Script&, Remote& remote) {
  const node::v1::MonitorEventsRequest request;
  auto call = co_await remote.open(kEvents, &request, {});
  EXPECT_TRUE(call);
  EXPECT_TRUE(co_await core::sleep_for(100 * kSecond));  // nothing is taken meanwhile
  node::v1::Event event;
  int count = 0;
  while (true) {
    const auto more = co_await (*call)->next(event);
    EXPECT_TRUE(more) << text_of(more);
    if (!more || !*more) break;
    ++count;
  }
  EXPECT_EQ(count, 100'000);
}
TEST(RemoteHttp, AStreamWaitsForItsReader) {
  Script script;
  script.piece = 65536;
  script.answers = {stream_answer(100'000, true), ""};
  run(script, slow_reader_body);
}

Task<void> leaving_body(Script& script, Remote& remote) {
  const node::v1::MonitorEventsRequest request;
  auto call = co_await remote.open(kEvents, &request, {});
  EXPECT_TRUE(call);
  node::v1::Event event;
  EXPECT_TRUE(co_await (*call)->next(event));
  call = std::unexpected(Error{Code::kCancelled, 0, {}, {}});
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_TRUE(co_await ask_version(&remote));
  EXPECT_EQ(script.connections, 2);
}
TEST(RemoteHttp, LeavingAStreamClosesItsConnection) {
  Script script;
  script.answers = {stream_answer(3, false), version_answer(), ""};
  run(script, leaving_body);
}

// --- uploads ------------------------------------------------------------------------------------

Task<void> upload_body(Script& script, Remote& remote) {
  auto call = co_await remote.open(std::string(kStore) + "WriteStream", nullptr, {});
  EXPECT_TRUE(call);
  datastore::v1::WriteStreamRequest part;
  part.set_store("s");
  part.set_key("k");
  part.set_data("abc");
  EXPECT_TRUE(co_await (*call)->send(part));
  part.clear_store();
  part.clear_key();
  part.set_data("de");
  EXPECT_TRUE(co_await (*call)->send(part));
  (*call)->finish_sending();
  datastore::v1::WriteResponse response;
  const auto got = co_await (*call)->next(response);
  EXPECT_TRUE(got && *got) << text_of(got);
  EXPECT_EQ(response.tail_offset(), 5U);
  EXPECT_TRUE(script.requests.at(0).starts_with("PUT /kv/s/raw/k HTTP/1.1\r\n"));
  EXPECT_TRUE(script.requests[0].ends_with("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
      << script.requests[0];
  EXPECT_TRUE(co_await (*call)->finish());
}
Task<void> take(RemoteCall* call, datastore::v1::WriteResponse* response, Result<bool>* got) {
  *got = co_await call->next(*response);
}
Task<void> early_reader_body(Script& script, Remote& remote) {
  auto call = co_await remote.open(std::string(kStore) + "WriteStream", nullptr, {});
  datastore::v1::WriteResponse response;
  Result<bool> got = false;
  core::Scope reading;
  reading.spawn(take(call->get(), &response, &got));  // before anything is sent
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  datastore::v1::WriteStreamRequest part;
  part.set_store("s");
  part.set_key("k");
  part.set_data("abc");
  EXPECT_TRUE(co_await (*call)->send(part));
  (*call)->finish_sending();
  co_await reading.join();
  EXPECT_TRUE(got && *got) << text_of(got);
  EXPECT_EQ(response.tail_offset(), 5U);
  EXPECT_EQ(script.requests.size(), 1U);
  // Nothing at all: the request decides the path, and there is none.
  call = co_await remote.open(std::string(kStore) + "WriteStream", nullptr, {});
  (*call)->finish_sending();
  EXPECT_EQ(code_of(co_await (*call)->next(response)), Code::kInvalidArgument);
}
TEST(RemoteHttp, AnAnswerMayBeAwaitedBeforeTheFirstRequest) {
  Script script;
  script.answers = {answer(200, "{\"tail_offset\":\"5\"}\n"), ""};
  run(script, early_reader_body);
}
TEST(RemoteHttp, AnUploadIsAChunkForEachRequest) {
  Script script;
  script.answers = {answer(200, "{\"tail_offset\":\"5\"}\n"), ""};
  run(script, upload_body);
}

}  // namespace
}  // namespace capstan::client
