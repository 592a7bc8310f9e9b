// Why this file exists: controllers of other nodes by SPDK's names, over two paths: which path I/O
// takes as bdev_nvme_attach_controller and bdev_nvme_set_multipath_policy say, what of that is
// saved, and the calls that have nothing to do here.
#include "services/spdk_nvme.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <set>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "services/pool_ops.h"
#include "services/spdk_framework.h"
#include "storage/device/error_device.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using google::protobuf::Empty;
using Choice = nvme::PathPolicy::Choice;

constexpr char kNqn[] = "nqn.x:far";

using core::NoLog;

class SpdkNvmeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(run(engine_.start(true)));
    ASSERT_TRUE(run(serve(&far_, far_env_.address())));
  }
  void TearDown() override {
    world_.run(stop(&service_, &engine_));
    world_.run(far_.shutdown());
  }
  static core::Task<Result<void>> serve(nvme::Target* target, std::string address) {
    for (const std::uint16_t port : {std::uint16_t{8420}, std::uint16_t{4421}}) {
      CO_TRY(target->listen(core::Address::tcp(address, port)));
    }
    CO_TRY_SET(const auto subsystem, target->add({.nqn = kNqn}));
    CO_TRY(subsystem->add_namespace(
        std::make_shared<storage::MemoryDevice>("far", Uuid::from_name("far"), 512, 8192)));
    co_return {};
  }
  static core::Task<void> stop(SpdkNvmeService* service, Engine* engine) {
    service->leave();
    co_await engine->stop();
    co_await service->join();
  }
  static core::Task<Result<void>> listen(nvme::Target* target, core::Address address) {
    CO_TRY(target->listen(address));
    co_return {};
  }
  template <class T>
  static core::Task<void> keep(core::Task<T> task, std::optional<T>* into) {
    into->emplace(co_await std::move(task));
  }
  template <class T>
  T run(core::Task<T> task) {
    std::optional<T> result;
    world_.run(keep(std::move(task), &result));
    return *std::move(result);
  }

  using Names = std::optional<Result<spdk::BdevNvmeNames>>;

  // The names of devices that have come from elsewhere.
  std::set<std::string> remote_names() {
    std::set<std::string> names;
    for (const auto& device : engine_.remotes().list()) names.insert(device->name());
    return names;
  }
  static core::Task<void> let_pass(core::Nanos duration) {
    (void)co_await core::sleep_for(duration);
  }
  static core::Task<void> cut_off(core::SimWorld* world, std::string a, std::string b) {
    world->network().partition(a, b);
    world->network().reset(a, b);
    co_return;
  }
  static core::Task<void> heal(core::SimWorld* world) {
    world->network().heal_all();
    co_return;
  }
  // One more subsystem at the far target.
  static core::Task<Result<void>> make_far(nvme::Target* target, std::string nqn) {
    CO_TRY_SET(const auto subsystem, target->add({.nqn = nqn}));
    CO_TRY(subsystem->add_namespace(
        std::make_shared<storage::MemoryDevice>(nqn, Uuid::from_name(nqn), 512, 8192)));
    co_return {};
  }
  void add_far(const std::string& nqn) { ASSERT_TRUE(run(make_far(&far_, nqn))); }
  static core::Task<Result<void>> refer(nvme::Target* target, nvme::Referral referral) {
    co_return target->add_referral(std::move(referral));
  }
  static core::Task<Result<void>> remove_far(nvme::Target* target, std::string nqn) {
    EXPECT_TRUE(co_await target->remove(nqn));
    co_return {};
  }
  static core::Task<void> stop_far(SpdkNvmeService* service, std::optional<Result<Empty>>* into) {
    rpc::Call call;
    spdk::BdevNvmeSelector which;
    which.set_name("Far");
    into->emplace(co_await service->stop_discovery(call, which));
  }
  static core::Task<void> stop_beside(core::Scope* scope, SpdkNvmeService* service,
                                      std::optional<Result<Empty>>* into) {
    scope->spawn(stop_far(service, into));
    co_return;
  }
  static core::Task<void> give_back(CallLocks::Guard* guard) {
    guard->release();
    co_return;
  }
  static core::Task<void> join(core::Scope* scope) { co_await scope->join(); }
  spdk::BdevNvmeStartDiscoveryRequest discovery(const char* port = "8420") {
    spdk::BdevNvmeStartDiscoveryRequest request;
    request.set_name("Far");
    request.set_trtype("TCP");
    request.set_adrfam("ipv4");
    request.set_traddr(far_env_.address());
    request.set_trsvcid(port);
    request.set_wait_for_attach(true);
    return request;
  }
  template <class T>
  static int errno_of(const Result<T>& result) {
    return result ? 0 : std::abs(result.error().sys_errno);  // of calls: below zero
  }

  spdk::BdevNvmeAttachRequest attachment(const std::string& name, const std::string& nqn,
                                         const std::string& port = "8420") {
    spdk::BdevNvmeAttachRequest request;
    request.set_name(name);
    request.set_trtype("tcp");
    request.set_traddr(far_env_.address());
    request.set_trsvcid(port);
    request.set_subnqn(nqn);
    return request;
  }
  // "Nvme0n1" over two paths.
  void attach(spdk::BdevNvmePathOptions options = {}) {
    for (const char* port : {"8420", "4421"}) {
      auto request = attachment("Nvme0", kNqn, port);
      *request.mutable_multipath_opts() = options;
      const auto made = run(service_.attach(call_, request));
      ASSERT_TRUE(made) << made.error().text();
    }
  }
  // The subsystem of each path of the controller.
  std::vector<std::string> path_nqns(const std::string& name) {
    std::vector<std::string> nqns;
    spdk::BdevNvmeSelector which;
    which.set_name(name);
    const auto shown = run(service_.get_controllers(call_, which));
    if (!shown) return nqns;
    for (const auto& path : shown->controllers(0).ctrlrs()) nqns.push_back(path.trid().subnqn());
    return nqns;
  }
  // Two calls at the same time.
  static core::Task<void> attach_both(SpdkNvmeTest* self, spdk::BdevNvmeAttachRequest one,
                                      spdk::BdevNvmeAttachRequest other, Names* of_one,
                                      Names* of_other) {
    rpc::Call first, second;
    core::Scope scope;
    scope.spawn(keep(self->service_.attach(first, one), of_one));
    scope.spawn(keep(self->service_.attach(second, other), of_other));
    co_await scope.join();
  }

  // Somebody listens there, and never answers.
  using Listener = std::unique_ptr<core::StreamListener>;
  static core::Task<Result<Listener>> be_silent(core::Env* env, core::Address address) {
    co_return env->network().listen(address);
  }
  // Both ends of that are in the world.
  static core::Task<void> let_go(Result<Listener>* listener) {
    listener->value().reset();
    co_return;
  }
  static core::Task<void> attach_and_leave(SpdkNvmeTest* self, spdk::BdevNvmeAttachRequest request,
                                           Names* into) {
    core::CancelSource client;
    rpc::Call call;
    call.token = client.token();
    core::Scope scope;
    scope.spawn(keep(self->service_.attach(call, request), into));
    co_await let_pass(core::kSecond);
    EXPECT_FALSE(*into);
    client.fire();
    co_await let_pass(core::kSecond);
    EXPECT_TRUE(*into) << "still connecting";
    co_await scope.join();
  }
  // Whether the call has an answer within a second; then the controller is detached.
  static core::Task<void> attach_for_a_second(SpdkNvmeTest* self,
                                              spdk::BdevNvmeAttachRequest request, Names* into,
                                              nvme::Subsystem* far) {
    rpc::Call call;
    core::Scope scope;
    scope.spawn(keep(self->service_.attach(call, request), into));
    co_await let_pass(core::kSecond);
    EXPECT_TRUE(*into) << "waits for the path";
    EXPECT_EQ(self->engine_.find_pool("p"), nullptr);
    far->set_ana_state({}, {}, nvme::AnaState::kOptimized);
    co_await let_pass(core::kSecond);
    co_await scope.join();
  }
  static core::Task<Result<std::shared_ptr<nvme::Subsystem>>> make_ana(nvme::Target* target) {
    CO_TRY_SET(const auto subsystem, target->add({.nqn = "nqn.x:ana", .ana = true}));
    CO_TRY(subsystem->add_namespace(std::make_shared<storage::MemoryDevice>(
        "ana", Uuid::from_name("ana"), 512, (64U << 20) / 512)));
    co_return subsystem;
  }
  static core::Task<void> make_inaccessible(nvme::Subsystem* far) {
    far->set_ana_state({}, {}, nvme::AnaState::kInaccessible);
    co_return;
  }
  static core::Task<Result<void>> make_odd(nvme::Target* target) {
    CO_TRY_SET(const auto subsystem,
               target->add({.nqn = "nqn.x:odd", .serial = "S\xFF", .model = "M\xFE"}));
    CO_TRY(subsystem->add_namespace(
        std::make_shared<storage::MemoryDevice>("odd", Uuid::from_name("odd"), 512, 8192)));
    co_return {};
  }
  std::string state_of(const std::string& name) {
    spdk::BdevNvmeSelector which;
    which.set_name(name);
    const auto shown = run(service_.get_controllers(call_, which));
    return shown ? shown->controllers(0).ctrlrs(0).state() : "";
  }

  // A subsystem at the far target with a device large enough for a pool as each namespace.
  static core::Task<std::vector<std::shared_ptr<storage::ErrorInjectingDevice>>> make_large(
      nvme::Target* target, std::string nqn, unsigned spaces) {
    std::vector<std::shared_ptr<storage::ErrorInjectingDevice>> devices;
    const auto subsystem = target->add({.nqn = nqn});
    EXPECT_TRUE(subsystem);
    for (unsigned i = 0; i < spaces; ++i) {
      const std::string name = nqn + std::to_string(i);
      devices.push_back(
          std::make_shared<storage::ErrorInjectingDevice>(std::make_shared<storage::MemoryDevice>(
              name, Uuid::from_name(name), 512, (64U << 20) / 512)));
      if (subsystem) EXPECT_TRUE((*subsystem)->add_namespace(devices.back()));
    }
    co_return devices;
  }
  // As the services of pools do it.
  static core::Task<Result<void>> open_pool(Engine* engine, std::string name, std::string device,
                                            bool create) {
    CO_TRY_SET(const auto guard, co_await engine->pool_calls().lock(name, {}));
    PoolArguments arguments;
    arguments.name = name;
    arguments.disks = {"bdev:///" + device};
    auto opened = create ? co_await create_pool(*engine, std::move(arguments))
                         : co_await import_pool(*engine, std::move(arguments));
    if (!opened) co_return std::unexpected(std::move(opened).error());
    co_return {};
  }
  // Detaches the controller, whose second pool's disk does not answer for a second.
  static core::Task<void> detach_slowly(SpdkNvmeTest* self, storage::ErrorInjectingDevice* slow) {
    using enum storage::InjectedFault::Action;
    Engine* const engine = &self->engine_;
    rpc::Call call;
    spdk::BdevNvmeDetachRequest request;
    request.set_name("Nvme0");
    std::optional<Result<Empty>> detached;
    std::optional<Result<void>> imported;
    core::Scope scope;
    slow->inject({.kinds = {}, .action = kHold});
    scope.spawn(keep(self->service_.detach(call, request), &detached));
    co_await let_pass(core::kSecond / 2);
    EXPECT_FALSE(detached);
    EXPECT_GE(slow->held(), 1U);
    EXPECT_EQ(engine->find_pool("p1"), nullptr) << "the first is closed";
    scope.spawn(keep(open_pool(engine, "p1", "Nvme0n1", false), &imported));
    co_await let_pass(core::kSecond / 2);
    EXPECT_FALSE(imported) << "it waits";
    EXPECT_FALSE(detached);
    slow->clear();
    slow->resume_held();
    co_await scope.join();
    EXPECT_TRUE(detached && *detached);
    EXPECT_TRUE(imported && !*imported) << "the device is gone";
  }

  bool set(const std::string& policy, const std::string& selector = {}, std::uint32_t commands = 0,
           const std::string& device = "Nvme0n1") {
    spdk::BdevNvmePolicyRequest request;
    request.set_name(device);
    request.set_policy(policy);
    if (!selector.empty()) request.set_selector(selector);
    if (commands != 0) request.set_rr_min_io(commands);
    return run(service_.set_policy(call_, request)).has_value();
  }
  nvme::PathPolicy policy() {
    const auto devices = engine_.remotes().list();
    EXPECT_EQ(devices.size(), 1U);
    return devices.empty() ? nvme::PathPolicy() : devices.front()->policy();
  }

  NoLog sink_;
  core::Log log_{sink_, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv env_{world_}, far_env_{world_};
  nvme::Target far_{far_env_, log_};
  Engine engine_{env_, log_, "/state"};
  SpdkDevices devices_{engine_};
  SpdkNvmeService service_{devices_};
  rpc::Call call_;
};

