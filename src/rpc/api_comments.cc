// Why this file exists: see api_comments.h. The descriptors with their source information are put
// into the program as they are (api/CMakeLists.txt writes the file); the linker knows their bounds.
#include "rpc/api_comments.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cstddef>
#include <vector>

asm(".section .rodata\n"
    ".global capstan_api_comments\n"
    ".global capstan_api_comments_end\n"
    "capstan_api_comments:\n"
    ".incbin \"" CAPSTAN_API_COMMENTS
    "\"\n"
    "capstan_api_comments_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" {
extern const char capstan_api_comments[];
extern const char capstan_api_comments_end[];
}

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;

// Line ends and runs of spaces become one space.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t';
    if (!space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

class Reader {
 public:
  Reader(const pb::FileDescriptorProto& file, std::map<std::string, std::string, std::less<>>& into)
      : into_(into) {
    for (const auto& location : file.source_code_info().location()) {
      const auto& said = location.leading_comments().empty() ? location.trailing_comments()
                                                             : location.leading_comments();
      if (said.empty()) continue;
      texts_[{location.path().begin(), location.path().end()}] = one_line(said);
    }
    const std::string package = file.package().empty() ? "" : file.package() + ".";
    for (int i = 0; i < file.service_size(); ++i) {
      const auto& service = file.service(i);
      for (int m = 0; m < service.method_size(); ++m) {
        keep({pb::FileDescriptorProto::kServiceFieldNumber, i,
              pb::ServiceDescriptorProto::kMethodFieldNumber, m},
             package + service.name() + "." + service.method(m).name());
      }
    }
    for (int i = 0; i < file.message_type_size(); ++i) {
      message({pb::FileDescriptorProto::kMessageTypeFieldNumber, i}, package, file.message_type(i));
    }
  }

 private:
  using Path = std::vector<int>;

  static Path below(Path path, int field, int index) {
    path.push_back(field);
    path.push_back(index);
    return path;
  }
  void keep(const Path& path, std::string name) {
    const auto found = texts_.find(path);
    if (found != texts_.end()) into_[std::move(name)] = found->second;
  }
  void message(const Path& path, const std::string& outer, const pb::DescriptorProto& type) {
    const std::string inside = outer + type.name() + ".";
    for (int i = 0; i < type.field_size(); ++i) {
      keep(below(path, pb::DescriptorProto::kFieldFieldNumber, i), inside + type.field(i).name());
    }
    for (int i = 0; i < type.nested_type_size(); ++i) {
      message(below(path, pb::DescriptorProto::kNestedTypeFieldNumber, i), inside,
              type.nested_type(i));
    }
  }

  std::map<std::string, std::string, std::less<>>& into_;
  std::map<Path, std::string> texts_;
};

}  // namespace

ApiComments::ApiComments() {
  pb::FileDescriptorSet files;
  const auto size = static_cast<int>(capstan_api_comments_end - capstan_api_comments);
  if (!files.ParseFromArray(capstan_api_comments, size)) return;  // documents do without them
  for (const auto& file : files.file()) Reader(file, texts_);
}

std::string_view ApiComments::find(std::string_view full_name) const {
  const auto found = texts_.find(full_name);
  return found == texts_.end() ? std::string_view() : std::string_view(found->second);
}

std::string_view ApiComments::of(const pb::MethodDescriptor& method) const {
  return find(method.full_name());
}

std::string_view ApiComments::of(const pb::FieldDescriptor& field) const {
  return find(field.full_name());
}

}  // namespace capstan::rpc
