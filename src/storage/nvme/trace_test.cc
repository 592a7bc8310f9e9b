// Why this file exists: what a Linux host sends when it connects and reads, as captured, and the
// target's answers byte by byte (tests/vectors/nvme_tcp.txt), whole and cut at every byte.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "capstan_test_paths.h"
#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

std::map<std::string, Bytes> read_vectors() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/tests/vectors/nvme_tcp.txt");
  std::map<std::string, Bytes> vectors;
  std::string name;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("== ")) name = line.substr(3);
    if (!line.starts_with("C ") && !line.starts_with("S ")) continue;
    for (std::size_t i = 4; i + 1 < line.size(); i += 2) {
      vectors[name].push_back(static_cast<std::uint8_t>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
  }
  return vectors;
}

class Replay {
 public:
  core::Task<void> dial(core::Env& env, core::Address address) {
    auto stream = co_await env.network().connect(address, {});
    CAPSTAN_ASSERT(stream);
    stream_ = *std::move(stream);
  }
  // Sends `bytes` in two writes with a pause between, and expects exactly `answer`.
  core::Task<void> step(const Bytes& bytes, const Bytes& answer, std::size_t cut) {
    cut = std::min(cut, bytes.size());
    (void)co_await stream_->write(ByteView(bytes).first(cut));
    if (cut != 0 && cut != bytes.size()) co_await pause(core::kMillisecond);
    if (cut != bytes.size()) (void)co_await stream_->write(ByteView(bytes).subspan(cut));
    Bytes got(answer.size());
    std::size_t have = 0;
    while (have < got.size()) {
      const auto read = co_await stream_->read(MutableBytes(got).subspan(have));
      EXPECT_TRUE(read && *read != 0) << "the target closed";
      if (!read || *read == 0) co_return;
      have += *read;
    }
    EXPECT_EQ(got, answer) << "cut at " << cut;
  }

 private:
  std::unique_ptr<core::Stream> stream_;
};

core::Task<void> connect_and_read(TargetWorld& world, std::size_t cut) {
  auto vectors = read_vectors();
  // The captured controller had the id 0x59.
  EXPECT_TRUE(co_await world.target.remove(kNqn));
  auto added = world.target.add({.nqn = kNqn, .serial = "S", .min_controller = 0x59});
  CAPSTAN_ASSERT(added);
  world.subsystem = *added;
  EXPECT_TRUE(world.subsystem->add_namespace(world.device));
  const Bytes data_pdu = vectors["C2HData for it"];
  EXPECT_TRUE(co_await world.memory->write(0, ByteView(data_pdu).subspan(kDataHeaderBytes)));

  Replay admin, io;
  co_await admin.dial(world.env, world.address);
  co_await admin.step(vectors["ICReq of Linux 6.1"], vectors["ICResp of SPDK"], cut);
  co_await admin.step(vectors["Connect of an admin queue, Linux 6.1"],
                      vectors["its answer: controller 0x59"], cut);
  co_await admin.step(vectors["Property Get CAP"], vectors["its answer to CAP"], cut);
  Bytes done(kCapsuleRespBytes);
  store_capsule_resp(done.data(), store_completion({0, 0, 3, 0x1013, {}}), {});
  co_await admin.step(vectors["Property Set CC"], done, cut);

  co_await io.dial(world.env, world.address);
  co_await io.step(vectors["ICReq of Linux 6.1"], vectors["ICResp of SPDK"], cut);
  co_await io.step(vectors["Connect of I/O queue 1"], vectors["its answer: controller 0x59"], cut);
  Bytes answer = data_pdu;
  const Bytes& completion = vectors["its answer"];
  answer.insert(answer.end(), completion.begin(), completion.end());
  co_await io.step(vectors["Read of 4 KiB"], answer, cut);
  store_capsule_resp(done.data(), store_completion({0, 0, 3, 0x32, {}}), {});
  const Bytes& write = vectors["Write of 4 KiB in the capsule"];
  co_await io.step(write, done, cut);
  store_capsule_resp(done.data(), store_completion({0, 0, 4, 0x33, {}}), {});
  Bytes stored(4096);
  EXPECT_TRUE(co_await world.memory->read(0, stored));
  EXPECT_TRUE(std::equal(stored.begin(), stored.end(), write.begin() + kCapsuleCmdBytes));
  co_await io.step(vectors["Dataset Management of nvme-cli"], done, cut);
}

TEST(NvmeTrace, LinuxConnectsAndReads) {
  in_simulation([](TargetWorld& world) { return connect_and_read(world, SIZE_MAX); });
  for_real([](TargetWorld& world) { return connect_and_read(world, SIZE_MAX); });
}

TEST(NvmeTrace, CutAtEveryByteOfTheHeaders) {
  for (std::size_t cut = 1; cut < 160; ++cut) {
    in_simulation([cut](TargetWorld& world) { return connect_and_read(world, cut); }, cut);
  }
}

}  // namespace
}  // namespace capstan::storage::nvme