TEST_F(SpdkNvmeTest, APolicyForTheBestPaths) {
  attach();
  EXPECT_EQ(policy().choice, Choice::kOne);
  EXPECT_TRUE(set("active_active"));
  EXPECT_EQ(policy().choice, Choice::kInTurn);
  EXPECT_EQ(policy().commands, 1U);
  EXPECT_TRUE(set("active_active", "round_robin", 16));
  EXPECT_EQ(policy().commands, 16U);
  const std::string saved = saved_devices(devices_).DebugString();
  EXPECT_NE(saved.find("multipath_opts"), std::string::npos) << saved;
  EXPECT_TRUE(set("active_active", "queue_depth"));
  EXPECT_EQ(policy().choice, Choice::kLeastBusy);
  EXPECT_FALSE(set("active_active", "queue_depth", 2)) << "a number of what?";
  EXPECT_FALSE(set("active_passive", "round_robin"));
  EXPECT_FALSE(set("active_active", "by_name"));
  EXPECT_FALSE(set("both"));
  EXPECT_FALSE(set("active_active", {}, 0, "Nvme9n1"));
  EXPECT_EQ(policy().choice, Choice::kLeastBusy);
  EXPECT_TRUE(set("active_passive"));
  EXPECT_EQ(policy().choice, Choice::kOne);
}

