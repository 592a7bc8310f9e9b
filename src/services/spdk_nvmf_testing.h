// Why this file exists: a node in simulation whose SPDK calls are made as a client of JSON-RPC
// makes them, with a device "N1", and hosts that really connect to what was made; for tests of
// spdk.Nvmf.
#pragma once

#include <google/protobuf/util/json_util.h>

#include <list>
#include <memory>
#include <string>

#include "services/spdk_testing.h"
#include "storage/nvme/nvme_testing.h"

namespace capstan::services {

class SpdkNvmfTest : public SpdkCalls {
 protected:
  using Host = storage::nvme::testing::RawHost;
  static constexpr char kNqn[] = "nqn.2019-05.io.openebs:hand";
  static constexpr char kUuid[] = "11111111-2222-3333-4444-555555555555";

  void SetUp() override {
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address(), .ana = true});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
    EXPECT_EQ(
        json("bdev_malloc_create", R"({"name":"N1","block_size":512,"num_blocks":2048,"uuid":")" +
                                       std::string(kUuid) + R"("})"),
        R"("N1")");
  }
  void TearDown() override {
    world_.run(hang_up(&hosts_));
    ServicesTest::TearDown();
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }
  static core::Task<void> hang_up(std::list<Host>* hosts) {
    for (auto& host : *hosts) host.hang_up();
    co_return;
  }

  static std::string nqn(const std::string& more = "", const std::string& of = kNqn) {
    return R"({"nqn":")" + of + "\"" + more + "}";
  }
  std::string address(const char* port = "4420") const {
    return R"("listen_address":{"trtype":"tcp","traddr":")" + env_.address() +
           R"(","adrfam":"ipv4","trsvcid":")" + port + R"("})";
  }
  // The address as it is printed.
  std::string printed(const char* port = "4420") const {
    return R"({"trtype":"TCP","adrfam":"IPv4","traddr":")" + env_.address() + R"(","trsvcid":")" +
           port + R"("})";
  }
  void make(const std::string& more = R"(,"allow_any_host":true)") {
    EXPECT_EQ(json("nvmf_create_subsystem", nqn(more)), "true");
    EXPECT_EQ(json("nvmf_subsystem_add_ns", nqn(R"(,"namespace":{"bdev_name":"N1"})")), "1");
    EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn("," + address())), "true");
  }

  static core::Task<void> dial(core::SimEnv* env, Host* host, std::uint16_t port, std::string name,
                               storage::nvme::Status* status) {
    co_await host->open(*env, core::Address::tcp(env->address(), port));
    const auto answer = co_await host->connect(
        {0, 0, 31, 0, 0}, {storage::nvme::testing::kHostId, storage::nvme::kAnyController, name,
                           storage::nvme::testing::kHostNqn});
    *status = answer.completion.status;
    host->controller = static_cast<std::uint16_t>(answer.completion.dword0);
    if (!status->ok()) co_return;
    EXPECT_TRUE((co_await host->set_property(storage::nvme::property::kCc, 0x00460001))
                    .completion.status.ok());
  }
  // What Connect to an admin queue is answered; the host stays connected when it may.
  storage::nvme::Status connect(Host& host, std::uint16_t port = 4420,
                                const std::string& to = kNqn) {
    storage::nvme::Status status;
    world_.run(dial(&env_, &host, port, to, &status));
    return status;
  }
  static core::Task<void> open_queue(core::SimEnv* env, Host* io, std::uint16_t of) {
    co_await io->open(*env, core::Address::tcp(env->address(), 4420));
    const auto answer = co_await io->connect(
        {0, 1, 127, 0, 0},
        {storage::nvme::testing::kHostId, of, kNqn, storage::nvme::testing::kHostNqn});
    EXPECT_TRUE(answer.completion.status.ok());
  }
  static core::Task<void> read_block(Host* io, storage::nvme::Status* status) {
    *status = (co_await io->read(0, 1)).completion.status;
  }
  storage::nvme::Status read(Host& io) {
    storage::nvme::Status status;
    world_.run(read_block(&io, &status));
    return status;
  }
  static core::Task<void> receive(Host* host, bool* open) {
    *open = (co_await host->receive()).has_value();
  }
  bool still_open(Host& host) {
    bool open = true;
    world_.run(receive(&host, &open));
    return open;
  }
  // The calls as load_config makes them.
  void replay(const google::protobuf::ListValue& calls) {
    for (const auto& each : calls.values()) {
      const auto& fields = each.struct_value().fields();
      std::string text;
      ASSERT_TRUE(
          google::protobuf::util::MessageToJsonString(fields.at("params").struct_value(), &text)
              .ok());
      EXPECT_FALSE(json(fields.at("method").string_value(), text).starts_with("-")) << text;
    }
  }
  Host& new_host() { return hosts_.emplace_back(); }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
  }

  std::list<Host> hosts_;
};

}  // namespace capstan::services
