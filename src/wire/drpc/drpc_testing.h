// Why this file exists: what the tests of dRPC share: the modules that the vectors were captured
// with, and a simulated world with a server in it. Test code.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/scope.h"
#include "core/sim_env.h"
#include "wire/drpc/client.h"
#include "wire/drpc/hello.h"
#include "wire/drpc/server.h"

namespace capstan::wire::drpc::testing {

class NoLog final : public core::LogSink {
 public:
  void write(const core::LogRecord&) override { ++records; }
  int records = 0;
};

// Module 77 of tests/vectors/drpc.txt, and beyond it: 11 waits for `gate` (or the session's token)
// and then echoes; 12 throws; 13 closes its session; 14 answers as many bytes as its body says; 15
// throws a Failure after an await; asked for 16, the module itself throws.
class EchoModule final : public Module {
 public:
  int running = 0, finished = 0;
  bool saw_peer_gone = false;
  core::PeerInfo peer;
  core::Event gate;
  Code stopped = Code::kOk;

  std::int32_t id() const override { return 77; }
  std::string_view name() const override { return "echo"; }
  std::optional<Method> method(std::int32_t id) const override {
    if (id == 16) throw std::out_of_range("no such page");
    if (id < 1 || id > 15) return std::nullopt;
    return Method{id, 77, "echo"};
  }
  core::Task<Answer> handle(Session& session, const Method& method, ByteView body) override {
    if (method.id == 12) throw std::runtime_error("on purpose");
    if (method.id == 15) {
      co_await core::yield();
      throw Failure::unmarshaling_payload();
    }
    ++running;
    peer = session.peer();
    if (method.id == 11) CO_TRY(co_await wait(session));
    saw_peer_gone = session.peer_gone();
    --running;
    ++finished;
    if (method.id == 13) session.close();
    co_return answer(method.id, body);
  }

 private:
  core::Task<std::expected<void, Failure>> wait(Session& session) {
    const core::CancelCallback stop(session.token(), [this] { gate.set(); });
    co_await gate.wait();
    stopped = session.token().reason();
    co_return std::expected<void, Failure>();
  }
  static Answer answer(std::int32_t method, ByteView body) {
    switch (method) {
      case 2: return std::unexpected(Failure(Error{Code::kInternal, 0, "plain", {}}));
      case 3: return std::unexpected(Failure::unmarshaling_payload());
      case 4: return Body();
      case 5: return std::unexpected(Failure::marshaling());
      case 6: return std::unexpected(Failure(Status::kSubmitted));
      case 7: return std::unexpected(Failure::with_message("of its own"));
      case 8: return std::unexpected(Failure(Status::kSuccess));
      // A Failure inside of an Error is an Error like any other.
      case 9: return std::unexpected(Failure(Error{Code::kUnknown, 0, "unknown method", {"in"}}));
      case 10: return std::unexpected(Failure::unknown_method());
      case 14: return Body::copy(std::vector<std::uint8_t>(body.size() * 1000, 'x'));
      default: return Body::borrow(body);
    }
  }
};

// Two modules of the vectors that are functions: 2 knows no method, 3 is what DAOS 2.6 routes.
inline std::unique_ptr<Module> make_module_3() {
  auto module = std::make_unique<FunctionModule>(3, "srv");
  module->add(301, "echo", [](Session&, ByteView body) -> Answer { return Body::borrow(body); });
  module->add(303, "fails", [](Session&, ByteView) -> Answer {
    return std::unexpected(Failure::unmarshaling_payload());
  });
  module->add(304, "nothing", [](Session&, ByteView) -> Answer { return Body(); });
  module->add(399, "throws",
              [](Session&, ByteView) -> Answer { throw std::runtime_error("on purpose"); });
  return module;
}

// A node with a server, and raw or real clients of it.
struct DrpcWorld {
  explicit DrpcWorld(const ServerOptions& options = {}, std::uint64_t seed = 1)
      : world(seed), env(world), server(env, log, path, options) {
    auto made = std::make_unique<EchoModule>();
    echo = made.get();
    EXPECT_TRUE(server.register_module(std::move(made)));
    EXPECT_TRUE(server.register_module(make_module_3()));
    EXPECT_TRUE(server.register_module(std::make_unique<FunctionModule>(2, "mgmt")));
    EXPECT_TRUE(server.register_module(make_hello_module()));
  }

  // Runs `body(*this)` with the server running, then shuts it down.
  template <class Test>
  void run(Test test) {
    world.run(whole(this, std::move(test)));
  }
  core::Task<std::unique_ptr<core::PacketSocket>> connect() {
    auto socket = co_await env.network().connect_packets(core::Address::unix_path(path), {});
    CAPSTAN_ASSERT(socket);
    co_return *std::move(socket);
  }

  std::string path = "/run/drpc.sock";
  core::SimWorld world;
  core::SimEnv env;
  NoLog sink;
  core::Log log{sink, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  DomainSocketServer server;
  EchoModule* echo = nullptr;

 private:
  template <class Test>
  static core::Task<void> whole(DrpcWorld* self, Test test) {
    const auto started = self->server.start();
    CAPSTAN_ASSERT(started);
    co_await test(*self);
    co_await self->server.shutdown();
    EXPECT_EQ(self->server.num_sessions(), 0U);
    EXPECT_EQ(self->server.memory().left(), limits::kDrpcMessagesBytes);
  }
};

inline core::Task<void> send(core::PacketSocket& socket, std::string packet) {
  const ByteView parts[] = {as_bytes(packet)};
  const auto sent = co_await socket.send(parts);
  EXPECT_TRUE(sent) << sent.error().text();
}

// The next packet; nothing when the server closed.
inline core::Task<std::optional<std::string>> receive(core::PacketSocket& socket) {
  std::vector<std::uint8_t> buffer(1U << 20);
  const auto got = co_await socket.receive(buffer);
  if (!got) {
    EXPECT_EQ(got.error().sys_errno, ECONNRESET) << got.error().text();
    co_return std::nullopt;
  }
  if (!*got) co_return std::nullopt;
  co_return std::string(as_text(ByteView(buffer).first(**got)));
}

inline std::string framed(std::string_view message) {
  const auto header = encode_header(chunk_header(message.size(), 0));
  return std::string(as_text(header)) + std::string(message);
}
inline std::string call_message(std::int32_t module, std::int32_t method, std::int64_t sequence,
                                std::string_view body) {
  const auto prefix = MessagePrefix::call(module, method, sequence, body.size());
  return std::string(as_text(prefix.view())) + std::string(body);
}

}  // namespace capstan::wire::drpc::testing
