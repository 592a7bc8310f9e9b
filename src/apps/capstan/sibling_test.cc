// Why this file exists: checks what capstan hands to capstan-kv and to capstan-pool.
#include "apps/capstan/sibling.h"

#include <gtest/gtest.h>

namespace capstan::apps {
namespace {

using Words = std::vector<std::string>;

Result<std::optional<Sibling>> sibling_for(Words arguments) {
  TRY_SET(const Invocation invocation, parse_command_line(std::move(arguments)));
  return sibling_of(invocation);
}

void check(Words arguments, const std::string& program, const Words& expected) {
  const auto sibling = sibling_for(std::move(arguments));
  ASSERT_TRUE(sibling) << sibling.error().text();
  ASSERT_TRUE(*sibling);
  EXPECT_EQ((*sibling)->program, program);
  EXPECT_EQ((*sibling)->words, expected);
}

TEST(Sibling, CommandsForNodesStayHere) {
  for (const Words& words :
       {Words{"kv", "read", "a"}, Words{"kv", "info"}, Words{"pool", "list"}}) {
    const auto file = sibling_for(words);
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_FALSE(*file);
  }
}

TEST(Sibling, StoresInFiles) {
  check({"kv", "--file", "f", "read", "a"}, "capstan-kv", {"f", "read", "--", "a"});
  check({"kv", "read", "a", "--file", "f", "--to", "x", "-f"}, "capstan-kv",
        {"f", "read", "--to", "x", "--force", "--", "a"});
  check({"-o", "json", "-q", "kv", "info", "--file", "f"}, "capstan-kv",
        {"f", "info", "--json", "--quiet", "--"});
  check({"kv", "write", "--file", "f", "--", "-k", "-v"}, "capstan-kv",
        {"f", "write", "--", "-k", "-v"});
  check({"kv", "write", "k", "-i", "\xff", "--file", "\xff"}, "capstan-kv",
        {"\xff", "write", "--input", "\xff", "--", "k"});
  check({"kv", "copy", "k", "other", "--file", "f"}, "capstan-kv",
        {"f", "copy", "--", "k", "other"});
}

TEST(Sibling, PoolsThatNoNodeHasOpen) {
  check({"pool", "check", "--", "-x"}, "capstan-pool", {"check", "--", "-x"});
  check({"-o", "json", "pool", "check", "d"}, "capstan-pool", {"check", "--json", "--", "d"});
  check({"pool", "repair", "d", "--write", "--destroy-damaged", "--block-size", "512"},
        "capstan-pool",
        {"repair", "--block-size", "512", "--write", "--destroy-damaged", "--", "d"});
  check({"pool", "dump", "d"}, "capstan-pool", {"dump", "--", "d"});
}

TEST(Sibling, DevicesOfOtherMachines) {
  check({"nvme", "discover", "10.0.0.1"}, "capstan-nvme", {"discover", "--", "10.0.0.1"});
  check({"-o", "json", "nvme", "read", "nvmf://h/n", "f", "--offset", "4KiB"}, "capstan-nvme",
        {"read", "--offset", "4KiB", "--json", "--", "nvmf://h/n", "f"});
  check({"nvme", "bench", "nvmf://h/n", "--depth", "1", "--hostnqn", "nqn.x"}, "capstan-nvme",
        {"bench", "--hostnqn", "nqn.x", "--pattern", "randread", "--block-size", "4096", "--depth",
         "1", "--seconds", "5", "--", "nvmf://h/n"});
}

TEST(Sibling, WhatAFileCannotDo) {
  for (const auto& [words, says] : std::vector<std::pair<Words, std::string>>{
           {{"kv", "watch", "--file", "f"}, "Watch the store of the node"},
           {{"kv", "read", "a", "--file", "f", "--store", "s"}, "Leave one out"},
           {{"kv", "read", "a", "--file", ""}, "--file"}}) {
    const auto file = sibling_for(words);
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().text().find(says), std::string::npos) << file.error().text();
  }
}

}  // namespace
}  // namespace capstan::apps
