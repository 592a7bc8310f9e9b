// Why this file exists: SPDK's methods as a client of JSON-RPC sees them, by name and with JSON in
// and out, against the same engine that the other services show (jsonrpc parts B and D).
#include <csignal>

#include "core/scope.h"
#include "rpc/json_call.h"
#include "rpc/json_writer.h"
#include "rpc/wishes.h"
#include "services/spdk_testing.h"
#include "storage/device/error_device.h"

namespace capstan::services {
namespace {

constexpr char kUuid[] = "aaaaaaaa-0000-4000-8000-000000000001";

class Spdk : public SpdkCalls {
 protected:
  void SetUp() override { start(); }

  std::string malloc(const std::string& name, int mib = 64) {
    return json("bdev_malloc_create", R"({"name":")" + name +
                                          R"(","block_size":512,"num_blocks":)" +
                                          std::to_string(mib * 2048) + "}");
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
  }
};

TEST_F(Spdk, TheStorageSequenceOfTheSpecification) {
  const std::string m1 = R"({"name":"M1","num_blocks":131072,"block_size":512,"uuid":")" +
                         std::string(kUuid) + R"("})";
  EXPECT_EQ(json("bdev_malloc_create", m1), R"("M1")");
  EXPECT_EQ(json("bdev_malloc_create", m1), "-17 File exists");
  EXPECT_EQ(json("bdev_malloc_create", R"({"num_blocks":100,"block_size":500})"),
            "-22 Invalid argument");
  EXPECT_TRUE(has(json("bdev_malloc_create", R"({"num_blocks":"100","block_size":512})"),
                  "-32602 bdev_malloc_create: num_blocks: expected"));
  EXPECT_EQ(json("bdev_malloc_create", R"({"num_blocks":1e2,"block_size":512.0,"name":"Mf"})"),
            R"("Mf")");
  EXPECT_EQ(json("bdev_malloc_delete", R"({"name":"nope"})"), "-19 No such device");
  EXPECT_EQ(json("bdev_aio_create", R"({"name":"AX","filename":"/nonexistent"})"),
            "-2 No such file or directory");
  EXPECT_EQ(json("bdev_uring_create", R"({"name":"UX","filename":"/nonexistent"})"),
            "-32603 Unable to create URING bdev.");
  const std::string pool = json("bdev_lvol_create_lvstore",
                                R"({"bdev_name":"M1","lvs_name":"pool0","cluster_sz":1048576})");
  ASSERT_EQ(pool.size(), 38U) << pool;
  EXPECT_EQ(json("bdev_lvol_create_lvstore", R"({"bdev_name":"M1","lvs_name":"pool1"})"),
            "-1 Operation not permitted");
  const std::string stores = json("bdev_lvol_get_lvstores");
  EXPECT_TRUE(has(stores, R"("name":"pool0","base_bdev":"M1","total_data_clusters":63,)"
                          R"("free_clusters":63,"block_size":512,"cluster_size":1048576,)"
                          R"("max_growable_size":34317795328})"))
      << stores;
  EXPECT_EQ(json("bdev_lvol_get_lvstores", "{}"), stores);
  const std::string v1 =
      json("bdev_lvol_create",
           R"({"lvs_name":"pool0","lvol_name":"v1","size_in_mib":16,"thin_provision":true})");
  ASSERT_EQ(v1.size(), 38U) << v1;
  EXPECT_EQ(json("bdev_lvol_create", R"({"lvs_name":"pool0","lvol_name":"v1","size_in_mib":1})"),
            "-17 File exists");
  EXPECT_EQ(
      json("bdev_lvol_create", R"({"lvs_name":"pool0","lvol_name":"big","size_in_mib":9999})"),
      "-32602 No space left on device");
  EXPECT_EQ(json("bdev_lvol_create", R"({"lvol_name":"x","size_in_mib":1})"),
            "-22 Invalid argument");
  EXPECT_EQ(json("bdev_lvol_resize", R"({"name":"pool0/v1","size_in_mib":24})"), "true");
  EXPECT_EQ(node_->engine.find_replica_named("v1").replica->size_bytes(), 24U << 20);
  EXPECT_EQ(json("bdev_lvol_resize", R"({"name":"pool0/v1","size_in_mib":9})"), "true");
  EXPECT_EQ(node_->engine.find_replica_named("v1").replica->size_bytes(), 9U << 20);
  EXPECT_EQ(json("bdev_lvol_resize", R"({"name":"pool0/v2","size_in_mib":9})"),
            "-19 No such device");
  EXPECT_EQ(json("bdev_lvol_grow_lvstore", R"({"lvs_name":"pool0"})"), "true");
  EXPECT_EQ(json("bdev_lvol_grow_lvstore", R"({"lvs_name":"pool9"})"), "-19 No such device");
  EXPECT_EQ(json("bdev_lvol_delete", R"({"name":"pool0/v1"})"), "true");
  EXPECT_EQ(json("bdev_lvol_delete", R"({"name":"pool0/v1"})"), "-19 No such device");
}

