// Why this file exists: how the descriptors of a process are shared between those who connect.
#include "apps/serving/process.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kHosts = 16384;

TEST(Descriptors, EnoughForAll) {
  const auto most = share_descriptors(65536, kHosts);
  EXPECT_EQ(most.clients, limits::kConnectionsMax);
  EXPECT_EQ(most.hosts, kHosts);
}

TEST(Descriptors, FewAreSharedAndSomeAreLeft) {
  const auto most = share_descriptors(4000, kHosts);
  EXPECT_EQ(most.hosts, 1000U);
  EXPECT_EQ(most.clients, 1976U);
  const auto fewest = share_descriptors(64, kHosts);
  EXPECT_EQ(fewest.hosts, 16U);
  EXPECT_EQ(fewest.clients, 24U);
}

TEST(Descriptors, WhoeverHasNoHostsKeepsThemForClients) {
  EXPECT_EQ(share_descriptors(limits::kConnectionsMax + 1024, 0).clients, limits::kConnectionsMax);
  EXPECT_EQ(share_descriptors(3000, 0).clients, 1976U);
}

}  // namespace
}  // namespace capstan::apps
