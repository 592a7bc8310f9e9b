// Why this file exists: see kv_file.h.
#include "apps/capstan/kv_file.h"

namespace capstan::apps {

Result<std::optional<std::vector<std::string>>> kv_file_arguments(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (!invocation.command || invocation.command->group != "kv" || !arguments.given("file")) {
    return std::nullopt;
  }
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
  words.emplace_back("--");
  for (const Parameter& parameter : invocation.command->parameters) {
    if (parameter.name.empty() || !arguments.given(parameter.name)) continue;
    words.push_back(arguments.text(parameter.name));
  }
  return words;
}

}  // namespace capstan::apps