TEST_F(SpdkNvmeTest, APolicyFromTheStart) {
  spdk::BdevNvmePathOptions options;
  options.set_policy("active_active");
  options.set_min_io(4);
  attach(options);
  EXPECT_EQ(policy().choice, Choice::kInTurn);
  EXPECT_EQ(policy().commands, 4U);
}

// jsonrpc section B.6; the texts are those of SPDK.
TEST_F(SpdkNvmeTest, WhatCannotBeAttached) {
  const auto answer = [&](auto change) {
    auto request = attachment("Far", kNqn);
    change(request);
    const auto done = run(service_.attach(call_, request));
    if (done) return std::string("attached");
    const auto error = rpc::json_rpc_error(done.error());
    return std::to_string(error.code) + " " + error.message;
  };
  using Request = spdk::BdevNvmeAttachRequest;
  const std::string much(300, 'x');
  EXPECT_EQ(answer([](Request& r) { r.set_adrfam("zz"); }), "-22 Failed to parse adrfam: zz");
  EXPECT_EQ(answer([](Request& r) { r.set_adrfam("ipv6"); }), "-5 Input/output error");
  EXPECT_EQ(answer([&](Request& r) { r.set_traddr(much); }), "-22 traddr too long: " + much);
  EXPECT_EQ(answer([&](Request& r) { r.set_trsvcid(much); }), "-22 trsvcid too long: " + much);
  EXPECT_EQ(answer([&](Request& r) { r.set_subnqn(much); }), "-22 subnqn too long: " + much);
  EXPECT_EQ(answer([&](Request& r) { r.set_hostnqn(much); }), "-22 hostnqn too long: " + much);
  EXPECT_EQ(answer([](Request& r) { r.set_max_bdevs(0); }), "-22 max_bdevs cannot be zero");
  for (const std::uint32_t queues : {0U, 65537U}) {
    EXPECT_EQ(answer([queues](Request& r) { r.set_num_io_queues(queues); }),
              "-22 num_io_queues out of bounds, min: 1 max: 65536");
  }
  EXPECT_EQ(answer([](Request& r) {
              r.set_ctrlr_loss_timeout_sec(0);
              r.set_reconnect_delay_sec(1);
            }),
            "-22 Invalid argument");
  EXPECT_EQ(answer([](Request& r) {
              r.set_ctrlr_loss_timeout_sec(0);
              r.set_fast_io_fail_timeout_sec(1);
            }),
            "-22 Invalid argument");
  EXPECT_EQ(remote_names(), std::set<std::string>());
  EXPECT_EQ(answer([](Request& r) { r.set_adrfam("IPv4"); }), "attached");
  const std::string there = "A controller named Far already exists";
  EXPECT_EQ(answer([](Request&) {}), "-114 " + there + " with the specified network path");
  EXPECT_EQ(answer([](Request& r) { r.set_multipath("disable"); }),
            "-114 " + there + " and multipath is disabled");
  EXPECT_EQ(answer([](Request& r) { r.set_subnqn("nqn.x:other"); }),
            "-22 " + there + ", but uses a different subnqn (" + kNqn + ")");
  EXPECT_EQ(answer([](Request& r) {
              r.set_trsvcid("4421");
              r.set_hostnqn("nqn.x:other");
            }).substr(0, there.size() + 38),
            "-22 " + there + ", but uses a different hostnqn (nq");
  // A path of another family is not there.
  spdk::BdevNvmeDetachRequest detach;
  detach.set_name("Far");
  detach.set_adrfam("ipv6");
  EXPECT_EQ(errno_of(run(service_.detach(call_, detach))), ENODEV);
  detach.set_adrfam("zz");
  EXPECT_EQ(errno_of(run(service_.detach(call_, detach))), EINVAL);
  EXPECT_EQ(remote_names(), std::set<std::string>{"Farn1"});
  spdk::BdevNvmePathRequest path;
  path.set_name("Far");
  path.set_cntlid(65536);
  EXPECT_EQ(errno_of(run(service_.reset(call_, path))), -rpc::json_code::kInvalidParams);
  detach.set_adrfam("ipv4");
  EXPECT_TRUE(run(service_.detach(call_, detach)));
}

