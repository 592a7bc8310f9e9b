// Why this file exists: every sample image of tests/vectors/lvs-images must open with the volumes,
// sizes, attributes, space and contents that its manifest lists, be written to, and be found sound
// by the independent reader afterwards. Damaged volumes stay listed, never opened.
#include <algorithm>
#include <set>

#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

// The manifest, flattened by Python into tab-separated lines.
constexpr char kFlatten[] = R"PY(
import json,sys
for e in json.load(open(sys.argv[1])):
    s = e["store"]
    print("image", e["file"], e["block_size"], e["raw_size"], sep="\t")
    print("store", s["name"], s["uuid"], int(s["clean"]), s["cluster_size"],
          s["block_size"], s["md_len"], s["data_clusters"], s["free_clusters"], sep="\t")
    for v in e["volumes"]:
        print("volume", v["name"], v["uuid"], int(v["blob"], 16), v["size"], v["allocated"],
              int(v["thin"]), int(v["read_only"]), v["sha256"] or "-", sep="\t")
        for n, x in v["xattrs"].items(): print("xattr", n, *x, sep="\t")  # long values: length only
    for c in e["check"]: print("check", c, sep="\t")
)PY";

struct ExpectedVolume {
  std::string name, uuid, sha256;
  std::uint64_t blob = 0, size = 0, allocated = 0;
  bool thin = false, read_only = false;
  std::map<std::string, std::pair<std::size_t, std::optional<std::string>>> xattrs;
};
struct Expected {
  std::uint32_t image_block = 0;
  std::uint64_t raw_size = 0;
  std::string name, uuid;
  bool clean = false;
  std::uint64_t cluster_size = 0, block_size = 0, md_len = 0, data_clusters = 0, free_clusters = 0;
  std::vector<ExpectedVolume> volumes;
  std::vector<std::string> check;
};

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  for (char c : line) c == '\t' ? void(fields.emplace_back()) : fields.back().push_back(c);
  return fields;
}

// By file name.
std::map<std::string, Expected> read_manifest() {
  TemporaryFile script;
  std::ofstream(script.path()) << kFlatten;
  std::map<std::string, Expected> images;
  std::string file;
  for (const std::string& line :
       lines_of(run_command("python3 " + script.path() + " " +
                            source_path("tests/vectors/lvs-images/manifest.json")))) {
    const std::vector<std::string> f = fields_of(line);
    if (f[0] == "image") file = f[1];
    Expected& expected = images[file];
    if (f[0] == "image") {
      expected.image_block = static_cast<std::uint32_t>(std::stoul(f[2]));
      expected.raw_size = std::stoull(f[3]);
    } else if (f[0] == "store") {
      expected.name = f[1];
      expected.uuid = f[2];
      expected.clean = f[3] == "1";
      expected.cluster_size = std::stoull(f[4]);
      expected.block_size = std::stoull(f[5]);
      expected.md_len = std::stoull(f[6]);
      expected.data_clusters = std::stoull(f[7]);
      expected.free_clusters = std::stoull(f[8]);
    } else if (f[0] == "volume") {
      ExpectedVolume volume{
          f[1],        f[2],        f[8], std::stoull(f[3]), std::stoull(f[4]), std::stoull(f[5]),
          f[6] == "1", f[7] == "1", {}};
      expected.volumes.push_back(volume);
    } else if (f[0] == "xattr") {
      auto& xattr = expected.volumes.back().xattrs[f[1]];
      xattr.first = std::stoull(f[2]);
      if (f.size() > 3) xattr.second = f[3];
    } else if (f[0] == "check") {
      expected.check.push_back(f[1]);
    }
  }
  return images;
}