TEST_F(Spdk, OneEngineForAllServices) {
  EXPECT_EQ(malloc("M1"), R"("M1")");
  EXPECT_EQ(json("bdev_lvol_create_lvstore", R"({"bdev_name":"M1","lvs_name":"p"})").size(), 38U);
  ASSERT_EQ(list_pools().size(), 1U);
  EXPECT_EQ(list_pools()[0].name(), "p");
  ASSERT_TRUE(create_replica("r1", list_pools()[0].uuid(), 8U << 20, true));
  const std::string r1 = Uuid::from_name("r1").text();
  const std::string dump = json("bdev_get_bdevs", R"({"name":"p/r1"})");
  EXPECT_TRUE(has(dump, R"([{"name":")" + r1 +
                            R"(","aliases":["p/r1"],)"
                            R"("product_name":"Logical Volume")"))
      << dump;
  EXPECT_TRUE(has(dump, R"("driver_specific":{"lvol":{"lvol_store_uuid":)")) << dump;
  EXPECT_TRUE(has(json("bdev_lvol_get_lvols"), R"("alias":"p/r1","uuid":")" + r1));
  EXPECT_EQ(json("bdev_lvol_delete_lvstore", R"({"lvs_name":"p"})"), "true");
  EXPECT_TRUE(list_pools().empty());
  const auto devices = call<mayastor::v1::ListBdevResponse>("mayastor.v1.BdevRpc/List",
                                                            mayastor::v1::ListBdevOptions());
  ASSERT_EQ(devices->bdevs_size(), 1);  // the device stays
  EXPECT_EQ(devices->bdevs(0).name(), "M1");
  EXPECT_FALSE(devices->bdevs(0).claimed());
}

TEST_F(Spdk, ADeviceWithEveryMemberInOrder) {
  json("bdev_malloc_create", R"({"name":"Malloc0","block_size":512,"num_blocks":2048,"uuid":")" +
                                 std::string(kUuid) + R"("})");
  EXPECT_EQ(
      json("bdev_get_bdevs", R"({"name":"Malloc0"})"),
      R"([{"name":"Malloc0","aliases":["aaaaaaaa-0000-4000-8000-000000000001"],)"
      R"("product_name":"Malloc disk","block_size":512,"num_blocks":2048,)"
      R"("preferred_write_alignment":0,"preferred_write_granularity":0,"optimal_write_size":0,)"
      R"("preferred_unmap_alignment":0,"preferred_unmap_granularity":0,)"
      R"("uuid":"aaaaaaaa-0000-4000-8000-000000000001","numa_id":-1,"assigned_rate_limits":)"
      R"({"rw_ios_per_sec":0,"rw_mbytes_per_sec":0,"r_mbytes_per_sec":0,"w_mbytes_per_sec":0},)"
      R"("claimed":false,"zoned":false,"supported_io_types":{"read":true,"write":true,)"
      R"("unmap":true,"flush":true,"reset":false,"nvme_admin":false,"nvme_io":false,)"
      R"("nvme_io_md":false,"write_zeroes":true,"zcopy":false,"get_zone_info":false,)"
      R"("zone_management":false,"zone_append":false,"compare":false,"compare_and_write":false,)"
      R"("abort":false,"seek_hole":false,"seek_data":false,"copy":false,"nvme_iov_md":false,)"
      R"("nvme_nssr":false,"write_uncorrectable":false},"driver_specific":{}}])");
}