TEST_F(SpdkNvmeTest, ACallThatIsLeftConnectsToNobody) {
  auto silent = run(be_silent(&far_env_, core::Address::tcp(far_env_.address(), 9000)));
  ASSERT_TRUE(silent);
  auto request = attachment("Nvme0", kNqn, "9000");
  request.set_fabrics_connect_timeout_us(40'000'000);
  Names answer;
  world_.run(attach_and_leave(this, request, &answer));
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, Code::kCancelled);
  EXPECT_TRUE(engine_.remotes().initiator().controllers().empty());
  world_.run(let_go(&silent));
}

TEST_F(SpdkNvmeTest, AttachingDoesNotWaitForAnInaccessiblePath) {
  auto far = run(make_ana(&far_));
  ASSERT_TRUE(far);
  auto request = attachment("Nvme0", "nqn.x:ana");
  request.set_ctrlr_loss_timeout_sec(-1);
  request.set_reconnect_delay_sec(1);
  request.set_fast_io_fail_timeout_sec(0);
  ASSERT_TRUE(run(service_.attach(call_, request)));
  ASSERT_TRUE(run(open_pool(&engine_, "p", "Nvme0n1", true)));
  spdk::BdevNvmeDetachRequest detach;
  detach.set_name("Nvme0");
  ASSERT_TRUE(run(service_.detach(call_, detach)));
  ASSERT_EQ(engine_.find_pool("p"), nullptr);
  world_.run(make_inaccessible(far->get()));
  Names answer;
  world_.run(attach_for_a_second(this, request, &answer, far->get()));
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->names_size(), 1);
  EXPECT_NE(engine_.find_pool("p"), nullptr) << "looked at when it could be";
}

