// Why this file exists: the kernel's own messages are heard, those that other programs send to the
// same group are not, and waiting for them can be ended.
#include "core/os_uevents.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/scope.h"
#include "core/uring_env.h"

namespace capstan::core {
namespace {

namespace fs = std::filesystem;

// "MAJOR:MINOR" of some disk; empty when the machine has none.
std::string some_disk() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/dev/block", error))
    return entry.path().filename().string();
  return {};
}

// As another program would; false when this process may not.
bool send_forged() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return false;
  sockaddr_nl group{};
  group.nl_family = AF_NETLINK;
  group.nl_groups = 1;
  const std::string message = "remove@/forged";
  const auto sent = sendto(fd, message.data(), message.size(), 0,
                           reinterpret_cast<const sockaddr*>(&group), sizeof group);
  close(fd);
  return sent == static_cast<ssize_t>(message.size());
}

// Has the kernel send a message about the disk; nothing happens to it.
bool ask_for_message(const std::string& disk, const std::string& id) {
  const int fd = open(("/sys/dev/block/" + disk + "/uevent").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const std::string request = "change " + id;
  const bool asked = write(fd, request.data(), request.size()) >= 0;
  close(fd);
  return asked;
}

// Messages about other devices may come in between.
Task<void> hear(KernelMessages* messages, std::string id, std::vector<std::string>* heard) {
  std::vector<std::uint8_t> room(8192);
  do {
    const auto got = co_await messages->next(room);
    if (!got) co_return;
    heard->emplace_back(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(*got));
  } while (heard->back().find("SYNTH_UUID=" + id) == std::string::npos);
}

Task<void> give_up(KernelMessages* messages, Code* code) {
  std::vector<std::uint8_t> room(16);
  while (true) {
    const auto got = co_await messages->next(room);
    if (got) continue;
    *code = got.error().code;
    co_return;
  }
}

Task<void> cancel_soon(KernelMessages* messages, Code* code) {
  Scope scope;
  scope.spawn(give_up(messages, code));
  co_await yield();
  messages->cancel();
  co_await scope.join();
}

TEST(Uevents, OnlyTheKernelIsHeard) {
  const auto env = *UringEnv::create({});
  auto messages = listen_uevents();
  if (!messages) GTEST_SKIP() << messages.error().text();
  const std::string id = env->random_uuid().text();
  const std::string disk = some_disk();
  if (!send_forged()) GTEST_SKIP() << "this process may not send to the kernel's group";
  if (disk.empty() || !ask_for_message(disk, id)) GTEST_SKIP() << "no disk to ask about";
  std::vector<std::string> heard;
  env->run(hear(messages->get(), id, &heard));
  ASSERT_FALSE(heard.empty());
  EXPECT_NE(heard.back().find("SUBSYSTEM=block"), std::string::npos);
  for (const auto& message : heard) EXPECT_FALSE(message.starts_with("remove@/forged"));
}

TEST(Uevents, WaitingCanBeEnded) {
  const auto env = *UringEnv::create({});
  auto messages = listen_uevents();
  if (!messages) GTEST_SKIP() << messages.error().text();
  Code code = Code::kOk;
  env->run(cancel_soon(messages->get(), &code));
  EXPECT_EQ(code, Code::kCancelled);
}

TEST(Uevents, SysfsKnowsWhatIsThere) {
  const std::string disk = some_disk();
  if (disk.empty()) GTEST_SKIP() << "no disks in /sys/dev/block";
  const auto colon = disk.find(':');
  const auto part = [](const std::string& text) {
    return static_cast<std::uint32_t>(std::stoul(text));
  };
  EXPECT_EQ(sysfs_has({part(disk.substr(0, colon)), part(disk.substr(colon + 1))}), true);
  EXPECT_EQ(sysfs_has({4095, 1'000'000}), false);
}

}  // namespace
}  // namespace capstan::core
