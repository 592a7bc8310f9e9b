// Why this file exists: what the tests of devices share: a simulated node, a way to await in a
// plain test body, and recognisable content.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/sim_env.h"
#include "storage/device/device.h"

namespace capstan::storage {

using Bytes = std::vector<std::uint8_t>;

inline Bytes pattern(std::size_t size, std::uint8_t seed) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<std::uint8_t>(seed + i * 7 + (i >> 9) * 13);
  }
  return out;
}

template <class T>
core::Task<void> keep(core::Task<T> task, std::optional<T>& out) {
  out.emplace(co_await task);
}

class DeviceTest : public testing::Test {
 protected:
  // Runs the task to its end in virtual time.
  template <class T>
  T run(core::Task<T> task) {
    std::optional<T> out;
    world_.run(keep(std::move(task), out));
    return std::move(*out);
  }
  template <class T>
  Code code_of(core::Task<Result<T>> task) {
    const auto result = run(std::move(task));
    return result ? Code::kOk : result.error().code;
  }
  Bytes read_all(Device& device, std::uint64_t offset, std::size_t length) {
    Bytes out(length, 0xEE);
    const auto result = run(device.read(offset, out));
    EXPECT_TRUE(result) << result.error().text();
    return out;
  }
  void write(Device& device, std::uint64_t offset, const Bytes& bytes) {
    const auto result = run(device.write(offset, bytes));
    EXPECT_TRUE(result) << result.error().text();
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
};

}  // namespace capstan::storage
