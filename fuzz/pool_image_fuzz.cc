// Why this file exists: a whole pool whose metadata somebody else wrote is opened, used and taken
// apart. Whatever stands in it: no crash, no hang, no memory without bound, no access outside of
// the device, and what was opened and exported opens again.
//
// Input: what is done to the pool (one byte), what the changes are made to (one byte: a small pool
// that was exported, the same killed, or an empty disk of 128 MiB), then changes: page, offset in
// it, length (16 bits each; the highest bit of the length: leave the page's checksum as it is) and
// the bytes. The seeds are the sample pools of tests/vectors/lvs-images, written as changes to an
// empty disk by fuzz/pool_image_seeds.py.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/checksum.h"
#include "core/sim_env.h"
#include "storage/device/memory_device.h"
#include "storage/pool/pool.h"

namespace {

using namespace capstan;
using namespace capstan::storage;
using Image = std::vector<std::uint8_t>;

constexpr std::uint32_t kCluster = 16384;
constexpr std::uint64_t kSmallBytes = 1U << 20, kSampleBytes = 128U << 20;
constexpr std::size_t kPage = 4096;

core::Task<void> make(core::Env* env, std::shared_ptr<MemoryDevice> device, bool clean) {
  PoolOptions options;
  options.cluster_size_bytes = kCluster;
  auto pool = co_await Pool::create(*env, device, "p", env->random_uuid(), options);
  CAPSTAN_ASSERT(pool);
  for (const char* name : {"thin", "thick", "long"}) {
    const bool thin = name != std::string_view("thick");
    auto replica = co_await (*pool)->create_replica({name, {}, 6ULL * kCluster, thin, {}});
    CAPSTAN_ASSERT(replica);
    CAPSTAN_ASSERT(co_await (*replica)->write(kCluster, Image(2 * kCluster, 7)));
  }
  const Uuid uuid = (*pool)->find(std::string_view("long"))->uuid();
  CAPSTAN_ASSERT(co_await (*pool)->set_attribute(uuid, "note", std::string(3900, 'n')));
  CAPSTAN_ASSERT(co_await (*pool)->set_attribute(uuid, "more", std::string(200, 'm')));
  if (clean) CAPSTAN_ASSERT(co_await (*pool)->unload());
}

core::Task<void> copy_out(std::shared_ptr<MemoryDevice> device, Image* into) {
  into->resize(device->size_bytes());
  CAPSTAN_ASSERT(co_await device->read(0, *into));
}

Image sound_pool(bool clean) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  auto device = std::make_shared<MemoryDevice>("disk", Uuid{}, 512, kSmallBytes / 512);
  world.run(make(&env, device, clean));
  Image image;
  world.run(copy_out(device, &image));
  return image;
}

core::Task<void> change(std::shared_ptr<MemoryDevice> device, ByteView input) {
  const std::uint64_t pages = device->size_bytes() / kPage;
  Image page(kPage);
  while (input.size() >= 6) {
    const std::uint64_t offset = load_le<std::uint16_t>(input.data()) % pages * kPage;
    const std::size_t at = load_le<std::uint16_t>(input.data() + 2) % kPage;
    const auto asked = load_le<std::uint16_t>(input.data() + 4);
    const std::size_t length =
        std::min({std::size_t{asked} & 0x7FFF, input.size() - 6, kPage - at});
    CAPSTAN_ASSERT(co_await device->read(offset, page));
    std::ranges::copy(input.subspan(6, length), page.begin() + static_cast<long>(at));
    if ((asked & 0x8000) == 0)
      store_le(page.data() + kPage - 4, crc32c(ByteView(page).first(kPage - 4)));
    CAPSTAN_ASSERT(co_await device->write(offset, page));
    input = input.subspan(6 + length);
  }
}

core::Task<void> use(Pool* pool, unsigned choice) {
  const std::uint64_t cluster = pool->info().cluster_size_bytes;
  for (const auto& replica : pool->replicas()) {
    if (replica->size_bytes() == 0) continue;
    Image block(replica->block_size(), 0x5A);
    const std::uint64_t last = replica->size_bytes() - block.size();
    CAPSTAN_ASSERT(co_await replica->read(last, block));
    const std::uint64_t middle = last / 2 / block.size() * block.size();
    if (choice & 1) (void)co_await replica->write(middle, block);
    if (choice & 2) (void)co_await replica->unmap(0, std::min(replica->size_bytes(), 2 * cluster));
    if (choice & 4) (void)co_await pool->resize_replica(replica->uuid(), 9 * cluster);
    (void)replica->usage();
  }
  (void)co_await pool->create_replica({"added", {}, 2 * cluster, (choice & 8) != 0, {}});
  if ((choice & 16) == 0) co_return;
  for (const auto& volume : pool->faulted()) (void)co_await pool->destroy_replica(volume.uuid);
  for (const auto& replica : pool->replicas())
    (void)co_await pool->destroy_replica(replica->uuid());
}

core::Task<void> open(core::Env* env, std::shared_ptr<MemoryDevice> device, ByteView base,
                      ByteView changes, unsigned choice) {
  if (!base.empty()) CAPSTAN_ASSERT(co_await device->write(0, base));
  co_await change(device, changes);
  auto pool = co_await Pool::load(*env, device);
  if (!pool) {
    CAPSTAN_ASSERT(!device->claimed() && !pool.error().message.empty());
    co_return;
  }
  const PoolInfo info = (*pool)->info();
  CAPSTAN_ASSERT(info.used_bytes <= info.capacity_bytes);
  CAPSTAN_ASSERT(info.capacity_bytes <= device->size_bytes());
  co_await use(pool->get(), choice);
  const auto closed = co_await (*pool)->unload();
  CAPSTAN_ASSERT(closed || closed.error().code == Code::kResourceExhausted);
  auto again = co_await Pool::load(*env, device);
  CAPSTAN_ASSERT(again);
  const bool unloaded = (co_await (*again)->unload()).has_value();
  CAPSTAN_ASSERT(unloaded || !closed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Image kClean = sound_pool(true), kKilled = sound_pool(false);
  if (size < 2) return 0;
  const unsigned choice = data[0], base = data[1] % 4;
  const std::uint32_t block = base == 3 ? 4096 : 512;
  const std::uint64_t bytes = base < 2 ? kSmallBytes : kSampleBytes;
  core::SimWorld world(1);
  core::SimEnv env(world);
  auto device = std::make_shared<MemoryDevice>("disk", Uuid{}, block, bytes / block);
  const ByteView image = base == 0 ? ByteView(kClean) : base == 1 ? ByteView(kKilled) : ByteView();
  world.run(open(&env, device, image, ByteView(data + 2, size - 2), choice));
  return 0;
}
