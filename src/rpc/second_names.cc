// Why this file exists: see second_names.h.
#include "rpc/second_names.h"

#include "rpc/options.pb.h"
#include "rpc/second_names.pb.h"

namespace capstan::rpc {
namespace {

const google::protobuf::FileOptions& declared() {
  return SecondName::descriptor()->file()->options();
}

// Cuts the text before the next space off.
std::string word_of(std::string_view& text) {
  const auto space = text.find(' ');
  std::string word(text.substr(0, space));
  text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
  return word;
}

Result<HttpBinding> binding_of(const google::protobuf::MethodDescriptor& method,
                               std::string_view text) {
  OperationOptions::Http http;
  http.set_method(word_of(text));
  http.set_path(word_of(text));
  while (!text.empty()) http.add_set(word_of(text));
  return HttpBinding::from(method, http);
}

}  // namespace

Result<std::optional<std::vector<HttpBinding>>> native_paths(
    const google::protobuf::MethodDescriptor& method) {
  const std::string name = method.service()->full_name() + "/" + method.name();
  const auto& options = declared();
  for (int i = 0; i < options.ExtensionSize(second_name); ++i) {
    const SecondName& entry = options.GetExtension(second_name, i);
    if (entry.operation() != name) continue;
    std::vector<HttpBinding> paths;
    for (const std::string& native : entry.native()) {
      auto binding = binding_of(method, native);
      if (!binding) {
        return std::unexpected(
            std::move(binding).error().within("second name '" + name + "', '" + native + "'"));
      }
      paths.push_back(*std::move(binding));
    }
    return paths;
  }
  return std::nullopt;
}

std::vector<std::string> second_names() {
  std::vector<std::string> names;
  const auto& options = declared();
  for (int i = 0; i < options.ExtensionSize(second_name); ++i) {
    names.push_back(options.GetExtension(second_name, i).operation());
  }
  return names;
}

}  // namespace capstan::rpc