TEST_F(Spdk, AnAutomaticNameCountsUp) {
  const std::string params = R"({"block_size":512,"num_blocks":8})";
  EXPECT_EQ(json("bdev_malloc_create", params), R"("Malloc0")");
  EXPECT_EQ(malloc("Malloc1", 1), R"("Malloc1")");
  EXPECT_EQ(json("bdev_malloc_create", params), "-17 File exists");
}

TEST_F(Spdk, RequiredAndUnknownMembersAreNamed) {
  EXPECT_EQ(json("bdev_null_create", R"({"block_size":512,"num_blocks":8})"),
            "-32602 bdev_null_create: name: missing");
  EXPECT_TRUE(has(json("bdev_null_create", R"({"nam":"x"})"), "-32602 bdev_null_create: nam: "));
  EXPECT_TRUE(has(json("bdev_null_create", "[]"), "-32602 "));
  EXPECT_EQ(json("bdev_null_create", R"({"name":"n","block_size":512,"num_blocks":8,"md_size":8})"),
            "-95 Operation not supported");
}

TEST_F(Spdk, WaitingForADeviceEndsWithItOrWithTheTime) {
  EXPECT_EQ(json("bdev_get_bdevs", R"({"name":"zz"})"), "-19 No such device");
  const auto before = env_.reactor(0).now();
  EXPECT_EQ(json("bdev_get_bdevs", R"({"name":"zz","timeout":300})"), "-110 Connection timed out");
  EXPECT_GE(env_.reactor(0).now() - before, 300 * core::kMillisecond);
  EXPECT_LT(env_.reactor(0).now() - before, 301 * core::kMillisecond);
}

core::Task<Result<void>> both(core::Task<Result<void>> waits, core::Task<Result<void>> creates) {
  core::Scope scope;
  Result<void> waited;
  const auto keep = [](core::Task<Result<void>> task, Result<void>* into) -> core::Task<void> {
    *into = co_await std::move(task);
  };
  scope.spawn(keep(std::move(waits), &waited));
  co_await core::yield();
  CO_TRY(co_await std::move(creates));
  co_await scope.join();
  co_return waited;
}

TEST_F(Spdk, WaitingForADeviceSeesItCome) {
  Outcome found, made;
  EXPECT_TRUE(run(both(
      keep_json("bdev_get_bdevs", R"({"name":"late","timeout":60000})", &found),
      keep_json("bdev_null_create", R"({"name":"late","block_size":512,"num_blocks":8})", &made))));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(has(*found, R"("name":"late")"));
  EXPECT_LT(env_.reactor(0).now(), 60 * core::kSecond);
}

