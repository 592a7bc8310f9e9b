// Why this file exists: checks the command line of capstan from the user's side: what is accepted,
// what is refused and with which text, and that completions offer what the parser knows.
#include "apps/capstan/command.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>

namespace capstan::apps {
namespace {

Invocation parse(std::vector<std::string> arguments) {
  auto invocation = parse_command_line(std::move(arguments));
  EXPECT_TRUE(invocation) << invocation.error().text();
  return invocation ? *std::move(invocation) : Invocation();
}

std::string error_of(std::vector<std::string> arguments) {
  auto invocation = parse_command_line(std::move(arguments));
  return invocation ? "no error" : invocation.error().text();
}

TEST(CommandLine, FindsCommandParametersAndFlags) {
  const Invocation call = parse({"replica", "create", "r1", "p1", "--size", "1.5GiB", "-t",
                                 "--allowed-host", "a", "--allowed-host", "b"});
  ASSERT_NE(call.command, nullptr);
  EXPECT_EQ(call.command->group, "replica");
  EXPECT_EQ(call.command->name, "create");
  EXPECT_EQ(call.arguments.text("NAME"), "r1");
  EXPECT_EQ(call.arguments.text("POOL"), "p1");
  EXPECT_EQ(call.arguments.size("size").value_or(0), 3ULL << 29);
  EXPECT_TRUE(call.arguments.on("thin"));
  EXPECT_FALSE(call.arguments.given("uuid"));
  EXPECT_EQ(call.arguments.text("protocol"), "none");
  EXPECT_EQ(call.arguments.list("allowed-host"), (std::vector<std::string>{"a", "b"}));
}

TEST(CommandLine, GlobalFlagsStandAnywhere) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"-o", "json", "-q", "pool", "list"},
        std::vector<std::string>{"pool", "list", "-o", "json", "-q"},
        std::vector<std::string>{"pool", "-o", "json", "list", "--quiet"}}) {
    const Invocation call = parse(arguments);
    EXPECT_EQ(call.global.text("output"), "json");
    EXPECT_TRUE(call.global.on("quiet"));
    EXPECT_EQ(call.global.text("bind"), "http://127.0.0.1:10124");
    EXPECT_FALSE(call.arguments.given("POOL"));
  }
}

TEST(CommandLine, JsonIsOneWord) {
  for (const std::string body : {"[]", "{}", "[1,2]", "[\"a\", \"b\"]", "{\"a\":[1]}"}) {
    const Invocation call = parse({"rpc", "put", "/pools/p", "with", body});
    EXPECT_EQ(call.arguments.list("BODY"), (std::vector<std::string>{"with", body}));
    EXPECT_EQ(parse({"rpc", "call", "X", body}).arguments.list("JSON"),
              std::vector<std::string>{body});
  }
  EXPECT_EQ(parse({"kv", "write", "[]", "{}"}).arguments.text("KEY"), "[]");
  EXPECT_EQ(parse({"kv", "write", "[]", "{}"}).arguments.text("VALUE"), "{}");
}

TEST(CommandLine, ErrorsRepeatWordsAsTheyWereWritten) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"pool", "list", "[x]", "[y]"}, {"[x]"}, {"pool", "{y}"}}) {
    const std::string error = error_of(words);
    EXPECT_NE(error.find(words.back()), std::string::npos) << error;
    EXPECT_EQ(error.find('\x01'), std::string::npos) << error;
  }
}

TEST(CommandLine, RepeatedAndOptionalParameters) {
  const Invocation create = parse({"pool", "create", "p", "/dev/a", "/dev/b", "-u", "x"});
  EXPECT_EQ(create.arguments.list("DISK"), (std::vector<std::string>{"/dev/a", "/dev/b"}));
  EXPECT_EQ(create.arguments.text("uuid"), "x");
  EXPECT_EQ(parse({"pool", "list", "p"}).arguments.text("POOL"), "p");
  EXPECT_EQ(parse({"image", "export", "r", "-"}).arguments.text("FILE"), "-");
  EXPECT_EQ(parse({"node", "events", "pool", "node"}).arguments.list("CATEGORY").size(), 2U);
}

