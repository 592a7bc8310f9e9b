// Why this file exists: calls that never see a connection: the pipeline with an exchange in memory
// (http-rpc section 3.7, T11), and answers put together again however they were cut, in every media
// type (sections 7.6, 8 and 9). Documents and directories that are no operations answer like those.
#include <gtest/gtest.h>

#include "json.pb.h"
#include "rpc/any_json.h"
#include "rpc/json_pretty.h"
#include "wire/http1/http1_response.h"
#include "wire/rest/answer_reader.h"
#include "wire/rest/documents.h"
#include "wire/rest/rest_testing.h"
#include "wire/rest/tree_testing.h"

namespace capstan::wire::rest {
namespace {

using core::Task;
using testing::exchange;
using testing::TestWorld;

// A request that is all here, and what is answered.
class LocalExchange final : public Exchange {
 public:
  LocalExchange(std::string method, std::string target, std::string body, Http1Headers headers = {})
      : body_(std::move(body)) {
    request_.headers = std::move(headers);
    request_.method = std::move(method);
    request_.target = std::move(target);
  }
  const Http1Request& request() const override { return request_; }
  const core::PeerInfo& peer() const override { return peer_; }
  core::CancelToken gone() const override { return gone_.token(); }
  core::CancelToken stopping() const override { return gone_.token(); }
  std::uint64_t announced_bytes() const override { return body_.size(); }
  Task<Result<ByteView>> read() override {
    co_return std::exchange(read_, true) ? ByteView() : as_bytes(body_);
  }
  void interrupt_read() override {}
  Task<Result<void>> answer(Reply made) override {
    keep(std::move(made));
    co_return Result<void>();
  }
  Task<Result<void>> start(Reply head, bool) override {
    keep(std::move(head));
    co_return Result<void>();
  }
  Task<Result<void>> write(std::string_view bytes) override {
    reply.body += bytes;
    co_return Result<void>();
  }
  Task<Result<void>> finish() override {
    finished = true;
    co_return Result<void>();
  }
  void break_off() override { reply.status = 0; }

  std::string header(std::string_view name) const {
    for (const auto& [key, value] : reply.headers) {
      if (key == name) return value;
    }
    return {};
  }

  Reply reply;
  bool finished = false;  // a stream or pieces

 private:
  void keep(Reply made) {
    reply = std::move(made);
    if (!reply.type.empty()) reply.headers.emplace_back("content-type", reply.type);
  }