class LvsImage : public PoolTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    static const std::map<std::string, Expected> manifest = read_manifest();
    const auto found = manifest.find(std::string(GetParam()) + ".img.zst");
    ASSERT_NE(found, manifest.end());
    expected_ = found->second;
    ASSERT_NE(expected_.raw_size, 0U);
    device_ =
        unpack(std::string(GetParam()) + ".img.zst", expected_.image_block, expected_.raw_size);
  }
  // What stays to be said about volumes that nobody can read, also after we wrote to the pool.
  std::vector<std::string> lasting_findings() const {
    std::vector<std::string> lasting;
    for (const ExpectedVolume& volume : expected_.volumes) {
      for (const std::string& line : expected_.check) {
        if (volume.sha256 == "-" && line.starts_with("error: blob") &&
            line.find("(" + volume.name + ")") != std::string::npos)
          lasting.push_back(line);
      }
    }
    return lasting;
  }
  void expect_volume(Pool& pool, const ExpectedVolume& volume) {
    SCOPED_TRACE(volume.name);
    auto replica = pool.find(std::string_view(volume.name));
    ASSERT_NE(replica, nullptr);
    EXPECT_EQ(replica->uuid().text(), volume.uuid);
    EXPECT_EQ(pool.find(replica->uuid()), replica);
    EXPECT_EQ(replica->blob_id(), volume.blob);
    EXPECT_EQ(replica->size_bytes(), volume.size);
    EXPECT_EQ(replica->usage().num_allocated_clusters, volume.allocated);
    EXPECT_EQ(replica->thin(), volume.thin);
    EXPECT_EQ(replica->read_only(), volume.read_only);
    EXPECT_EQ(hash_of(*replica), volume.sha256);
    auto attributes = replica->attributes();
    EXPECT_EQ(attributes.size(), volume.xattrs.size());
    for (const auto& [name, value] : volume.xattrs) {
      ASSERT_TRUE(attributes.contains(name)) << name;
      EXPECT_EQ(attributes[name].size(), value.first) << name;
      if (value.second) EXPECT_EQ(replica->attribute(name).value_or(""), *value.second) << name;
    }
  }
  void write_everywhere(Pool& pool) {
    std::uint8_t seed = 1;
    for (auto& replica : pool.replicas()) {
      if (replica->read_only() || replica->size_bytes() == 0) continue;
      const std::uint64_t size = replica->size_bytes(), cluster = expected_.cluster_size;
      for (std::uint64_t offset : {std::uint64_t{0}, cluster - 4096, size / 2, size - 8192}) {
        const std::uint64_t at = offset / 4096 * 4096;
        if (at + 8192 > size) continue;
        const Bytes bytes = pattern(8192, ++seed);
        write(*replica, at, bytes);
        EXPECT_EQ(read_all(*replica, at, 8192), bytes);
      }
    }
  }

  Expected expected_;
  std::shared_ptr<MemoryDevice> device_;
};

TEST_P(LvsImage, OpensAsListed) {
  const auto before = fingerprint(*device_);
  auto info = run(Pool::probe(device_));
  ASSERT_TRUE(info) << info.error().text();
  EXPECT_EQ(info->name, expected_.name);
  EXPECT_EQ(info->uuid.text(), expected_.uuid);
  EXPECT_EQ(info->cluster_size_bytes, expected_.cluster_size);
  EXPECT_EQ(info->block_size, expected_.block_size);
  EXPECT_EQ(info->md_pages, expected_.md_len);
  EXPECT_EQ(info->capacity_bytes, expected_.data_clusters * expected_.cluster_size);
  EXPECT_EQ(info->used_bytes,
            (expected_.data_clusters - expected_.free_clusters) * expected_.cluster_size);
  auto pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  std::set<std::string> faulted, expected_faulted;
  for (const FaultedVolume& volume : pool->faulted()) {
    faulted.insert(volume.name);
    EXPECT_FALSE(volume.reason.empty());
  }
  for (const ExpectedVolume& volume : expected_.volumes) {
    if (volume.sha256 == "-")
      expected_faulted.insert(volume.name);
    else
      expect_volume(*pool, volume);
  }
  EXPECT_EQ(faulted, expected_faulted);
  EXPECT_EQ(pool->replicas().size() + faulted.size(), expected_.volumes.size());
  EXPECT_EQ(fingerprint(*device_), before) << "a load wrote";
  if (expected_.clean) {
    expect_ok(run(pool->unload()));
    EXPECT_EQ(fingerprint(*device_), before);
  } else {
    expect_sound(std::move(pool), lasting_findings());
  }
}

TEST_P(LvsImage, IsSoundAfterWrites) {
  auto pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  std::map<std::string, std::string> untouched;
  for (auto& replica : pool->replicas()) {
    if (replica->read_only()) untouched[replica->name()] = hash_of(*replica);
  }
  write_everywhere(*pool);
  must_add(*pool, "added-by-us", 3 * expected_.cluster_size, false);
  for (auto& [name, hash] : untouched)
    EXPECT_EQ(hash_of(*pool->find(std::string_view(name))), hash) << name;
  expect_sound(std::move(pool), lasting_findings());
  pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  EXPECT_TRUE(pool->notes().empty());
  EXPECT_NE(pool->find(std::string_view("added-by-us")), nullptr);
}

