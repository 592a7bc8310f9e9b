// Why this file exists: see sibling.h.
#include "apps/capstan/sibling.h"

namespace capstan::apps {
namespace {

void add_parameters(const Invocation& invocation, std::vector<std::string>& words) {
  words.emplace_back("--");
  for (const Parameter& parameter : invocation.command->parameters) {
    if (parameter.name.empty() || !invocation.arguments.given(parameter.name)) continue;
    words.push_back(invocation.arguments.text(parameter.name));
  }
}

Result<std::vector<std::string>> kv_words(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  const std::string_view name = invocation.command->name;
  if (arguments.text("file").empty()) {
    return fail(Code::kInvalidArgument, "--file needs the path of a store's file");
  }
  if (arguments.given("store")) {
    return fail(Code::kInvalidArgument,
                "--store names a store of a node, --file a file without one. Leave one out");
  }
  if (name == "watch") {
    return fail(Code::kInvalidArgument,
                "a file that no node has open is changed by nobody else. Watch the store of the "
                "node that has it: leave --file out");
  }
  std::vector<std::string> words = {arguments.text("file"), std::string(name)};
  for (const char* flag : {"input", "to"}) {
    if (!arguments.given(flag)) continue;
    words.push_back("--" + std::string(flag));
    words.push_back(arguments.text(flag));
  }
  if (arguments.on("force")) words.emplace_back("--force");
  if (invocation.global.text("output") == "json") words.emplace_back("--json");
  if (invocation.global.on("quiet")) words.emplace_back("--quiet");
  add_parameters(invocation, words);
  return words;
}

std::vector<std::string> pool_words(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  std::vector<std::string> words = {std::string(invocation.command->name)};
  if (arguments.given("block-size")) {
    words.emplace_back("--block-size");
    words.push_back(arguments.text("block-size"));
  }
  for (const char* flag : {"write", "destroy-damaged"}) {
    if (arguments.on(flag)) words.push_back("--" + std::string(flag));
  }
  if (invocation.global.text("output") == "json") words.emplace_back("--json");
  add_parameters(invocation, words);
  return words;
}

std::vector<std::string> nvme_words(const Invocation& invocation) {
  std::vector<std::string> words = {std::string(invocation.command->name)};
  for (const Flag& flag : invocation.command->flags) {
    if (flag.names.empty() || !invocation.arguments.given(flag.name())) continue;
    words.push_back("--" + std::string(flag.name()));
    words.push_back(invocation.arguments.text(flag.name()));
  }
  if (invocation.global.text("output") == "json") words.emplace_back("--json");
  if (invocation.global.on("quiet")) words.emplace_back("--quiet");
  add_parameters(invocation, words);
  return words;
}

}  // namespace

Result<std::optional<Sibling>> sibling_of(const Invocation& invocation) {
  if (invocation.print || !invocation.command) return std::nullopt;
  const Command& command = *invocation.command;
  if (command.group == "kv" && invocation.arguments.given("file")) {
    TRY_SET(std::vector<std::string> words, kv_words(invocation));
    return Sibling{"capstan-kv", std::move(words)};
  }
  if (command.group == "pool" && !command.run)
    return Sibling{"capstan-pool", pool_words(invocation)};
  if (command.group == "nvme") return Sibling{"capstan-nvme", nvme_words(invocation)};
  return std::nullopt;
}

}  // namespace capstan::apps