TEST_F(Spdk, ErrorDevicesFailOnOrder) {
  malloc("M1", 1);
  EXPECT_EQ(json("bdev_error_create", R"({"base_name":"M1"})"), "true");
  EXPECT_EQ(json("bdev_error_create", R"({"base_name":"M1"})"), "-17 File exists");
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"EE_M1"})"),
                  R"("driver_specific":{"error_disk":{"base_bdev":"M1"}})"));
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"M1"})"),
                  R"("claimed":true,"claim_type":"exclusive_write")"));
  auto device = node_->engine.devices().find("EE_M1");
  std::vector<std::uint8_t> block(512, 7);
  const std::string name = R"({"name":"EE_M1",)";
  EXPECT_EQ(json("bdev_error_inject_error",
                 name + R"("io_type":"write","error_type":"failure","num":1})"),
            "true");
  EXPECT_FALSE(run(device->write(0, block)));
  EXPECT_TRUE(run(device->write(0, block)));
  EXPECT_EQ(json("bdev_error_inject_error",
                 name + R"("io_type":"read","error_type":"corrupt_data","corrupt_offset":3,)"
                        R"("corrupt_value":9})"),
            "true");
  EXPECT_TRUE(run(device->read(0, block)));
  EXPECT_EQ(block[3], 9);
  EXPECT_EQ(block[4], 7);
  EXPECT_EQ(json("bdev_error_inject_error", name + R"("io_type":"read","error_type":"nomem"})"),
            "true");
  const auto failed = run(device->read(0, block));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, ENOMEM);
  EXPECT_EQ(
      json("bdev_error_inject_error", R"({"name":"M1","io_type":"all","error_type":"failure"})"),
      "-19 No such device");
  EXPECT_TRUE(
      has(json("bdev_error_inject_error", name + R"("io_type":"all","error_type":"nvme_failure"})"),
          "-22 nvme_sct or nvme_sc should be"));
  EXPECT_EQ(json("bdev_error_delete", R"({"name":"EE_M1"})"), "true");
  // Its last user lets go: until then a write of his may be under way below it.
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"M1"})"), R"("claimed":true)"));
  device.reset();
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"M1"})"), R"("claimed":false)"));
}

TEST_F(Spdk, HeldRequestsGoOnWhenResumed) {
  malloc("M1", 1);
  json("bdev_error_create", R"({"base_name":"M1"})");
  json("bdev_error_inject_error", R"({"name":"EE_M1","io_type":"read","error_type":"pending"})");
  auto device = node_->engine.devices().find("EE_M1");
  std::vector<std::uint8_t> block(512, 7);
  Outcome resumed;
  EXPECT_TRUE(run(both(device->read(0, block),
                       keep_json("bdev_error_resume_pending", R"({"name":"EE_M1"})", &resumed))));
  EXPECT_TRUE(resumed);
  EXPECT_EQ(block[0], 0);
}

TEST_F(Spdk, StackedDevicesComeAndGoWithTheirBase) {
  EXPECT_EQ(json("bdev_passthru_create", R"({"name":"PT","base_bdev_name":"M1"})"), R"("PT")");
  EXPECT_EQ(json("bdev_get_bdevs", R"({"name":"PT"})"), "-19 No such device");
  EXPECT_EQ(json("bdev_delay_create",
                 R"({"name":"DL","base_bdev_name":"PT","avg_read_latency":5,"p99_read_latency":5,)"
                 R"("avg_write_latency":5,"p99_write_latency":5})"),
            R"("DL")");
  malloc("M1", 1);
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"DL"})"), R"("avg_read_latency":5)"));
  const auto delayed = node_->engine.devices().find("DL");
  std::vector<std::uint8_t> block(512, 7);
  const auto before = env_.reactor(0).now();
  EXPECT_TRUE(run(delayed->write(0, block)));
  EXPECT_GE(env_.reactor(0).now() - before, 5000U);
  EXPECT_EQ(json("bdev_malloc_delete", R"({"name":"M1"})"), "true");
  EXPECT_EQ(json("bdev_get_bdevs"), "[]");
  EXPECT_FALSE(run(delayed->write(0, block)));
  malloc("M1", 1);
  EXPECT_TRUE(has(json("bdev_get_bdevs"), R"("name":"DL")"));
  EXPECT_EQ(json("bdev_delay_update_latency",
                 R"({"delay_bdev_name":"DL","latency_type":"p99_read","latency_us":77})"),
            "true");
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"DL"})"), R"("p99_read_latency":77)"));
}

TEST_F(Spdk, SizesChange) {
  json("bdev_null_create", R"({"name":"N","block_size":512,"num_blocks":2048})");
  EXPECT_EQ(json("bdev_null_resize", R"({"name":"N","new_size":3})"), "true");
  EXPECT_TRUE(has(json("bdev_get_bdevs", R"({"name":"N"})"), R"("num_blocks":6144)"));
  EXPECT_EQ(json("bdev_null_resize", R"({"name":"M","new_size":3})"), "-19 No such device");
  EXPECT_EQ(json("notify_get_notifications", R"({"id":1})"),
            R"([{"type":"bdev_resize","ctx":"N","id":1}])");
}

