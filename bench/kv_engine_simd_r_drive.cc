// Why this file exists: simd-r-drive as an engine of kv_bench, through the C functions of
// bench/simd_r_drive/src/lib.rs.
#include "bench/kv_engines.h"

namespace capstan::bench {
namespace {

struct Slice {
  const char* data;
  std::size_t size;
};
struct Peer;  // a DataStore

extern "C" {
Peer* peer_open(Slice path);
void peer_close(Peer* store);
void peer_write(const Peer* store, Slice key, Slice value);
void peer_batch_write(const Peer* store, const Slice* keys, std::size_t count, Slice value);
std::size_t peer_read(const Peer* store, Slice key);
std::size_t peer_batch_read(const Peer* store, const Slice* keys, std::size_t count);
}

Slice slice(const std::string& text) {
  return {text.data(), text.size()};
}

class SimdRDrive final : public Engine {
 public:
  const char* name() const override { return "simd-r-drive"; }
  void open(const std::string& path) override { store_ = peer_open(slice(path)); }
  void close() override { peer_close(store_); }
  void write(const Keys& keys, const std::string& value) override {
    for (const auto& key : keys) peer_write(store_, slice(key), slice(value));
  }
  void batch_write(const Keys& keys, const std::string& value, std::size_t batch) override {
    std::vector<Slice> some;
    for (std::size_t i = 0; i < keys.size(); i += batch) {
      some.clear();
      for (std::size_t j = i; j < std::min(keys.size(), i + batch); ++j) {
        some.push_back(slice(keys[j]));
      }
      peer_batch_write(store_, some.data(), some.size(), slice(value));
    }
  }
  std::size_t read(const Keys& keys) override {
    std::size_t bytes = 0;
    for (const auto& key : keys) bytes += peer_read(store_, slice(key));
    return bytes;
  }
  std::size_t batch_read(const Keys& keys) override {
    constexpr std::size_t kBatch = 1000;
    std::size_t bytes = 0;
    std::vector<Slice> some;
    for (std::size_t i = 0; i < keys.size(); i += kBatch) {
      some.clear();
      for (std::size_t j = i; j < std::min(keys.size(), i + kBatch); ++j) {
        some.push_back(slice(keys[j]));
      }
      bytes += peer_batch_read(store_, some.data(), some.size());
    }
    return bytes;
  }

 private:
  Peer* store_ = nullptr;
};

}  // namespace

std::unique_ptr<Engine> simd_r_drive_engine() {
  return std::make_unique<SimdRDrive>();
}

}  // namespace capstan::bench
