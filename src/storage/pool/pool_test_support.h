// Why this file exists: what the tests of the pool share: sample images unpacked into devices, and
// the independent reader (tools/lvs-dump.py) as the judge of what our code wrote.
#pragma once

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "capstan_test_paths.h"
#include "storage/device/memory_device.h"
#include "storage/device/test_support.h"
#include "storage/pool/pool.h"

namespace capstan::storage {

inline std::string source_path(const std::string& relative) {
  return std::string(CAPSTAN_SOURCE_DIR) + "/" + relative;
}

// The output of a shell command; stderr included.
inline std::string run_command(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  pclose(pipe);
  return output;
}

// A file under the test's own temporary folder, removed with this object.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::string text = testing::TempDir() + "capstan-pool-XXXXXX";
    const int fd = mkstemp(text.data());
    EXPECT_GE(fd, 0);
    std::fclose(fdopen(fd, "w"));
    path_ = text;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string sha256_hex(const Bytes& bytes) {
  unsigned char digest[32];
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr);
  std::string text;
  for (unsigned char byte : digest) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// tools/lvs-dump.py in one run: what `check` finds, a line "--", what `hash` prints.
inline constexpr char kJudge[] = R"PY(
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("lvs_dump", sys.argv[1])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
try:
    store = tool.Store(sys.argv[2])
    for severity, text in store.check(): print("%s: %s" % (severity, text))
    for text in store.resolved: print("recovered:", text)
    print("--")
    for blob in store.volumes():
        digest = hashlib.sha256()
        try:
            for part in store.content(blob): digest.update(part)
            print(digest.hexdigest(), blob.text("name"))
        except tool.FormatError as error: print("-", blob.text("name"), error)
except tool.FormatError as error: print("lvs-dump:", error)
)PY";

class PoolTest : public DeviceTest {
 protected:
  std::shared_ptr<MemoryDevice> memory(std::uint64_t bytes, std::uint32_t block_size = 512) {
    return std::make_shared<MemoryDevice>("disk0", Uuid{}, block_size, bytes / block_size);
  }

  // A sample image as a device.
  std::shared_ptr<MemoryDevice> unpack(const std::string& file, std::uint32_t block_size,
                                       std::uint64_t bytes) {
    TemporaryFile raw;
    const std::string said = run_command("zstd -q -d -f --sparse -o " + raw.path() + " " +
                                         source_path("tests/vectors/lvs-images/" + file));
    EXPECT_EQ(said, "");
    auto device = memory(bytes, block_size);
    EXPECT_EQ(load(*device, raw.path()), bytes) << file;
    return device;
  }

  // The bytes of a file onto a device, holes left out; how many the file has.
  std::uint64_t load(Device& device, const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    Bytes chunk(MemoryDevice::kChunkBytes);
    std::uint64_t at = 0;
    while (stream.read(reinterpret_cast<char*>(chunk.data()),
                       static_cast<std::streamsize>(chunk.size()))) {
      if (!all_zero(chunk)) write(device, at, chunk);
      at += chunk.size();
    }
    return at + static_cast<std::uint64_t>(stream.gcount());
  }

  // Equal for equal content; costs only what is allocated.
  std::string fingerprint(Device& device) {
    Bytes all;
    for (const auto& extent : *run(device.allocated(0, device.size_bytes()))) {
      for (std::uint64_t at = 0; at < extent.length; at += MemoryDevice::kChunkBytes) {
        const Bytes part =
            read_all(device, extent.offset + at,
                     std::min<std::uint64_t>(MemoryDevice::kChunkBytes, extent.length - at));
        if (all_zero(part)) continue;
        all.resize(all.size() + 8);
        store_le<std::uint64_t>(all.data() + all.size() - 8, extent.offset + at);
        all.insert(all.end(), part.begin(), part.end());
      }
    }
    return sha256_hex(all);
  }

  // What the independent reader says of a device, line by line.
  std::vector<std::string> judge(Device& device) {
    TemporaryFile raw, script;
    save(device, raw.path());
    std::ofstream(script.path()) << kJudge;
    return lines_of(run_command("python3 " + script.path() + " " +
                                source_path("tools/lvs-dump.py") + " " + raw.path()));
  }

  void save(Device& device, const std::string& path) {
    std::ofstream stream(path, std::ios::binary);
    for (const auto& extent : *run(device.allocated(0, device.size_bytes()))) {
      const Bytes bytes = read_all(device, extent.offset, extent.length);
      stream.seekp(static_cast<std::streamoff>(extent.offset));
      stream.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
    }
    stream.close();
    std::filesystem::resize_file(path, device.size_bytes());
  }

  std::unique_ptr<Pool> must_load(std::shared_ptr<Device> device) {
    auto pool = run(Pool::load(env_, std::move(device)));
    EXPECT_TRUE(pool) << pool.error().text();
    return pool ? std::move(*pool) : nullptr;
  }
  std::unique_ptr<Pool> must_create(std::shared_ptr<Device> device, std::uint32_t cluster_size) {
    PoolOptions options;
    options.cluster_size_bytes = cluster_size;
    auto pool = run(Pool::create(env_, std::move(device), "p0", Uuid{}, options));
    EXPECT_TRUE(pool) << pool.error().text();
    return pool ? std::move(*pool) : nullptr;
  }
  std::shared_ptr<Replica> must_add(Pool& pool, const std::string& name, std::uint64_t size,
                                    bool thin) {
    ReplicaOptions options{name, {}, size, thin, std::nullopt};
    auto replica = run(pool.create_replica(options));
    EXPECT_TRUE(replica) << replica.error().text();
    return replica ? *replica : nullptr;
  }
  void expect_ok(const Result<void>& result) { EXPECT_TRUE(result) << result.error().text(); }
  std::string hash_of(Replica& replica) {
    return sha256_hex(read_all(replica, 0, replica.size_bytes()));
  }
  // Unloads, then the independent reader must find nothing and the same contents.
  void expect_sound(std::unique_ptr<Pool> pool, const std::vector<std::string>& findings = {}) {
    std::map<std::string, std::string> hashes;
    for (auto& replica : pool->replicas()) hashes[replica->name()] = hash_of(*replica);
    auto device = pool->device();
    expect_ok(run(pool->unload()));
    std::vector<std::string> found;
    bool found_all = false;
    for (const std::string& line : judge(*device)) {
      if (line == "--") {
        found_all = true;
      } else if (!found_all) {
        found.push_back(line);
      } else if (!line.starts_with("-")) {
        const std::string name = line.substr(65);
        EXPECT_EQ(line.substr(0, 64), hashes[name]) << name;
        hashes.erase(name);
      }
    }
    EXPECT_TRUE(found_all);
    EXPECT_EQ(found, findings);
    EXPECT_TRUE(hashes.empty());
  }
};

}  // namespace capstan::storage
