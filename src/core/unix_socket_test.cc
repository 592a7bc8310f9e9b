// Why this file exists: pins what listening does with what it finds at a Unix path, on real sockets
// and on simulated ones, and how packets are gathered and scattered.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/env.h"
#include "core/sim_env.h"
#include "core/uring_env.h"

namespace capstan::core {
namespace {

ListenOptions with(ExistingPath existing, std::uint32_t mode = 0600) {
  return ListenOptions{mode, existing};
}

// A socket file that nobody listens on.
void leave_socket(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, type, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(fd);
}

class UnixPaths : public testing::Test {
 protected:
  UnixPaths() {
    char name[] = "/tmp/capstan-paths-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/s";
    env_ = *UringEnv::create({});
  }
  ~UnixPaths() override { std::filesystem::remove_all(directory_); }

  Error refused(ExistingPath existing) {
    auto listener = env_->network().listen_packets(address(), with(existing));
    EXPECT_FALSE(listener) << static_cast<int>(existing);
    return listener ? Error() : listener.error();
  }
  bool accepted(ExistingPath existing) {
    return env_->network().listen_packets(address(), with(existing)).has_value();
  }
  Address address() const { return Address::unix_path(path_); }
  bool exists() const {
    struct stat info{};
    return lstat(path_.c_str(), &info) == 0;
  }

  std::string directory_, path_;
  std::unique_ptr<UringEnv> env_;
};

TEST_F(UnixPaths, TheModeIsWhatWasAskedWhateverTheUmask) {
  const mode_t before = umask(0077);
  for (const unsigned mode : {0600U, 0660U, 0666U}) {
    auto listener = env_->network().listen(address(), with(ExistingPath::kFail, mode));
    ASSERT_TRUE(listener) << listener.error().text();
    struct stat info{};
    ASSERT_EQ(lstat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, mode);
    listener->reset();
    EXPECT_FALSE(exists());
  }
  umask(before);
  EXPECT_EQ(env_->network().listen(address(), with(ExistingPath::kFail, 0)).error().code,
            Code::kInvalidArgument);
}

TEST_F(UnixPaths, PathsHaveOneToOneHundredAndSevenBytes) {
  for (const std::size_t size : {0U, 108U, 300U}) {
    path_ = std::string(size, 'x');
    EXPECT_EQ(refused(ExistingPath::kFail).code, Code::kInvalidArgument) << size;
  }
  path_ = directory_ + "/" + std::string(107 - directory_.size() - 1, 'x');
  EXPECT_TRUE(accepted(ExistingPath::kFail));
  path_ = directory_ + "/missing/s";
  EXPECT_EQ(refused(ExistingPath::kFail).sys_errno, ENOENT);
}

TEST_F(UnixPaths, OnlySocketsAreEverRemoved) {
  const auto policies = {ExistingPath::kFail, ExistingPath::kReplaceStale,
                         ExistingPath::kUnlinkFirst};
  std::ofstream(path_) << "precious";
  for (const auto policy : policies) EXPECT_EQ(refused(policy).sys_errno, EEXIST);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
  std::filesystem::remove(path_);

  std::filesystem::create_symlink("/nonexistent", path_);
  for (const auto policy : policies) EXPECT_EQ(refused(policy).code, Code::kAlreadyExists);
  EXPECT_TRUE(exists());
  std::filesystem::remove(path_);

  std::filesystem::create_directory(path_);
  for (const auto policy : policies) EXPECT_EQ(refused(policy).code, Code::kAlreadyExists);
  std::filesystem::remove(path_);

  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  for (const auto policy : policies) EXPECT_EQ(refused(policy).code, Code::kAlreadyExists);
  EXPECT_TRUE(exists());
}

TEST_F(UnixPaths, AStaleSocketIsReplacedOnlyWhenAsked) {
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    leave_socket(path_, type);
    const Error error = refused(ExistingPath::kFail);
    EXPECT_EQ(error.sys_errno, EADDRINUSE);
    EXPECT_NE(error.text().find(path_), std::string::npos);
    EXPECT_TRUE(accepted(ExistingPath::kReplaceStale));
    leave_socket(path_, type);
    EXPECT_TRUE(accepted(ExistingPath::kUnlinkFirst));
  }
}

TEST_F(UnixPaths, AListenerInUseKeepsItsPath) {
  auto stream = env_->network().listen(address());
  ASSERT_TRUE(stream);
  EXPECT_EQ(refused(ExistingPath::kReplaceStale).sys_errno, EADDRINUSE);  // another type
  stream->reset();
  auto first = env_->network().listen_packets(address());
  ASSERT_TRUE(first);
  EXPECT_EQ(refused(ExistingPath::kFail).sys_errno, EADDRINUSE);
  EXPECT_EQ(refused(ExistingPath::kReplaceStale).sys_errno, EADDRINUSE);
  EXPECT_TRUE(exists());

  // The second takes the path; the first's end does not take the second's file with it.
  auto second = env_->network().listen_packets(address(), with(ExistingPath::kUnlinkFirst));
  ASSERT_TRUE(second);
  first->reset();
  EXPECT_TRUE(exists());
  second->reset();
  EXPECT_FALSE(exists());
}

Task<void> scatter(Env& env, Address address) {
  auto listener = env.network().listen_packets(address);
  auto client = co_await env.network().connect_packets(address, {});
  auto server = co_await (*listener)->accept();
  const ByteView whole[] = {as_bytes("HEAD"), as_bytes("mes"), {}, as_bytes("sage")};
  std::array<std::uint8_t, 4> head{};
  std::array<std::uint8_t, 7> rest{};
  const MutableBytes parts[] = {head, rest};
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(co_await (*client)->send(whole));
    const auto size = co_await (*server)->receive(parts);
    CAPSTAN_ASSERT(size && *size);
    EXPECT_EQ(**size, 11U);
    EXPECT_EQ(as_text(head), "HEAD");
    EXPECT_EQ(as_text(rest), "message");
  }
  const ByteView longer[] = {as_bytes("HEAD"), as_bytes("message!")};
  EXPECT_TRUE(co_await (*client)->send(longer));
  EXPECT_EQ((co_await (*server)->receive(parts)).error().code, Code::kOutOfRange);

