// Why this file exists: checks which command lines capstan-kv understands, upstream's own among
// them, and that words may look like flags.
#include "apps/capstan_kv/invocation.h"

#include <gtest/gtest.h>

namespace capstan::apps {
namespace {

using Words = std::vector<std::string>;

TEST(KvInvocation, WordsAndFlags) {
  auto call = parse_kv_arguments({"f", "write", "k", "v"});
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_EQ(call->file, "f");
  EXPECT_EQ(call->command, "write");
  EXPECT_EQ(call->words, (Words{"k", "v"}));
  EXPECT_FALSE(call->json || call->quiet || call->force);
  call = parse_kv_arguments({"f", "read", "-f", "--to", "out", "k", "--json", "-q"});
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_EQ(call->to, "out");
  EXPECT_EQ(call->words, Words{"k"});
  EXPECT_TRUE(call->json && call->quiet && call->force);
  call = parse_kv_arguments({"f", "write", "k", "--input", "-"});
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_EQ(call->input, "") << "standard input";
}

TEST(KvInvocation, WordsBehindTwoDashes) {
  const auto call = parse_kv_arguments({"f", "write", "--json", "--", "--json", "-"});
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_TRUE(call->json);
  EXPECT_EQ(call->words, (Words{"--json", "-"}));
}

TEST(KvInvocation, UpstreamsBufferSizes) {
  for (const char* size : {"64", "64k", "1KB", "2M", "3mb", "1G", "1gb"}) {
    EXPECT_TRUE(parse_kv_arguments({"f", "read", "k", "-b", size})) << size;
  }
  for (const char* size : {"", "k", "64x", "64 k", "-1"}) {
    EXPECT_FALSE(parse_kv_arguments({"f", "read", "k", "--buffer-size", size})) << size;
  }
}

TEST(KvInvocation, WhatIsNotUnderstood) {
  for (const Words& words : {Words{}, Words{"f"}, Words{"f", "--json"}, Words{"f", "read", "-t"},
                             Words{"f", "write", "k", "--input", ""}}) {
    EXPECT_FALSE(parse_kv_arguments(words));
  }
}

}  // namespace
}  // namespace capstan::apps