TEST(CommandLine, AnOperationMayFollowRpcAtOnce) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"rpc", "ListPools", "{}"},
        std::vector<std::string>{"rpc", "call", "ListPools", "{}"},
        std::vector<std::string>{"--bind", "rpc", "-q", "rpc", "--timeout=1s", "ListPools",
                                 "{}"}}) {
    const Invocation call = parse(arguments);
    ASSERT_NE(call.command, nullptr);
    EXPECT_EQ(call.command->name, "call");
    EXPECT_EQ(call.arguments.text("OPERATION"), "ListPools");
    EXPECT_EQ(call.arguments.text("JSON"), "{}");
  }
  EXPECT_EQ(parse({"rpc", "list", "/pools"}).command->name, "list");
  EXPECT_EQ(parse({"rpc", "GET /pools"}).arguments.text("OPERATION"), "GET /pools");
  EXPECT_EQ(parse({"rpc", "put", "/pools/p", "with", "{}"}).arguments.list("BODY").size(), 2U);
  EXPECT_TRUE(parse({"rpc", "--help"}).print);
  EXPECT_EQ(parse({"pool", "create", "rpc", "/dev/a"}).arguments.text("POOL"), "rpc");
}

TEST(CommandLine, WrongUsageIsExplained) {
  EXPECT_EQ(
      error_of({}),
      "'capstan' needs a command: node, pool, replica, bdev, image, kv, nvme, rpc, watch, top, "
      "completion");
  EXPECT_EQ(error_of({"image"}), "'capstan image' needs a command: import, export");
  EXPECT_NE(error_of({"pool", "create", "p"}).find("DISK"), std::string::npos);
  EXPECT_NE(error_of({"replica", "create", "r", "p"}).find("--size"), std::string::npos);
  EXPECT_NE(error_of({"pool", "list", "-t", "zfs"}).find("'zfs' is not accepted. Give lvs lvm"),
            std::string::npos);
  EXPECT_NE(error_of({"-o", "xml", "pool", "list"}).find("default json"), std::string::npos);
  EXPECT_NE(error_of({"pool", "list", "--bogus"}), "no error");
  EXPECT_NE(error_of({"pool", "list", "a", "b"}), "no error");
  const Invocation call = parse({"image", "export", "r", "f", "--offset", "5 apples"});
  const auto size = call.arguments.size("offset");
  ASSERT_FALSE(size);
  EXPECT_NE(size.error().text().find("--offset"), std::string::npos);
  EXPECT_NE(size.error().text().find("Bad size '5 apples'"), std::string::npos);
}

TEST(CommandLine, TheWordThatIsWrongIsNamed) {
  EXPECT_EQ(
      error_of({"frob"}),
      "'frob' is no command of 'capstan'. Known are node, pool, replica, bdev, image, kv, nvme, "
      "rpc, watch, top, completion");
  EXPECT_EQ(error_of({"-q", "image", "convert", "a", "b"}),
            "'convert' is no command of 'capstan image'. Known are import, export");
  EXPECT_EQ(error_of({"--bogus"}), "unknown option '--bogus'");
  EXPECT_EQ(error_of({"pool", "--bogus"}), "unknown option '--bogus'");
  EXPECT_NE(error_of({"pool", "list", "--bogus"}).find("--bogus"), std::string::npos);
}

TEST(CommandLine, TextForTheNodeIsUtf8AndLocalPathsAreFree) {
  EXPECT_EQ(error_of({"replica", "create", "a\xff", "p", "--size", "1"}),
            "NAME: 'a\xEF\xBF\xBD' is not UTF-8 text");
  EXPECT_NE(error_of({"pool", "list", "--uuid", "\xff"}).find("uuid: "), std::string::npos);
  EXPECT_EQ(parse({"image", "import", "r", "a\xff"}).arguments.text("FILE"), "a\xff");
  EXPECT_EQ(parse({"pool", "create", "p\xC3\xB6", "/d"}).arguments.text("POOL"), "p\xC3\xB6");
}