TEST_F(SpdkNvmeTest, WhatWasGivenUpComesBackWhenAsked) {
  auto request = attachment("Nvme0", kNqn);
  request.set_ctrlr_loss_timeout_sec(0);
  ASSERT_TRUE(run(service_.attach(call_, request)));
  spdk::BdevNvmePathRequest path;
  path.set_name("Nvme0");
  for (const bool by_reset : {true, false}) {
    world_.run(cut_off(&world_, env_.address(), far_env_.address()));
    world_.run(let_pass(core::kSecond));
    EXPECT_EQ(state_of("Nvme0"), "failed");
    EXPECT_EQ(errno_of(run(service_.reset(call_, path))), EIO);
    EXPECT_EQ(errno_of(run(service_.enable(call_, path))), EIO);
    EXPECT_EQ(state_of("Nvme0"), "failed");
    world_.run(heal(&world_));
    if (by_reset) {
      EXPECT_TRUE(run(service_.reset(call_, path)));
    } else {
      EXPECT_TRUE(run(service_.disable(call_, path)));
      EXPECT_EQ(state_of("Nvme0"), "disabled");
      EXPECT_TRUE(run(service_.enable(call_, path)));
    }
    EXPECT_EQ(state_of("Nvme0"), "enabled");
  }
}

TEST_F(SpdkNvmeTest, TextsOfATargetAreShownAsUtf8) {
  ASSERT_TRUE(run(make_odd(&far_)));
  ASSERT_TRUE(run(service_.attach(call_, attachment("Odd", "nqn.x:odd"))));
  spdk::BdevNvmeSelector which;
  which.set_name("Odd");
  const auto health = run(service_.get_health(call_, which));
  ASSERT_TRUE(health);
  EXPECT_EQ(health->serial_number().substr(0, 4), "S\xEF\xBF\xBD");
  EXPECT_EQ(health->model_number().substr(0, 4), "M\xEF\xBF\xBD");
  ASSERT_TRUE(run(refer(&far_, {"far\xFF", 8009})));
  ASSERT_TRUE(run(service_.start_discovery(call_, discovery())));
  const auto info = run(service_.get_discovery_info(call_, Empty()));
  ASSERT_TRUE(info && info->services_size() == 1);
  ASSERT_EQ(info->services(0).referrals_size(), 2);
  EXPECT_EQ(info->services(0).referrals(1).trid().traddr(), "far\xEF\xBF\xBD");
}

TEST_F(SpdkNvmeTest, OptionsOfAControllerAreSaved) {
  ASSERT_TRUE(run(service_.attach(call_, attachment("Plain", kNqn))));
  EXPECT_EQ(saved_devices(devices_).DebugString().find("timeout"), std::string::npos);
  auto request = attachment("Other", kNqn, "4421");
  request.set_ctrlr_loss_timeout_sec(-1);
  request.set_reconnect_delay_sec(2);
  request.set_fast_io_fail_timeout_sec(3);
  request.set_num_io_queues(4);
  request.set_fabrics_connect_timeout_us(5'000'000);
  ASSERT_TRUE(run(service_.attach(call_, request)));
  const std::string saved = saved_devices(devices_).DebugString();
  for (const char* const each :
       {"ctrlr_loss_timeout_sec", "reconnect_delay_sec", "fast_io_fail_timeout_sec",
        "num_io_queues", "fabrics_connect_timeout_us"}) {
    EXPECT_NE(saved.find(each), std::string::npos) << each;
  }
  EXPECT_NE(saved.find("number_value: 5000000"), std::string::npos) << saved;
  EXPECT_NE(saved.find("number_value: -1"), std::string::npos) << saved;
}

TEST_F(SpdkNvmeTest, ADiscoveryThatFailedCanBeStartedAgainAtOnce) {
  auto silent = run(be_silent(&far_env_, core::Address::tcp(far_env_.address(), 9000)));
  ASSERT_TRUE(silent);
  auto request = discovery("9000");
  request.set_attach_timeout_ms(2000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(errno_of(run(service_.start_discovery(call_, request))), ETIMEDOUT);
  }
  EXPECT_TRUE(run(service_.get_discovery_info(call_, Empty()))->services().empty());
  world_.run(let_go(&silent));
}