  const std::vector<std::uint8_t> big(300'000, 1);
  const ByteView one[] = {big};
  EXPECT_EQ((co_await (*client)->send(one)).error().sys_errno, EMSGSIZE);
  (*client)->reserve_send(big.size());
  EXPECT_TRUE(co_await (*client)->send(one));
  std::vector<std::uint8_t> got(big.size());
  const auto size = co_await (*server)->receive(got);
  CAPSTAN_ASSERT(size && *size);
  EXPECT_EQ(got, big);
  EXPECT_FALSE((*server)->peer_gone());
  client->reset();
  EXPECT_TRUE((*server)->peer_gone());
}

TEST_F(UnixPaths, PacketsAreGatheredAndScattered) {
  env_->run(scatter(*env_, address()));
}

TEST(SimUnixPaths, PacketsAreGatheredAndScattered) {
  SimWorld world(5);
  SimEnv env(world);
  world.run(scatter(env, Address::unix_path("/run/s")));
}

TEST(SimUnixPaths, FollowTheSamePolicies) {
  SimWorld world(6);
  SimEnv env(world);
  auto& network = env.network();
  const auto address = Address::unix_path("/run/s");
  network.occupy("/run/s", false);
  for (const auto policy :
       {ExistingPath::kFail, ExistingPath::kReplaceStale, ExistingPath::kUnlinkFirst}) {
    EXPECT_EQ(network.listen(address, with(policy)).error().code, Code::kAlreadyExists);
  }
  network.occupy("/run/s", true);
  EXPECT_FALSE(network.listen(address));
  auto first = network.listen(address, with(ExistingPath::kReplaceStale));
  ASSERT_TRUE(first);
  EXPECT_FALSE(network.listen(address, with(ExistingPath::kReplaceStale)));
  auto second = network.listen(address, with(ExistingPath::kUnlinkFirst));
  ASSERT_TRUE(second);
  first->reset();
  EXPECT_FALSE(network.listen(address));
  second->reset();
  EXPECT_TRUE(network.listen(address));
}

}  // namespace
}  // namespace capstan::core