  Http1Request request_;
  core::PeerInfo peer_;
  core::CancelSource gone_;
  std::string body_;
  bool read_ = false;
};

struct LocalCall {
  const char *method, *target, *body;
  unsigned status;
  const char* answer;
};

Task<void> call_all(TestWorld* world, std::vector<LocalCall> calls) {
  for (const LocalCall& one : calls) {
    LocalExchange local(one.method, one.target, one.body);
    co_await world->server->pipeline().serve(local);
    EXPECT_EQ(local.reply.status, one.status) << one.method << " " << one.target;
    EXPECT_EQ(local.reply.body, one.answer) << one.method << " " << one.target;
  }
}

// T11 with operations of ours: a value from path and body, and each way of going wrong.
TEST(RestInProcess, Table11) {
  const std::vector<LocalCall> calls = {
      {"PUT", "/kv/main/entries/0", "\"01\"", 200, "{}\n"},
      {"PUT", "/kv/main/entries/1", "\"01\"", 200, "{}\n"},
      {"PUT", "/kv/main/entries/2", "\"01\"", 200, "{}\n"},
      {"PUT", "/kv/main/entries/3", "\"01\"", 200, "{}\n"},
      {"POST", "/nimporte/quoi", "true", 404, ""},
      {"POST", "/kv/main/entries/1", "\"01\"", 405, ""},
      {"PUT", "/kv/main/entries/1", "", 400,
       "Failed to parse the request body: $: expected JSON, got nothing\n"},
      {"PUT", "/pools/p1", "{\"disks\":[\"/dev/x\"]}", 200,
       "{\"name\":\"p1\",\"disks\":[\"/dev/x\"]}\n"},
  };
  TestWorld world;
  world.run([&calls](TestWorld& in) -> Task<void> { return call_all(&in, calls); });
  EXPECT_EQ(world.service.written, "main/3=\x01");
  EXPECT_EQ(world.service.started, 5);
}

// --- put together again -------------------------------------------------------------------------

const CallPath& path_of(const CallPaths& paths, std::string_view pattern) {
  for (const auto& path : paths.paths) {
    if (path.binding.pattern() == pattern) return path;
  }
  CAPSTAN_ASSERT(false);
  return paths.paths.front();
}

CallPaths paths_of(const char* name) {
  const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  CAPSTAN_ASSERT(method);
  auto paths = CallPaths::of(*method);
  CAPSTAN_ASSERT(paths.has_value());
  return *std::move(paths);
}

// The messages of an answer whose body arrives in parts of `size` bytes; one more, "end", when it
// has ended as it should.
template <class T>
std::vector<std::string> messages(const CallPath& path, const std::string& answer,
                                  std::size_t size) {
  Http1ResponseParser parser;
  const auto head = parser.add(as_bytes(answer));
  EXPECT_TRUE(head && *head) << answer;
  AnswerReader reader(path, 1U << 20);
  reader.begin(parser.response());
  const auto framing = parser.framing();
  EXPECT_TRUE(framing);
  Http1BodyDecoder decoder(*framing);
  std::vector<std::string> found;
  T message;
  const auto take = [&](bool ended) {
    while (true) {
      const auto step = reader.next(message, ended);
      EXPECT_TRUE(step) << (step ? "" : step.error().text());
      if (!step || *step == AnswerReader::Step::kMore) return;
      if (*step == AnswerReader::Step::kEnd) return found.push_back("end");
      found.push_back(message.ShortDebugString());
    }
  };
  for (ByteView rest = parser.rest(); !rest.empty();) {
    ByteView part = rest.first(std::min(size, rest.size()));
    rest = rest.subspan(part.size());
    while (!part.empty() && !decoder.done()) {
      const auto step = decoder.next(part);
      EXPECT_TRUE(step);
      reader.add(as_text(step->piece));
      part = part.subspan(step->used);
    }
    if (!decoder.done()) take(false);
  }
  EXPECT_TRUE(decoder.done());
  take(true);
  return found;
}

constexpr const char* kMedia[] = {"application/json", "application/bson",
                                  "application/octet-stream"};
constexpr std::size_t kSizes[] = {16384, 64, 1};

Task<std::string> fetch(TestWorld* world, std::string path, std::string media) {
  co_return co_await exchange(
      world, "GET " + path + " HTTP/1.1\r\nHost: l\r\nAccept: " + media + "\r\n\r\n");
}

Task<void> lists_body(TestWorld* world) {
  const CallPaths paths = paths_of("mayastor.v1.PoolRpc.ListPools");
  for (const int count : {0, 10, 7}) {
    world->service.pool_count = count;
    std::string expected;
    for (int i = 0; i < count; ++i) {
      expected += std::string(i == 0 ? "" : " ") + "pools { name: \"p" + std::to_string(i) +
                  "\" capacity: 1024 }";
    }
    for (const char* media : kMedia) {
      const std::string answer = co_await fetch(world, "/pools", media);
      EXPECT_TRUE(answer.contains("transfer-encoding: chunked\r\n")) << answer;
      for (const std::size_t size : kSizes) {
        EXPECT_EQ(messages<mayastor::v1::ListPoolsResponse>(path_of(paths, "/pools"), answer, size),
                  (std::vector<std::string>{expected, "end"}))
            << count << " in " << media << " by " << size;
      }
    }
  }
}

// Large values: none, ten and seven pairs, cut by the reader at 16384, 64 and 1.
TEST(RestPieces, ListsHoweverTheyAreCut) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> { return lists_body(&in); });
}

Task<void> events_body(TestWorld* world) {
  const CallPaths paths = paths_of("capstan.node.v1.NodeRpc.MonitorEvents");
  std::vector<std::string> expected;
  for (int i = 0; i < 15; ++i) expected.push_back("id: \"" + std::to_string(i) + "\"");
  expected.push_back("end");
  for (const char* media : kMedia) {
    const std::string answer = co_await fetch(world, "/monitor/events", media);
    for (const std::size_t size : kSizes) {
      EXPECT_EQ(messages<node::v1::Event>(paths.paths.front(), answer, size), expected)
          << media << " by " << size;
    }
  }
}

TEST(RestPieces, FifteenElementsHoweverTheyAreCut) {
  TestWorld world;
  world.service.event_count = 15;
  world.service.events_end = true;
  world.run([](TestWorld& in) -> Task<void> { return events_body(&in); });
}