TEST_F(SpdkNvmeTest, DiscoveryIsFollowed) {
  ASSERT_TRUE(run(service_.start_discovery(call_, discovery())));
  EXPECT_EQ(remote_names(), std::set<std::string>{"Far0n1"});
  ASSERT_EQ(engine_.remotes().list().size(), 1U);
  EXPECT_EQ(engine_.remotes().list().front()->paths().size(), 2U) << "both ports are named";
  // What comes and goes there, comes and goes here; with a new number.
  add_far("nqn.x:second");
  world_.run(let_pass(core::kSecond));
  EXPECT_EQ(remote_names(), (std::set<std::string>{"Far0n1", "Far1n1"}));
  ASSERT_TRUE(run(remove_far(&far_, "nqn.x:second")));
  world_.run(let_pass(core::kSecond));
  EXPECT_EQ(remote_names(), std::set<std::string>{"Far0n1"});
  add_far("nqn.x:second");
  world_.run(let_pass(core::kSecond));
  EXPECT_EQ(remote_names(), (std::set<std::string>{"Far0n1", "Far2n1"}));

  ASSERT_TRUE(run(refer(&far_, {"10.9.9.9", 8009})));
  world_.run(let_pass(core::kSecond));
  const auto info = run(service_.get_discovery_info(call_, Empty()));
  ASSERT_TRUE(info && info->services_size() == 1);
  EXPECT_EQ(info->services(0).name(), "Far");
  EXPECT_EQ(info->services(0).trid().subnqn(), nvme::kDiscoveryNqn);
  ASSERT_EQ(info->services(0).referrals_size(), 2);
  EXPECT_EQ(info->services(0).referrals(0).trid().trsvcid(), "8420");
  EXPECT_EQ(info->services(0).referrals(1).trid().traddr(), "10.9.9.9");

  // Saved as one call, without the controllers that it makes.
  const std::string saved = saved_devices(devices_).DebugString();
  EXPECT_NE(saved.find("bdev_nvme_start_discovery"), std::string::npos);
  EXPECT_EQ(saved.find("bdev_nvme_attach_controller"), std::string::npos) << saved;

  EXPECT_EQ(errno_of(run(service_.start_discovery(call_, discovery()))), EEXIST);
  EXPECT_EQ(errno_of(run(service_.start_discovery(call_, discovery("4421")))), EEXIST);
  spdk::BdevNvmeSelector which;
  which.set_name("Nobody");
  EXPECT_EQ(errno_of(run(service_.stop_discovery(call_, which))), ENOENT);
  which.set_name("Far");
  EXPECT_TRUE(run(service_.stop_discovery(call_, which)));
  EXPECT_EQ(remote_names(), std::set<std::string>());
  EXPECT_TRUE(run(service_.start_discovery(call_, discovery())));
}

// What discovery is just detaching is not somebody's who attached it by hand.
TEST_F(SpdkNvmeTest, WhatDiscoveryDetachesIsNotSaved) {
  ASSERT_TRUE(run(service_.start_discovery(call_, discovery())));
  add_far("nqn.x:second");
  world_.run(let_pass(core::kSecond));
  const auto attach_saved = [&] {
    return saved_devices(devices_).DebugString().find("bdev_nvme_attach_controller") !=
           std::string::npos;
  };
  auto first = run(engine_.device_calls().lock("controller Far0", {}));
  auto second = run(engine_.device_calls().lock("controller Far1", {}));
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(run(remove_far(&far_, "nqn.x:second")));  // waits for the lock
  world_.run(let_pass(core::kSecond));
  EXPECT_TRUE(remote_names().contains("Far1n1"));
  EXPECT_FALSE(attach_saved());
  world_.run(give_back(&*second));
  world_.run(let_pass(core::kSecond));
  EXPECT_EQ(remote_names(), std::set<std::string>{"Far0n1"});
  EXPECT_FALSE(attach_saved());
  // When the service itself is not followed any more.
  std::optional<Result<Empty>> stopped;
  core::Scope scope;
  world_.run(stop_beside(&scope, &service_, &stopped));
  world_.run(let_pass(core::kSecond));
  EXPECT_TRUE(remote_names().contains("Far0n1") && !stopped);
  EXPECT_FALSE(attach_saved());
  world_.run(give_back(&*first));
  world_.run(join(&scope));
  EXPECT_TRUE(stopped && *stopped);
  EXPECT_EQ(remote_names(), std::set<std::string>());
}

TEST_F(SpdkNvmeTest, DiscoveryLeavesTheNamesOfOthersAlone) {
  add_far("nqn.x:second");  // after kNqn in the log
  ASSERT_TRUE(run(service_.attach(call_, attachment("nvme0", "nqn.x:second"))));
  auto request = discovery();
  request.set_name("nvme");
  ASSERT_TRUE(run(service_.start_discovery(call_, request)));
  const std::vector<std::string> by_hand = {"nqn.x:second"};
  EXPECT_EQ(path_nqns("nvme0"), by_hand);
  EXPECT_EQ(path_nqns("nvme1"), std::vector<std::string>(2, kNqn));
  EXPECT_EQ(path_nqns("nvme2"), std::vector<std::string>(2, "nqn.x:second"));
  EXPECT_EQ(remote_names(), (std::set<std::string>{"nvme0n1", "nvme1n1"})) << "no device twice";
  const std::string saved = saved_devices(devices_).DebugString();
  EXPECT_NE(saved.find("bdev_nvme_attach_controller"), std::string::npos) << "of what is not found";

  EXPECT_EQ(errno_of(run(service_.attach(call_, attachment("nvme0", kNqn)))), EINVAL);
  EXPECT_EQ(errno_of(run(service_.attach(call_, attachment("nvme1", "nqn.x:second")))), EINVAL);
  spdk::BdevNvmeSelector which;
  which.set_name("nvme");
  EXPECT_TRUE(run(service_.stop_discovery(call_, which)));
  EXPECT_EQ(path_nqns("nvme0"), by_hand);
  EXPECT_EQ(remote_names(), std::set<std::string>{"nvme0n1"});
  EXPECT_TRUE(path_nqns("nvme1").empty());
  EXPECT_TRUE(path_nqns("nvme2").empty());
}