TEST_F(Spdk, NotificationsAreNumberedAndBounded) {
  EXPECT_EQ(json("notify_get_types"), R"(["bdev_register","bdev_unregister","bdev_resize",)"
                                      R"("lvs_degraded","lvs_faulted","lvs_unavailable"])");
  for (int i = 0; i < 600; ++i) {
    malloc("M", 1);
    json("bdev_malloc_delete", R"({"name":"M"})");
  }
  EXPECT_EQ(json("notify_get_notifications", R"({"max":1})"),
            R"([{"type":"bdev_register","ctx":"M","id":176}])");
  EXPECT_EQ(json("notify_get_notifications", R"({"id":1199,"max":5})"),
            R"([{"type":"bdev_unregister","ctx":"M","id":1199}])");
  EXPECT_EQ(json("notify_get_notifications", R"({"id":1200})"), "[]");
}

TEST_F(Spdk, LevelsOfTheLogAreReal) {
  EXPECT_EQ(json("log_get_level"), R"("DEBUG")");  // the tests log everything
  EXPECT_EQ(json("log_set_level", R"({"level":"ERROR"})"), "true");
  EXPECT_EQ(json("log_get_print_level"), R"("ERROR")");
  node_->sink.events.clear();
  node_->engine.log().info("quiet");
  EXPECT_TRUE(node_->sink.events.empty());
  EXPECT_EQ(json("log_set_flag", R"({"flag":"engine"})"), "true");
  EXPECT_TRUE(has(json("log_get_flags"), R"("engine":true)"));
  node_->engine.log().info("loud");
  EXPECT_EQ(node_->sink.events, std::vector<std::string>{"loud"});
  EXPECT_EQ(json("log_clear_flag", R"({"flag":"all"})"), "true");
  EXPECT_EQ(json("log_set_flag", R"({"flag":"nope"})"), "-32602 invalid log flag");
  EXPECT_TRUE(has(json("log_set_level", R"({"level":"error"})"), "-32602 log_set_level: level:"));
}

TEST_F(Spdk, TheFramework) {
  EXPECT_EQ(
      json("spdk_get_version"),
      R"({"version":"Capstan v1.2.3","fields":{"major":26,"minor":5,"patch":0,"suffix":""}})");
  EXPECT_TRUE(has(json("framework_get_reactors"), R"("reactors":[{"lcore":0,"tid":)"));
  EXPECT_TRUE(has(json("thread_get_stats"), R"("threads":[{"name":"app_thread","id":1,)"));
  EXPECT_TRUE(has(json("thread_get_pollers"), R"("active_pollers":[],"timed_pollers":[])"));
  EXPECT_EQ(json("framework_get_scheduler"),
            R"({"scheduler_name":"static","scheduler_period":0,"isolated_core_mask":"0",)"
            R"("scheduling_core":0})");
  EXPECT_EQ(json("framework_set_scheduler", R"({"name":"static","more":1})"), "true");
  EXPECT_EQ(json("framework_set_scheduler", R"({"name":"x"})"), "-32603 Unknown error -22");
  EXPECT_EQ(json("framework_get_governor"), "{}");
  EXPECT_EQ(json("framework_get_pci_devices"), "[]");
  EXPECT_EQ(json("framework_get_config", R"({"name":"zz"})"), "-32602 Subsystem 'zz' not found");
  EXPECT_EQ(json("framework_get_config", R"({"name":"scheduler"})"), "null");
  EXPECT_EQ(json("spdk_kill_instance", R"({"sig_name":"SIGUSR1"})"), "true");
  EXPECT_EQ(node_->signals, std::vector<int>{SIGUSR1});
  EXPECT_TRUE(has(json("spdk_kill_instance", R"({"sig_name":"SIGFOO"})"), "-32602 "));
}