TEST_P(LvsImage, RecoversAfterWritesWithoutUnload) {
  auto pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  write_everywhere(*pool);
  std::map<std::string, std::string> hashes;
  for (auto& replica : pool->replicas()) hashes[replica->name()] = hash_of(*replica);
  const std::uint64_t used = pool->info().used_bytes;
  pool.reset();
  device_->release();
  pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  for (auto& replica : pool->replicas()) EXPECT_EQ(hash_of(*replica), hashes[replica->name()]);
  EXPECT_EQ(pool->replicas().size(), hashes.size());
  EXPECT_EQ(pool->info().used_bytes, used);
  expect_sound(std::move(pool), lasting_findings());
}

// What we are measured with, measured: on the untouched image it finds what the manifest says, and
// reads the same contents.
TEST_P(LvsImage, TheIndependentReaderAgreesWithTheManifest) {
  std::vector<std::string> findings;
  std::map<std::string, std::string> hashes;
  bool found_all = false;
  for (const std::string& line : judge(*device_)) {
    if (line == "--")
      found_all = true;
    else if (!found_all)
      findings.push_back(line);
    else if (!line.starts_with("-"))
      hashes[line.substr(65)] = line.substr(0, 64);
  }
  EXPECT_TRUE(found_all);
  std::ranges::sort(findings);
  std::ranges::sort(expected_.check);
  EXPECT_EQ(findings, expected_.check);
  for (const ExpectedVolume& volume : expected_.volumes) {
    if (volume.sha256 != "-") EXPECT_EQ(hashes[volume.name], volume.sha256) << volume.name;
    hashes.erase(volume.name);
  }
  EXPECT_TRUE(hashes.empty());
}

// Everything that a pool can do, on what others wrote; nothing is left at the end, and all space is
// free again.
TEST_P(LvsImage, IsUsedAndTakenApart) {
  auto pool = must_load(device_);
  ASSERT_NE(pool, nullptr);
  const std::uint64_t cluster = expected_.cluster_size;
  for (auto& replica : pool->replicas()) {
    if (replica->read_only() || replica->size_bytes() < 2 * cluster) continue;
    SCOPED_TRACE(replica->name());
    write(*replica, cluster / 2 / 4096 * 4096, pattern(4096, 5));
    expect_ok(run(replica->write_zeroes(cluster - 4096, 8192)));
    expect_ok(run(replica->unmap(0, cluster)));
    EXPECT_TRUE(all_zero(read_all(*replica, 0, cluster)));
    const std::uint64_t size = replica->size_bytes();
    expect_ok(run(pool->set_attribute(replica->uuid(), "note", "ours")));
    expect_ok(run(pool->resize_replica(replica->uuid(), size - cluster)));
    EXPECT_EQ(replica->size_bytes(), size - cluster);
    EXPECT_EQ(replica->attribute("note"), "ours");
  }
  for (std::size_t before = 0; pool->replicas().size() + pool->faulted().size() != before;) {
    before = pool->replicas().size() + pool->faulted().size();
    for (auto& replica : pool->replicas()) (void)run(pool->destroy_replica(replica->uuid()));
    for (const FaultedVolume& volume : pool->faulted())
      (void)run(pool->destroy_replica(volume.uuid));
  }
  EXPECT_TRUE(pool->replicas().empty());
  EXPECT_TRUE(pool->faulted().empty());
  EXPECT_EQ(pool->info().used_bytes, 0U);
  EXPECT_EQ(pool->info().committed_bytes, 0U);
  auto whole = must_add(*pool, "whole", pool->info().capacity_bytes / 2, true);
  write(*whole, 0, pattern(4096, 6));
  whole = nullptr;
  expect_sound(std::move(pool));
}

INSTANTIATE_TEST_SUITE_P(
    All, LvsImage,
    testing::Values("a-empty", "b-thick-thin", "c-snap-clones", "d-dirty", "e-mayastor", "f-rle",
                    "g-multipage", "h-md16k", "j-esnap", "o1-independent-clean",
                    "o2-independent-dirty", "o3-swap-before-commit", "o4-swap-after-commit",
                    "o5-torn-root-with-shadow", "x01-snap-before-commit", "x02-snap-after-commit",
                    "x03-snap-of-clone-before-commit", "x04-delsnap-merged-in-place",
                    "x05-delsnap-child-committed", "x06-snap-nearly-full", "x07-grow-before-commit",
                    "x08-shrink-before-commit", "x09-delete-half-zeroed", "x10-torn-extent-page",
                    "x11-delsnap-leak", "x12-shrink-across-groups", "y01-short-extent-page",
                    "y02-long-extent-page", "y03-short-extent-page-lost"),
    [](const testing::TestParamInfo<const char*>& info) {
      std::string name = info.param;
      std::ranges::replace(name, '-', '_');
      return name;
    });

}  // namespace
}  // namespace capstan::storage
