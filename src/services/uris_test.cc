// Why this file exists: clients store and compare these texts; their forms are fixed.
#include "services/uris.h"

#include <gtest/gtest.h>

namespace capstan::services {
namespace {

TEST(Uris, TheUuidIsAddedOnce) {
  const auto uuid = *Uuid::parse("cbb0bb3f-6b8e-4c1c-8b5e-0f6a1f2a3b4c");
  const std::string text = "uuid=cbb0bb3f-6b8e-4c1c-8b5e-0f6a1f2a3b4c";
  EXPECT_EQ(with_uuid("aio:///d", uuid), "aio:///d?" + text);
  EXPECT_EQ(with_uuid("aio:///d?", uuid), "aio:///d?" + text);
  EXPECT_EQ(with_uuid("aio:///d?blk_size=512", uuid), "aio:///d?blk_size=512&" + text);
  EXPECT_EQ(with_uuid("aio:///d?uuid=1", uuid), "aio:///d?uuid=1");
  EXPECT_EQ(with_uuid("aio:///d?blk_size=512&uuid=1", uuid), "aio:///d?blk_size=512&uuid=1");
  EXPECT_EQ(with_uuid("aio:///uuid=1", uuid), "aio:///uuid=1?" + text);
  EXPECT_EQ(with_uuid("aio:///d?xuuid=1", uuid), "aio:///d?xuuid=1&" + text);
  EXPECT_EQ(with_uuid("aio:///d", Uuid{}), "aio:///d");
  EXPECT_EQ(local_uri("r1", uuid), "bdev:///r1?" + text);
}

TEST(Uris, WhatIsGoneWithTheProcess) {
  EXPECT_TRUE(is_volatile("malloc:///m0?size_mb=1"));
  EXPECT_TRUE(is_volatile("MALLOC:///m0?size_mb=1")) << "schemes are written in any case";
  EXPECT_TRUE(is_volatile("null:///n0"));
  EXPECT_FALSE(is_volatile("aio:///dev/sdb"));
}

}  // namespace
}  // namespace capstan::services