TEST_F(Spdk, StatisticsAreTheDevicesOwn) {
  malloc("M1", 1);
  EXPECT_EQ(json("bdev_reset_iostat", R"({"name":"M1"})"), "true");  // it was looked at already
  const auto device = node_->engine.devices().find("M1");
  std::vector<std::uint8_t> block(1024, 7);
  ASSERT_TRUE(run(device->write(0, block)));
  ASSERT_TRUE(run(device->read(0, block)));
  const std::string stat = json("bdev_get_iostat", R"({"names":["M1"],"reset_mode":"all"})");
  EXPECT_TRUE(has(stat, R"("bdevs":[{"name":"M1","bytes_read":1024,"num_read_ops":1,)"
                        R"("bytes_written":1024,"num_write_ops":1,)"))
      << stat;
  EXPECT_TRUE(has(stat, R"("io_error":{}})"));
  EXPECT_TRUE(has(json("bdev_get_iostat", R"({"name":"M1"})"), R"("bytes_read":0)"));
  EXPECT_EQ(json("bdev_get_iostat", R"({"name":"zz"})"), "-19 No such device");
  EXPECT_EQ(json("bdev_get_iostat", R"({"per_channel":true})"), "-22 Invalid argument");
  const std::string channels = json("bdev_get_iostat", R"({"name":"M1","per_channel":true})");
  EXPECT_TRUE(has(channels, R"("name":"M1","channels":[{)")) << channels;
  EXPECT_TRUE(has(channels, R"("thread_id":1)")) << channels;
  EXPECT_EQ(json("bdev_reset_iostat"), "true");
  EXPECT_EQ(json("bdev_reset_iostat", R"({"name":"zz"})"), "-19 No such device");
}

// Every call of a saved configuration, on a node that has nothing.
std::vector<std::pair<std::string, std::string>> calls_of(const std::string& config) {
  google::protobuf::ListValue list;
  rpc::JsonReader reader;
  EXPECT_TRUE(reader.read(config, list));
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& item : list.values()) {
    const auto& members = item.struct_value().fields();
    std::string params;
    const auto given = members.find("params");
    if (given != members.end()) {
      EXPECT_TRUE(rpc::write_json(given->second, rpc::JsonStyle::spdk(), params));
    }
    out.emplace_back(members.at("method").string_value(), params);
  }
  return out;
}

TEST_F(Spdk, TheSavedConfigurationMakesTheSameDevicesAgain) {
  env_.add_disk("/dev/sda", {.size_bytes = 64U << 20});
  malloc("M1");
  json("bdev_null_create", R"({"name":"N 1?&","block_size":4096,"num_blocks":8})");
  EXPECT_EQ(json("bdev_aio_create", R"({"name":"A0","filename":"/dev/sda"})"), R"("A0")");
  EXPECT_EQ(json("bdev_lvol_create_lvstore", R"({"bdev_name":"A0","lvs_name":"p"})").size(), 38U);
  json("bdev_lvol_create", R"({"lvs_name":"p","lvol_name":"v","size_in_mib":4})");
  json("bdev_error_create", R"({"base_name":"M1"})");
  json("bdev_delay_create",
       R"({"name":"DL","base_bdev_name":"p/v","avg_read_latency":5,"p99_read_latency":6,)"
       R"("avg_write_latency":7,"p99_write_latency":8})");
  const std::string config = json("framework_get_config", R"({"name":"bdev"})");
  const std::string devices = json("bdev_get_bdevs");
  EXPECT_TRUE(has(devices, R"("name":"DL")")) << devices;
  for (const bool restore : {false, true}) {
    stop();
    start(restore);
    for (const auto& [method, params] : calls_of(config)) {
      const std::string result = json(method, params);
      EXPECT_FALSE(result.starts_with('-')) << method << params << " " << result;
    }
    EXPECT_EQ(json("bdev_get_bdevs"), devices) << "restored by the node itself: " << restore;
    EXPECT_EQ(json("framework_get_config", R"({"name":"bdev"})"), config);
  }
}

