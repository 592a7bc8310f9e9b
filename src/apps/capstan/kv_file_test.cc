// Why this file exists: checks what `capstan kv --file` hands to capstan-kv.
#include "apps/capstan/kv_file.h"

#include <gtest/gtest.h>

namespace capstan::apps {
namespace {

using Words = std::vector<std::string>;

Result<std::optional<Words>> words_of(Words arguments) {
  TRY_SET(const Invocation invocation, parse_command_line(std::move(arguments)));
  return kv_file_arguments(invocation);
}

TEST(KvFile, CommandsForNodesStayHere) {
  for (const Words& words :
       {Words{"kv", "read", "a"}, Words{"kv", "info"}, Words{"pool", "list"}}) {
    const auto file = words_of(words);
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_FALSE(*file);
  }
}

TEST(KvFile, CommandsForFiles) {
  const auto check = [](Words arguments, Words expected) {
    const auto file = words_of(std::move(arguments));
    ASSERT_TRUE(file) << file.error().text();
    ASSERT_TRUE(*file);
    EXPECT_EQ(**file, expected);
  };
  check({"kv", "--file", "f", "read", "a"}, {"f", "read", "--", "a"});
  check({"kv", "read", "a", "--file", "f", "--to", "x", "-f"},
        {"f", "read", "--to", "x", "--force", "--", "a"});
  check({"-o", "json", "-q", "kv", "info", "--file", "f"},
        {"f", "info", "--json", "--quiet", "--"});
  check({"kv", "write", "--file", "f", "--", "-k", "-v"}, {"f", "write", "--", "-k", "-v"});
  check({"kv", "write", "k", "-i", "\xff", "--file", "\xff"},
        {"\xff", "write", "--input", "\xff", "--", "k"});
  check({"kv", "copy", "k", "other", "--file", "f"}, {"f", "copy", "--", "k", "other"});
}

TEST(KvFile, WhatAFileCannotDo) {
  for (const auto& [words, says] : std::vector<std::pair<Words, std::string>>{
           {{"kv", "watch", "--file", "f"}, "Watch the store of the node"},
           {{"kv", "read", "a", "--file", "f", "--store", "s"}, "Leave one out"},
           {{"kv", "read", "a", "--file", ""}, "--file"}}) {
    const auto file = words_of(words);
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().text().find(says), std::string::npos) << file.error().text();
  }
}

}  // namespace
}  // namespace capstan::apps