// Neither is there yet when the other one looks.
TEST_F(SpdkNvmeTest, AControllerIsOfOneSubsystem) {
  add_far("nqn.x:second");
  Names one, other;
  world_.run(attach_both(this, attachment("Nvme0", kNqn), attachment("Nvme0", "nqn.x:second"), &one,
                         &other));
  ASSERT_TRUE(one && other);
  EXPECT_NE(one->has_value(), other->has_value());
  EXPECT_EQ(errno_of(*one) + errno_of(*other), EINVAL);
  const std::string winner = one->has_value() ? kNqn : "nqn.x:second";
  EXPECT_EQ(path_nqns("Nvme0"), std::vector<std::string>{winner});
}

TEST_F(SpdkNvmeTest, DiscoveryDetachesLaterWhatItCouldNot) {
  ASSERT_EQ(run(make_large(&far_, "nqn.x:large", 1)).size(), 1U);
  ASSERT_TRUE(run(service_.start_discovery(call_, discovery())));
  const std::set<std::string> both = {"Far0n1", "Far1n1"}, other = {"Far0n1"};
  ASSERT_EQ(remote_names(), both);
  const auto created = run(open_pool(&engine_, "p", "Far1n1", true));
  ASSERT_TRUE(created) << created.error().text();
  {
    const auto busy = engine_.locks().try_lock("p");
    ASSERT_TRUE(busy);
    ASSERT_TRUE(run(remove_far(&far_, "nqn.x:large")));
    world_.run(let_pass(5 * core::kSecond));
    EXPECT_EQ(remote_names(), both) << "a call on the pool goes on";
    EXPECT_NE(engine_.find_pool("p"), nullptr);
  }
  world_.run(let_pass(60 * core::kSecond));
  EXPECT_EQ(remote_names(), other);
  EXPECT_EQ(engine_.find_pool("p"), nullptr);
  EXPECT_TRUE(path_nqns("Far1").empty());
}

TEST_F(SpdkNvmeTest, NoPoolIsOpenedOnADeviceThatIsBeingDetached) {
  const auto far = run(make_large(&far_, "nqn.x:large", 2));
  ASSERT_EQ(far.size(), 2U);
  ASSERT_TRUE(run(service_.attach(call_, attachment("Nvme0", "nqn.x:large"))));
  ASSERT_TRUE(run(open_pool(&engine_, "p1", "Nvme0n1", true)));
  ASSERT_TRUE(run(open_pool(&engine_, "p2", "Nvme0n2", true)));
  world_.run(detach_slowly(this, far[1].get()));
  EXPECT_EQ(remote_names(), std::set<std::string>());
  EXPECT_TRUE(engine_.pools().empty());
}

TEST_F(SpdkNvmeTest, DiscoveryOutlivesItsService) {
  ASSERT_TRUE(run(service_.start_discovery(call_, discovery())));
  // The connections break, and meanwhile something else is there.
  world_.run(cut_off(&world_, env_.address(), far_env_.address()));
  add_far("nqn.x:second");
  world_.run(let_pass(5 * core::kSecond));
  EXPECT_EQ(remote_names(), std::set<std::string>{"Far0n1"}) << "nothing is taken away";
  world_.run(heal(&world_));
  world_.run(let_pass(60 * core::kSecond));
  EXPECT_EQ(remote_names(), (std::set<std::string>{"Far0n1", "Far1n1"}));
}

TEST_F(SpdkNvmeTest, DiscoveryThatIsNotThereYet) {
  auto request = discovery("9999");
  request.set_attach_timeout_ms(1500);
  EXPECT_EQ(errno_of(run(service_.start_discovery(call_, request))), ETIMEDOUT);
  world_.run(let_pass(20 * core::kSecond));
  EXPECT_TRUE(run(service_.get_discovery_info(call_, Empty()))->services().empty());
  // Without waiting it goes on trying.
  request.clear_attach_timeout_ms();
  request.clear_wait_for_attach();
  EXPECT_TRUE(run(service_.start_discovery(call_, request)));
  world_.run(let_pass(5 * core::kSecond));
  EXPECT_EQ(remote_names(), std::set<std::string>());
  ASSERT_TRUE(run(listen(&far_, core::Address::tcp(far_env_.address(), 9999))));
  world_.run(let_pass(30 * core::kSecond));
  EXPECT_EQ(remote_names(), std::set<std::string>{"Far0n1"});
  request.set_name("Other");
  request.set_trtype("rdma");
  EXPECT_EQ(errno_of(run(service_.start_discovery(call_, request))), ENODEV);
  request.set_trtype("tcp");
  request.set_trsvcid("8420");
  request.set_ctrlr_loss_timeout_sec(5);
  EXPECT_EQ(errno_of(run(service_.start_discovery(call_, request))), EINVAL) << "no delay";
}