Task<void> elements_body(TestWorld* world) {
  const std::string head = "HTTP/1.1 200 OK\r\ncontent-type: application/";
  const std::string rest = "\r\ntransfer-encoding: chunked\r\n\r\n";
  EXPECT_EQ(co_await fetch(world, "/monitor/events", kMedia[0]),
            head + "json" + rest + "b\r\n{\"id\":\"0\"}\n\r\n0\r\n\r\n");
  const std::string bson = co_await fetch(world, "/monitor/events", kMedia[1]);
  EXPECT_EQ(bson, head + "bson" + rest + "f\r\n" +
                      std::string("\x0f\0\0\0\x02id\0\x02\0\0\0000\0\0", 15) + "\r\n0\r\n\r\n");
  // One element is one chunk: its length, then the length of what follows it.
  const std::string binary = co_await fetch(world, "/monitor/events", kMedia[2]);
  const std::string body = binary.substr(binary.find("\r\n\r\n") + 4);
  const std::size_t size = std::stoul(body, nullptr, 16), line = body.find("\r\n") + 2;
  EXPECT_EQ(load_be32(as_bytes(std::string_view(body).substr(line)).data()), size - 4);
  EXPECT_EQ(body.substr(line + size), "\r\n0\r\n\r\n");
}

// An element is one chunk with a lower-case size in each media type.
TEST(RestPieces, AnElementIsAChunk) {
  TestWorld world;
  world.service.event_count = 1;
  world.service.events_end = true;
  world.run([](TestWorld& in) -> Task<void> { return elements_body(&in); });
}

// --- what is no operation -----------------------------------------------------------------------

struct Question {
  std::string target, accept;
  unsigned status;
  std::string type;
};

Task<void> documents_body(TestWorld* world) {
  const std::vector<Question> questions = {
      {"/health/live", "", 200, "application/json"},
      {"/health/live", "application/bson", 200, "application/bson"},
      {"/describe/version", "application/octet-stream", 200, "application/octet-stream"},
      {"/describe?recurse", "application/bson", 200, "application/bson"},
      {"/describe?recurse=zz", "", 400, "text/plain"},
      {"/describe?recurse&recurse", "", 400, "text/plain"},
      {"/describe?recurse=no", "", 404, "application/json"},
      {"/describe", "application/bson", 404, "application/bson"},
      {"/describe/describe", "", 404, "application/json"},
      {"/describe/nope", "", 404, "application/json"},
      {"/errors", "application/octet-stream", 200, "application/octet-stream"},
      {"/openapi", "application/bson", 200, "application/bson"},
      {"/openapi/ui", "text/html", 200, "text/html; charset=utf-8"},
      {"/v0/api/spec", "application/bson", 406, "application/json"},
  };
  for (const Question& asked : questions) {
    const std::string accept = asked.accept.empty() ? "" : "Accept: " + asked.accept + "\r\n";
    const std::string answer = co_await exchange(
        world, "GET " + asked.target + " HTTP/1.1\r\nHost: l\r\n" + accept + "\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(asked.status) + " "))
        << asked.target << "\n"
        << answer.substr(0, 300);
    EXPECT_TRUE(answer.contains("content-type: " + asked.type + "\r\n")) << asked.target << "\n"
                                                                         << answer.substr(0, 300);
  }
  const std::string refused =
      co_await exchange(world, "GET /health/live HTTP/1.1\r\nHost: l\r\nAccept: text/html\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 406 ")) << refused;
  EXPECT_FALSE(refused.contains("content-type:")) << refused;
  // The same document in every type.
  const auto body_in = [](const std::string& answer, rpc::Media media) {
    const auto json =
        rpc::decode_any_json(media, std::string_view(answer).substr(answer.find("\r\n\r\n") + 4));
    EXPECT_TRUE(json) << (json ? "" : json.error().text());
    return json.value_or("");
  };
  for (const char* path : {"/describe/version", "/errors", "/health/ready"}) {
    const std::string json = body_in(co_await fetch(world, path, kMedia[0]), rpc::Media::kJson);
    for (const rpc::Media media : {rpc::Media::kBson, rpc::Media::kBinary}) {
      const std::string other =
          body_in(co_await fetch(world, path, std::string(rpc::media_name(media))), media);
      EXPECT_EQ(other + "\n", json) << path;
    }
  }
}

TEST(RestDocuments, AnswerInTheMediaTypeOfTheClient) {
  TestWorld world;
  auto documents = Documents::add_to(*world.server, {});
  ASSERT_TRUE(documents);
  world.run([](TestWorld& in) -> Task<void> { return documents_body(&in); });
}