TEST(CommandLine, HelpAndVersionArePrinted) {
  const Invocation help = parse({"--help"});
  ASSERT_TRUE(help.print);
  for (const Group& group : groups()) {
    EXPECT_NE(help.print->find(group.name), std::string::npos) << group.name;
  }
  const Invocation own = parse({"pool", "create", "--help"});
  ASSERT_TRUE(own.print);
  EXPECT_NE(own.print->find("--cluster-size"), std::string::npos);
  EXPECT_NE(own.print->find("DISK"), std::string::npos);
  for (const Command& command : commands()) {
    if (command.group.empty()) continue;
    const Invocation shown = parse({std::string(command.group), std::string(command.name), "-h"});
    ASSERT_TRUE(shown.print) << command.name;
    for (const Flag& flag : command.flags) {
      EXPECT_NE(shown.print->find(flag.help.substr(0, 12)), std::string::npos) << flag.names;
    }
  }
  EXPECT_NE(help.print->find("Exit codes: 0 done"), std::string::npos);
  EXPECT_NE(own.print->find("--bind"), std::string::npos) << "global options are mentioned";
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--version"}, std::vector<std::string>{"-V", "pool", "list"}}) {
    const Invocation version = parse(arguments);
    ASSERT_TRUE(version.print);
    EXPECT_TRUE(version.print->starts_with("capstan version "));
  }
}

TEST(CommandLine, TableIsConsistent) {
  std::set<std::string> paths;
  std::set<std::string_view> known;
  for (const Group& group : groups()) known.insert(group.name);
  for (const Command& command : commands()) {
    const std::string path = std::string(command.group) + " " + std::string(command.name);
    EXPECT_TRUE(paths.insert(path).second) << path;
    EXPECT_TRUE(command.group.empty() || known.contains(command.group)) << path;
    const bool elsewhere =
        command.group == "nvme" ||
        (command.group == "pool" &&
         (command.name == "check" || command.name == "repair" || command.name == "dump"));
    EXPECT_EQ(command.run == nullptr, command.name == "completion" || elsewhere) << path;
    std::set<std::string_view> names;
    for (const Flag& flag : command.flags) {
      if (!flag.names.empty()) EXPECT_TRUE(names.insert(flag.name()).second) << path;
    }
  }
}

TEST(Completion, EveryCommandAndFlagIsOffered) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    auto script = completion_script(shell);
    ASSERT_TRUE(script);
    for (const Command& command : commands()) {
      EXPECT_NE(script->find(command.name), std::string::npos) << shell << " " << command.name;
      for (const Flag& flag : command.flags) {
        if (!flag.names.empty()) {
          EXPECT_NE(script->find(flag.name()), std::string::npos) << shell << " " << flag.names;
        }
      }
    }
  }
  EXPECT_TRUE(completion_script("bash")->ends_with("complete -F _capstan capstan\n"));
  EXPECT_TRUE(completion_script("zsh")->starts_with("#compdef capstan\n"));
  EXPECT_NE(completion_script("fish")->find("complete -c capstan"), std::string::npos);
  auto unknown = completion_script("tcsh");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().text().find("bash, zsh or fish"), std::string::npos);
}

// What bash offers behind `line`, sorted, as the script says; run by bash itself.
std::string offered(const std::string& line) {
  const std::string asks = *completion_script("bash") +
                           "\nmkdir -p \"$1\" && cd \"$1\" && touch s.kv\n"
                           "COMP_LINE=\"$2\" COMP_POINT=${#2} COMP_WORDBREAKS=' :='\n"
                           "_capstan\nprintf '%s ' \"${COMPREPLY[@]}\"\n";
  const std::string path = ::testing::TempDir() + "capstan-completion.sh";
  std::ofstream(path) << asks;
  const std::string order = "bash '" + path + "' '" + ::testing::TempDir() +
                            "capstan-completion' '" + line + "' 2>/dev/null";
  std::string text;
  FILE* const output = ::popen(order.c_str(), "r");
  if (!output) return "no bash";
  for (int c = std::fgetc(output); c != EOF; c = std::fgetc(output)) text += static_cast<char>(c);
  ::pclose(output);
  return text;
}

TEST(Completion, BashFollowsFlagsBeforeTheCommand) {
  EXPECT_EQ(offered("capstan kv --file "), "s.kv ");
  EXPECT_EQ(offered("capstan kv --file s"), "s.kv ");
  for (const char* before : {"kv", "kv --file s.kv", "kv --file=s.kv", "kv -s main",
                             "-o json kv -q --file s.kv", "--bind kv kv"}) {
    EXPECT_EQ(offered(std::string("capstan ") + before + " rea"), "read ") << before;
  }
  EXPECT_EQ(offered("capstan kv read --file "), "s.kv ");
  EXPECT_EQ(offered("capstan kv --fi"), "--file ");
  EXPECT_EQ(offered("capstan -o j"), "json ");
  EXPECT_EQ(offered("capstan rep"), "replica ");
}

}  // namespace
}  // namespace capstan::apps