TEST_F(SpdkNvmeTest, InjectedErrors) {
  attach();
  const auto device = engine_.remotes().list().front();
  spdk::BdevNvmeErrorInjection request;
  request.set_name("Nvme0");
  request.set_cmd_type("io");
  request.set_opc(nvme::opcode::kWrite);
  request.set_do_not_submit(true);
  request.set_err_count(2);
  request.set_sct(2);
  request.set_sc(0x80);
  const std::vector<std::uint8_t> data(512, 7);
  ASSERT_TRUE(run(service_.add_fault(call_, request)));
  EXPECT_EQ(errno_of(run(device->write(0, data))), EIO);
  EXPECT_EQ(errno_of(run(device->write(0, data))), EIO);
  EXPECT_EQ(errno_of(run(device->write(0, data))), 0);
  ASSERT_TRUE(run(service_.add_fault(call_, request)));
  ASSERT_TRUE(run(service_.remove_fault(call_, request)));
  EXPECT_EQ(errno_of(run(device->write(0, data))), 0);
  request.set_cmd_type("both");
  EXPECT_FALSE(run(service_.add_fault(call_, request)));
  request.set_cmd_type("admin");
  request.set_opc(256);
  EXPECT_EQ(errno_of(run(service_.add_fault(call_, request))), EINVAL);
  request.set_opc(6);
  request.set_name("Nvme9");
  EXPECT_EQ(errno_of(run(service_.add_fault(call_, request))), ENODEV);
  EXPECT_EQ(errno_of(run(service_.remove_fault(call_, request))), ENODEV);
}

TEST_F(SpdkNvmeTest, OptionsOfNewControllers) {
  spdk::BdevNvmeOptions options;
  options.set_action_on_timeout("abort");
  options.set_timeout_us(7'000'000);
  options.set_transport_retry_count(9);
  options.set_keep_alive_timeout_ms(20'000);
  options.set_disable_auto_failback(true);
  options.mutable_multipath_opts()->set_policy("active_active");
  options.mutable_multipath_opts()->set_selector("queue_depth");
  options.add_dhchap_digests("sha256");
  ASSERT_TRUE(run(service_.set_options(call_, options)));
  attach();
  const nvme::HostOptions& made = engine_.remotes().list().front()->paths().front()->options();
  EXPECT_EQ(made.timeout_action, nvme::TimeoutAction::kAbort);
  EXPECT_EQ(made.io_timeout, 7 * core::kSecond);
  EXPECT_EQ(made.admin_timeout, 7 * core::kSecond) << "as I/O, when nothing else is said";
  EXPECT_EQ(made.retries, 9U);
  EXPECT_EQ(made.keep_alive_ms, 20'000U);
  EXPECT_EQ(policy().choice, Choice::kLeastBusy);
  EXPECT_FALSE(policy().failback);
  EXPECT_EQ(errno_of(run(service_.set_options(call_, options))), EPERM);
  const std::string saved = saved_devices(devices_).DebugString();
  EXPECT_LT(saved.find("bdev_nvme_set_options"), saved.find("bdev_nvme_attach_controller"));
  EXPECT_NE(saved.find("disable_auto_failback"), std::string::npos) << saved;
}

// jsonrpc section B.6: action_on_timeout is "none" unless it is given.
TEST_F(SpdkNvmeTest, ATimeoutAloneResetsNothing) {
  const nvme::HostOptions& defaults = engine_.remotes().defaults();
  spdk::BdevNvmeOptions other;
  other.set_keep_alive_timeout_ms(20'000);
  ASSERT_TRUE(run(service_.set_options(call_, other)));
  EXPECT_EQ(defaults.io_timeout, nvme::limits::kHostIoNanos) << "nothing was said of it";
  spdk::BdevNvmeOptions timeout, action;
  timeout.set_timeout_us(1'000'000);
  action.set_action_on_timeout("reset");
  ASSERT_TRUE(run(service_.set_options(call_, timeout)));
  EXPECT_EQ(defaults.io_timeout, 0U);
  ASSERT_TRUE(run(service_.set_options(call_, action)));
  EXPECT_EQ(defaults.io_timeout, core::kSecond);
  ASSERT_TRUE(run(service_.set_options(call_, timeout)));
  EXPECT_EQ(defaults.io_timeout, core::kSecond) << "the action was set earlier";
}

TEST_F(SpdkNvmeTest, OptionsThatWouldDoNothing) {
  const auto refused = [&](void (*set)(spdk::BdevNvmeOptions&)) {
    spdk::BdevNvmeOptions options;
    set(options);
    return errno_of(run(service_.set_options(call_, options)));
  };
  EXPECT_EQ(refused([](auto& o) { o.set_nvme_error_stat(true); }), EOPNOTSUPP);
  EXPECT_EQ(refused([](auto& o) { o.set_io_path_stat(true); }), EOPNOTSUPP);
  EXPECT_EQ(refused([](auto& o) { o.set_transport_ack_timeout(5); }), EOPNOTSUPP);
  EXPECT_EQ(refused([](auto& o) { o.set_nvme_error_stat(false); }), 0);
  EXPECT_EQ(refused([](auto& o) { o.set_nvme_ioq_poll_period_us(100); }), 0);
}

TEST_F(SpdkNvmeTest, CallsWithNothingToDo) {
  const auto statistics = run(service_.get_statistics(call_, Empty()));
  EXPECT_TRUE(statistics && statistics->poll_groups_size() == 0);
  spdk::BdevNvmeHotplugRequest request;
  EXPECT_FALSE(run(service_.set_hotplug(call_, request)));
  request.set_enable(true);
  EXPECT_TRUE(run(service_.set_hotplug(call_, request)));
}

}  // namespace
}  // namespace capstan::services
