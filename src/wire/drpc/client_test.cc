// Why this file exists: the client half against our server and against servers that misbehave: what
// it takes for an answer, when it stops being connected, and what a deadline leaves behind.
#include "wire/drpc/client.h"

#include <gtest/gtest.h>

#include "drpc/hello.pb.h"
#include "wire/drpc/drpc_testing.h"

namespace capstan::wire::drpc {
namespace {

using namespace testing;
using core::kSecond;

core::Task<Result<Response>> echo(Client& client, std::string_view body, CallOptions options = {}) {
  co_return co_await client.call(77, 1, as_bytes(body), std::move(options));
}

core::Task<void> life(DrpcWorld& world) {
  Client client(world.env, world.path);
  EXPECT_FALSE(client.is_connected());
  EXPECT_EQ((co_await echo(client, "x")).error().code, Code::kFailedPrecondition);
  client.close();  // nothing to do
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(co_await client.connect());
    EXPECT_TRUE(co_await client.connect());
    for (std::int64_t i = 1; i <= 3; ++i) {
      const auto reply = co_await echo(client, "x");
      CAPSTAN_ASSERT(reply);
      EXPECT_EQ(reply->sequence, i);  // from 1 on every connection
    }
    client.close();
    EXPECT_FALSE(client.is_connected());
  }
  Client nowhere(world.env, "/run/nobody");
  const auto failed = co_await nowhere.connect();
  EXPECT_TRUE(failed.error().text().starts_with("dRPC connect: "));
  EXPECT_FALSE(nowhere.is_connected());
}
TEST(DrpcClient, ConnectsAndCounts) {
  DrpcWorld().run(life);
}

core::Task<void> statuses(DrpcWorld& world) {
  Client client(world.env, world.path);
  EXPECT_TRUE(co_await client.connect());
  const std::pair<std::int32_t, Status> cases[] = {{2, Status::kFailure},
                                                   {3, Status::kFailedUnmarshalPayload},
                                                   {4, Status::kSuccess},
                                                   {6, Status::kSubmitted},
                                                   {99, Status::kUnknownMethod}};
  for (const auto& [method, status] : cases) {
    const auto reply = co_await client.call(77, method, as_bytes("ab"), {});
    CAPSTAN_ASSERT(reply);
    EXPECT_EQ(reply->status, status);
    EXPECT_TRUE(reply->body.view().empty());
  }
  ::hello::Hello request;
  ::hello::HelloResponse response;
  request.set_name(std::string(131'073, 'a'));
  EXPECT_TRUE(co_await client.call_messages(0, 0, request, response, {}));
  EXPECT_EQ(response.greeting(), "Hello " + request.name());
  const auto refused = co_await client.call_messages(0, -1, request, response, {});
  EXPECT_NE(refused.error().text().find("UNKNOWN_METHOD"), std::string::npos);
  EXPECT_FALSE(co_await client.call_messages(77, 2, request, response, {}));
  EXPECT_TRUE(client.is_connected());
}
TEST(DrpcClient, AnyStatusIsAResponse) {
  DrpcWorld().run(statuses);
}

core::Task<void> one_call(Client* client, std::string body, int* done) {
  const auto reply = co_await echo(*client, body);
  CAPSTAN_ASSERT(reply);
  EXPECT_EQ(as_text(reply->body.view()), body);
  ++*done;
}

core::Task<void> serialized(DrpcWorld& world) {
  Client client(world.env, world.path);
  EXPECT_TRUE(co_await client.connect());
  core::Scope scope;
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    scope.spawn(one_call(&client, std::string(static_cast<std::size_t>(i) * 30'000, 'x'), &done));
  }
  co_await scope.join();
  EXPECT_EQ(done, 20);
}
TEST(DrpcClient, CallsOfSeveralTasksTakeTurns) {
  DrpcWorld().run(serialized);
}

core::Task<void> fire_later(core::CancelSource* source, Client* client) {
  (void)co_await core::sleep_for(kSecond);
  source ? source->fire() : client->close();
}

core::Task<void> gives_up(DrpcWorld& world) {
  Client client(world.env, world.path);
  CallOptions options;
  options.timeout = kSecond;
  EXPECT_TRUE(co_await client.connect());
  const auto late = co_await client.call(77, 11, as_bytes("x"), options);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  EXPECT_FALSE(client.is_connected());

  core::Scope scope;
  core::CancelSource source;
  options = {0, source.token()};
  EXPECT_TRUE(co_await client.connect());
  scope.spawn(fire_later(&source, nullptr));
  EXPECT_EQ((co_await client.call(77, 11, as_bytes("x"), options)).error().code, Code::kCancelled);
  EXPECT_FALSE(client.is_connected());

  EXPECT_TRUE(co_await client.connect());
  scope.spawn(fire_later(nullptr, &client));
  EXPECT_FALSE(co_await client.call(77, 11, as_bytes("x"), {}));
  EXPECT_FALSE(client.is_connected());
  co_await scope.join();

  EXPECT_TRUE(co_await client.connect());
  EXPECT_EQ((co_await echo(client, "y", options)).error().code, Code::kCancelled);
  EXPECT_TRUE(client.is_connected());  // nothing had been sent
  EXPECT_TRUE(co_await echo(client, "y"));
  world.echo->gate.set();
}
TEST(DrpcClient, DeadlinesAndCancellationEndTheConnection) {
  DrpcWorld().run(gives_up);
}

core::Task<void> old_speech(DrpcWorld& world) {
  ClientOptions options;
  options.legacy = true;
  Client client(world.env, world.path, options);
  EXPECT_TRUE(co_await client.connect());
  // Beyond 212960 bytes a packet needs a larger buffer, which is asked for once.
  for (const std::size_t size : {0U, 100U, 131'073U, 300'000U, 1'000'000U}) {
    const std::string body(size, 'l');
    const auto reply = co_await client.call(3, 301, as_bytes(body), {});
    CAPSTAN_ASSERT(reply);
    EXPECT_TRUE(as_text(reply->body.view()) == body);
  }
}
TEST(DrpcClient, SpeaksAsOldReleasesDid) {
  DrpcWorld().run(old_speech);
}

// --- servers that misbehave --------------------------------------------------------------------

// Answers the first packet with these, then closes when told to.
struct Script {
  std::vector<std::string> packets;
  bool close = false;
};

core::Task<void> play(core::PacketListener* listener, const Script* script, core::Event* end) {
  auto socket = co_await listener->accept();
  CAPSTAN_ASSERT(socket);
  EXPECT_TRUE(co_await receive(**socket));
  for (const std::string& packet : script->packets) co_await send(**socket, packet);
  if (!script->close) co_await end->wait();
}

std::string response_message(std::int64_t sequence, Status status, std::string_view body) {
  return std::string(as_text(MessagePrefix::response(sequence, status, body.size()).view())) +
         std::string(body);
}

core::Task<void> against(core::Env& env, const Script& script, Result<Response>* result,
                         bool* connected) {
  const auto address = core::Address::unix_path("/run/odd");
  auto listener = env.network().listen_packets(address);
  CAPSTAN_ASSERT(listener);
  core::Scope scope;
  core::Event end;
  scope.spawn(play(listener->get(), &script, &end));
  Client client(env, "/run/odd");
  EXPECT_TRUE(co_await client.connect());
  CallOptions options;
  options.timeout = kSecond;
  *result = co_await client.call(77, 1, as_bytes("x"), options);
  *connected = client.is_connected();
  end.set();
  co_await scope.join();
}

TEST(DrpcClient, OddServers) {
  const std::string good = framed(response_message(1, Status::kSuccess, "ok"));
  const std::string stale = framed(response_message(0, Status::kSuccess, "old"));
  const auto header = [](ChunkHeader one) { return std::string(as_text(encode_header(one))); };
  const struct {
    const char* name;
    Script script;
    Code code;  // kOk: answered with `body`
    std::string body;
  } cases[] = {
      {"good", {{good}}, Code::kOk, "ok"},
      {"stale replies first", {{stale, framed(""), stale, good}}, Code::kOk, "ok"},
      {"only stale ones", {{stale}}, Code::kDeadlineExceeded, ""},
      {"sequence ahead",
       {{framed(response_message(42, Status::kSuccess, "x"))}},
       Code::kInternal,
       ""},
      {"call not understood",
       {{framed(response_message(-1, Status::kFailedUnmarshalCall, ""))}},
       Code::kOk,
       ""},
      {"unknown status",
       {{framed(response_message(1, static_cast<Status>(99), ""))}},
       Code::kOk,
       ""},
      {"failure with a body",
       {{framed(response_message(1, Status::kFailure, "why"))}},
       Code::kOk,
       "why"},
      {"no response", {{framed("\xff\xff\xff")}}, Code::kInternal, ""},
      {"closes", {{}, true}, Code::kUnavailable, ""},
      {"closes inside", {{header({10, 3, 0, 2}) + "abc"}, true}, Code::kInvalidArgument, ""},
      {"short packet", {{"short"}}, Code::kInvalidArgument, ""},
      {"legacy reply",
       {{response_message(1, Status::kSuccess, std::string(50, 'x'))}},
       Code::kInvalidArgument,
       ""},
      {"chunk 1 first", {{header({10, 3, 1, 2}) + "abc"}}, Code::kInvalidArgument, ""},
      {"too large", {{header({65U << 20, 3, 0, 600}) + "abc"}}, Code::kResourceExhausted, ""},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.name);
    core::SimWorld world(1);
    core::SimEnv env(world);
    Result<Response> result = fail(Code::kUnknown, "never set");
    bool connected = false;
    world.run(against(env, one.script, &result, &connected));
    EXPECT_EQ(result ? Code::kOk : result.error().code, one.code)
        << (result ? "" : result.error().text());
    EXPECT_EQ(connected, one.code == Code::kOk);
    if (result) EXPECT_EQ(as_text(result->body.view()), one.body);
  }
}

}  // namespace
}  // namespace capstan::wire::drpc
