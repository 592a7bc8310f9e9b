// Why this file exists: what is said of connections on which nothing was understood.
#include "apps/capstan/connect.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace capstan::apps {
namespace {

using core::Address;

TEST(Connect, TlsOnOneSideOnlyHasARemedy) {
  client::RemoteOptions options;
  options.channel.address = Address::tcp("10.0.0.1", 80);
  const Error closed{Code::kUnavailable, 0, "closed", {"no answer"}};
  EXPECT_EQ(with_remedy(closed, options).text(), "no answer: closed. A node with TLS is https://…");
  options.wire = client::Wire::kMuxio;
  EXPECT_NE(with_remedy(closed, options).text().find(" wss://…"), std::string::npos);
  auto tls = wire::TlsContext::client({});
  ASSERT_TRUE(tls);
  options.channel.tls = *tls;
  options.wire = client::Wire::kHttp;
  const std::string text = with_remedy(closed, options).text();
  EXPECT_NE(text.find("http://…"), std::string::npos) << text;
  EXPECT_NE(text.find("--tls-ca"), std::string::npos) << text;
  const Error refused{Code::kUnavailable, ECONNREFUSED, "refused", {}};
  EXPECT_EQ(with_remedy(refused, options).text(), "refused");
  EXPECT_EQ(with_remedy({Code::kNotFound, 0, "x", {}}, options).text(), "x");
}

}  // namespace
}  // namespace capstan::apps