TEST_F(Spdk, MayastorsOwnMethods) {
  EXPECT_EQ(json("mayastor_config_export"), "null");
  malloc("M1", 1);
  const auto share = [&](const std::string& name, const std::string& protocol) {
    return json("nexus_share", R"({"name":")" + name + R"(","protocol":")" + protocol +
                                   R"(","cntlid_min":1,"cntlid_max":2,"more":{}})");
  };
  EXPECT_EQ(share("M1", "iscsi"), "-32602 invalid protocol");
  EXPECT_EQ(share("zz", "nvmf"), "-2 bdev not found");
  EXPECT_TRUE(has(share("M1", "nvmf"), "-32603 device 'M1' cannot be shared"));
}

TEST_F(Spdk, TheBridge) {
  const auto bridge = [&](const std::string& method, const std::string& params) {
    mayastor::v1::JsonRpcRequest request;
    request.set_method(method);
    request.set_params(params);
    const auto answer =
        call<mayastor::v1::JsonRpcResponse>("mayastor.v1.JsonRpc/JsonRpcCall", request);
    if (answer) return answer->result();
    return std::string(code_name(answer.error().code)) + " " + answer.error().text();
  };
  EXPECT_EQ(bridge("spdk_get_version", ""),
            "{\n  \"fields\": {\n    \"major\": 26,\n    \"minor\": 5,\n    \"patch\": 0,\n"
            "    \"suffix\": \"\"\n  },\n  \"version\": \"Capstan v1.2.3\"\n}");
  EXPECT_EQ(bridge("bdev_get_bdevs", "{}"), "[]");
  EXPECT_EQ(bridge("bdev_malloc_create", R"({"name":"é","block_size":512,"num_blocks":8})"),
            "\"é\"");
  EXPECT_EQ(bridge("bdev_malloc_create", R"({"name":"é","block_size":512,"num_blocks":8})"),
            "ALREADY_EXISTS File exists");
  EXPECT_EQ(bridge("mayastor_config_export", "null"), "null");
  EXPECT_EQ(bridge("bdev_get_bdevs", R"({"name":"zz"})"), "INTERNAL No such device");
  EXPECT_EQ(bridge("nope", ""), "INTERNAL Method not found");
  EXPECT_EQ(bridge("log_get_level", "5"), "INTERNAL Invalid request");
  EXPECT_TRUE(bridge("log_get_level", "{").starts_with("INTERNAL Invalid json reply: "));
  EXPECT_TRUE(bridge("bdev_get_bdevs", "[]").starts_with("INVALID_ARGUMENT "));
  EXPECT_TRUE(bridge("bdev_set_options", "{}").starts_with("INTERNAL Method may only be called"));
  // Over HTTP the same have the codes of what happened.
  const auto own = [&](const std::string& method, const std::string& params) {
    call_.metadata.request = {{rpc::kWishErrors, "own"}};
    auto text = bridge(method, params);
    call_.metadata.request.clear();
    return text;
  };
  EXPECT_EQ(own("bdev_get_bdevs", R"({"name":"zz"})"), "NOT_FOUND No such device");
  EXPECT_EQ(own("nope", ""), "NOT_FOUND Method not found");
  EXPECT_EQ(own("log_get_level", "5"), "INVALID_ARGUMENT Invalid request");
  EXPECT_TRUE(own("log_get_level", "{").starts_with("INVALID_ARGUMENT Invalid json reply: "));
  EXPECT_TRUE(own("bdev_set_options", "{}").starts_with("FAILED_PRECONDITION Method may only"));
  EXPECT_EQ(own("bdev_malloc_create", R"({"name":"é","block_size":512,"num_blocks":8})"),
            "ALREADY_EXISTS File exists");
  mayastor::JsonRpcRequest old;
  old.set_method("log_get_level");
  EXPECT_EQ(call<mayastor::JsonRpcReply>("mayastor.JsonRpc/JsonRpcCall", old)->result(),
            "\"DEBUG\"");
}

}  // namespace
}  // namespace capstan::services
