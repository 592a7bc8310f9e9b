// Why this file exists: the URL door: decoding, dots, ports, and what is refused.
#include "storage/device/url.h"

#include <gtest/gtest.h>

namespace capstan::storage {
namespace {

Url good(std::string_view text) {
  auto url = parse_url(text);
  EXPECT_TRUE(url) << text << ": " << url.error().text();
  return url ? *url : Url{};
}
std::string refusal(std::string_view text) {
  const auto url = parse_url(text);
  EXPECT_FALSE(url) << text;
  if (url) return "";
  EXPECT_EQ(url.error().code, Code::kInvalidArgument);
  return url.error().text();
}

TEST(Url, PartsOfADeviceUri) {
  const Url url = good("NVMF+tcp://10.0.0.1:8420/nqn.2019-05.io.openebs:r1?uuid=a&flag&x=");
  EXPECT_EQ(url.scheme, "nvmf+tcp");
  EXPECT_EQ(url.authority, "10.0.0.1:8420");
  EXPECT_EQ(url.host, "10.0.0.1");
  EXPECT_EQ(url.port, 8420);
  EXPECT_EQ(url.path, "/nqn.2019-05.io.openebs:r1");
  ASSERT_EQ(url.params.size(), 3U);
  EXPECT_EQ(url.params[0].key, "uuid");
  EXPECT_EQ(url.params[0].value, "a");
  EXPECT_EQ(url.params[1].key, "flag");
  EXPECT_EQ(url.params[1].value, "");
  EXPECT_EQ(url.params[2].key, "x");
}

TEST(Url, SixthVersionHostsLoseTheirBrackets) {
  const Url url = good("nvmf://[fd00::1]:4420/nqn");
  EXPECT_EQ(url.host, "fd00::1");
  EXPECT_EQ(url.authority, "[fd00::1]:4420");
}

TEST(Url, PathsAreDecodedAndMayHoldWhatPeopleType) {
  EXPECT_EQ(good("aio:///a%20b").path, "/a b");
  EXPECT_EQ(good("aio:///a b").path, "/a b");
  EXPECT_EQ(good("aio:///f\xC3\xBCr").path, "/f\xC3\xBCr");
  EXPECT_EQ(good("aio:///100%.img").path, "/100%.img");
  EXPECT_EQ(good("aio:///a%2").path, "/a%2");
  EXPECT_EQ(good("aio:///[x]{y}\"<>|\\^`").path, "/[x]{y}\"<>|\\^`");
  EXPECT_EQ(good("aio:///a%23b%3Fc").path, "/a#b?c");
  EXPECT_EQ(good("aio:/a/b").path, "/a/b");
}

TEST(Url, DotSegmentsAreResolved) {
  EXPECT_EQ(good("aio:///a/./b/../c").path, "/a/c");
  EXPECT_EQ(good("aio:///../../c").path, "/c");
  EXPECT_EQ(good("aio:///a/%2e%2e/c").path, "/c");
  EXPECT_EQ(good("aio:///a//b").path, "/a//b");
  EXPECT_EQ(good("aio:///a/b/..").path, "/a/");
}

TEST(Url, Refusals) {
  EXPECT_NE(refusal("/dev/sdb").find("no scheme"), std::string::npos);
  EXPECT_NE(refusal("").find("no scheme"), std::string::npos);
  EXPECT_NE(refusal("1aio:///x").find("no scheme"), std::string::npos);
  EXPECT_NE(refusal("aio:///a#b").find("%23"), std::string::npos);
  EXPECT_NE(refusal("aio:///a%00b").find("NUL"), std::string::npos);
  EXPECT_NE(refusal(std::string_view("aio:///a\0b", 10)).find("control"), std::string::npos);
  EXPECT_NE(refusal("aio:///a\nb").find("control"), std::string::npos);
  EXPECT_NE(refusal("nvmf://h:70000/n").find("65535"), std::string::npos);
  for (const char* text : {"malloc:///%ff", "aio:///a\xC3", "malloc:///m?label=%C3%28",
                           "malloc:///m?%ff=1", "nvmf://%ff/n"}) {
    EXPECT_NE(refusal(text).find("UTF-8"), std::string::npos) << text;
  }
  refusal("nvmf://[::1/n");
  refusal("nvmf://h:x/n");
}

TEST(Url, UserInformationIsRefusedAndNeverRepeated) {
  for (const char* text : {"nvmf://USER:PASS@h:1/nqn", "nvmf://USER@h/nqn", "nvmf://@h/nqn"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Code::kInvalidArgument);
    EXPECT_NE(url.error().text().find("password"), std::string::npos) << url.error().text();
    EXPECT_EQ(url.error().text().find("USER"), std::string::npos) << url.error().text();
  }
  EXPECT_EQ(good("aio:///a@b").path, "/a@b");
  EXPECT_EQ(without_user_info("nvmf://USER:PASS@h:1/nqn"), "nvmf://\u2026@h:1/nqn");
  EXPECT_EQ(without_user_info("nvmf://USER:PA/S?S@h:1/nqn"), "nvmf://\u2026@h:1/nqn");
  EXPECT_EQ(without_user_info("aio:///a@b"), "aio:///a@b");
  EXPECT_EQ(without_user_info("nvmf://h/nqn"), "nvmf://h/nqn");
}

TEST(Url, HasScheme) {
  EXPECT_TRUE(has_scheme("aio:///x"));
  EXPECT_TRUE(has_scheme("nvmf+rdma+tcp:x"));
  EXPECT_FALSE(has_scheme("/dev/disk/by-path/pci-0000:00:1f.2"));
  EXPECT_FALSE(has_scheme("0000:00:1e.0"));
  EXPECT_FALSE(has_scheme(":x"));
  EXPECT_FALSE(has_scheme("x"));
}

}  // namespace
}  // namespace capstan::storage
