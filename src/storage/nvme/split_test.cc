// Why this file exists: every PDU of both directions, from the handshake to data that is asked for,
// cut after each of its bytes: a relay between our host and our target that hands on what it gets
// in pieces of a few bytes, each of which arrives alone.
#include <gtest/gtest.h>

#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

constexpr core::Nanos kLatency = 10'000;
constexpr std::uint16_t kRelayPort = 9420;

class Relay {
 public:
  Relay(core::Env& env, core::Address to, std::size_t piece)
      : env_(env), to_(std::move(to)), piece_(piece) {}

  core::Address start(const std::string& host) {
    auto listening = env_.network().listen(core::Address::tcp(host, kRelayPort));
    CAPSTAN_ASSERT(listening);
    listener_ = *std::move(listening);
    scope_.spawn(accept());
    return core::Address::tcp(host, kRelayPort);
  }
  core::Task<void> stop() {
    listener_->cancel();
    co_await scope_.join();
  }
  std::uint64_t pieces() const { return pieces_; }

 private:
  core::Task<void> accept() {
    while (auto stream = co_await listener_->accept()) scope_.spawn(serve(*std::move(stream)));
  }
  core::Task<void> serve(std::unique_ptr<core::Stream> host) {
    auto target = co_await env_.network().connect(to_, {});
    CAPSTAN_ASSERT(target);
    core::Scope both;
    both.spawn(hand_on(host.get(), target->get()));
    both.spawn(hand_on(target->get(), host.get()));
    co_await both.join();
  }
  core::Task<void> hand_on(core::Stream* from, core::Stream* to) {
    Bytes buffer(4096);
    while (true) {
      const auto got = co_await from->read(buffer);
      if (!got || *got == 0) break;
      for (std::size_t at = 0; at < *got; at += piece_) {
        const auto part = ByteView(buffer).subspan(at, std::min(piece_, *got - at));
        if (!co_await to->write(part)) break;
        ++pieces_;
        co_await pause(2 * kLatency);  // the next one finds this one read
      }
    }
    from->cancel();
    to->cancel();
  }

  core::Env& env_;
  core::Address to_;
  std::size_t piece_;
  std::unique_ptr<core::StreamListener> listener_;
  core::Scope scope_;
  std::uint64_t pieces_ = 0;
};

core::Task<void> talk(TargetWorld& world, std::string relay_host, std::size_t piece,
                      Digests digests) {
  Relay relay(world.env, world.address, piece);
  HostOptions options = host_options(relay.start(relay_host));
  options.digests = digests;
  options.connect_timeout = 600 * core::kSecond;
  HostWorld host(world.env, world.log);
  const auto opened = co_await host.open(options);
  EXPECT_TRUE(opened) << opened.error().text();
  if (opened) {
    RemoteDevice& device = *host.device;
    for (const std::size_t bytes : {512U, 9216U}) {  // the second one by R2T
      const Bytes data = pattern(bytes, static_cast<std::uint8_t>(bytes / 512));
      Bytes read(bytes);
      EXPECT_TRUE(co_await device.write(bytes, data));
      EXPECT_TRUE(co_await device.read(bytes, read));
      EXPECT_EQ(read, data);
      EXPECT_TRUE(co_await device.compare_and_write(bytes, data, data));
    }
    EXPECT_TRUE(co_await device.unmap(0, 4096));
    EXPECT_TRUE(co_await device.flush());
    EXPECT_EQ(host.controller().reconnects(), 0U);
  }
  co_await host.close();
  co_await relay.stop();
  EXPECT_GT(relay.pieces(), 20'000 / piece);
}

void in_pieces(std::size_t piece, Digests digests) {
  core::SimWorld sim(piece);
  core::SimEnv node(sim), hosts(sim);
  sim.network().options().min_latency = sim.network().options().max_latency = kLatency;
  TargetWorld world(node, hosts);
  const std::string relay_host = hosts.address();
  sim.run(whole(&world, node.address(), 8420,
                [&](TargetWorld& w) { return talk(w, relay_host, piece, digests); }));
}
TEST(NvmeSplit, EveryPduAfterEveryByte) {
  in_pieces(1, {});
  in_pieces(1, {true, true});
}
TEST(NvmeSplit, InPiecesOfOtherSizes) {
  for (const std::size_t piece : {2U, 3U, 7U, 8U, 9U, 23U, 24U, 25U, 71U, 73U, 127U, 129U}) {
    in_pieces(piece, {piece % 2 == 0, piece % 3 == 0});
  }
}

}  // namespace
}  // namespace capstan::storage::nvme