// For people, as the bridge to JSON-RPC answers.
Task<Result<void>> echo(rpc::Call&, const rpc::Message& request, rpc::Message& response) {
  const auto& asked = static_cast<const mayastor::v1::JsonRpcRequest&>(request);
  CO_TRY_SET(std::string result, rpc::pretty_sorted_json(asked.params()));
  static_cast<mayastor::v1::JsonRpcResponse&>(response).set_result(std::move(result));
  co_return Result<void>();
}

// What a client of ours writes and reads, and what the server makes of it.
Task<void> any_json_body(Pipeline* pipeline) {
  const CallPaths paths = paths_of("mayastor.v1.JsonRpc.JsonRpcCall");
  mayastor::v1::JsonRpcRequest request;
  request.set_method("anything");
  request.set_params(R"({"a":[1,"x",null],"b":{}})");
  for (const rpc::Media media : {rpc::Media::kJson, rpc::Media::kBson, rpc::Media::kBinary}) {
    const std::string name(rpc::media_name(media));
    const auto written = write_request(paths, request, media);
    EXPECT_TRUE(written && written->media == media) << name;
    if (!written) continue;
    EXPECT_EQ(rpc::decode_any_json(media, written->body).value_or(""), request.params());
    LocalExchange local(written->method, written->target, written->body,
                        {{"content-type", name}, {"accept", name}});
    co_await pipeline->serve(local);
    EXPECT_EQ(local.reply.status, 200U) << local.reply.body;
    EXPECT_EQ(local.header("content-type"), name);
    // Whatever the method answers, JSON is one line.
    if (media == rpc::Media::kJson) {
      EXPECT_EQ(local.reply.body.find_first_of(" \n"), local.reply.body.size() - 1);
    }
    AnswerReader reader(paths.paths.front(), 1U << 20);
    Http1Response head;
    head.status = local.reply.status;
    head.headers = local.reply.headers;
    reader.begin(head);
    reader.add(local.reply.body);
    mayastor::v1::JsonRpcResponse response;
    const auto step = reader.next(response, true);
    EXPECT_TRUE(step && *step == AnswerReader::Step::kMessage) << name;
    EXPECT_EQ(response.result(), request.params()) << name;
    // The bytes have to be what they say.
    LocalExchange wrong("PUT", "/jsonrpc/x", "\x05", {{"content-type", name}});
    co_await pipeline->serve(wrong);
    EXPECT_EQ(wrong.reply.status, 400U) << name;
  }
}

TEST(RestDocuments, AnyJsonInEveryMediaType) {
  core::SimWorld world(1);
  core::NoLog sink;
  const core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                      nullptr};
  rpc::Directory directory;
  const auto* service =
      mayastor::v1::JsonRpcRequest::descriptor()->file()->FindServiceByName("JsonRpc");
  ASSERT_TRUE(directory.declare(service));
  ASSERT_TRUE(directory.bind_raw("mayastor.v1.JsonRpc/JsonRpcCall", {echo, nullptr}));
  const auto server = Server::create(directory, log, {});
  ASSERT_TRUE(server);
  world.run(any_json_body(&(*server)->pipeline()));
}

TEST(RestDocuments, ADynamicDirectoryThatFailsIsAnException) {
  TestWorld world;
  Route route;
  route.view = [](const ViewRequest& asked) { return Reply{200, {}, asked.arguments.at(0)}; };
  Tree tree;
  ASSERT_TRUE(tree.add_dynamic(testing::steps("/chains/<chain_id>"),
                               [&route](const std::vector<std::string>& arguments) -> Result<Tree> {
                                 if (arguments.at(0) != "main")
                                   return fail(Code::kNotFound, "no such chain");
                                 Tree below;
                                 EXPECT_TRUE(below.add(Method::kGet, testing::steps("/id"), route));
                                 return below;
                               }));
  ASSERT_TRUE(world.server->add_tree(MergePick::kNeither, std::move(tree)));
  world.run([](TestWorld& in) -> Task<void> {
    return [](TestWorld* at) -> Task<void> {
      EXPECT_EQ(co_await exchange(at, "GET /chains/main/id HTTP/1.1\r\nHost: l\r\n\r\n"),
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmain");
      EXPECT_EQ(co_await exchange(at, "GET /chains/test/id HTTP/1.1\r\nHost: l\r\n\r\n"),
                "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/ocaml.exception\r\n"
                "content-length: 14\r\n\r\nno such chain\n");
      EXPECT_TRUE((co_await exchange(at, "POST /chains/main/id HTTP/1.1\r\nHost: l\r\n\r\n"))
                      .starts_with("HTTP/1.1 405 "));
    }(&in);
  });
}

}  // namespace
}  // namespace capstan::wire::rest
