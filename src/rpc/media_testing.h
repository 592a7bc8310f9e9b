// Why this file exists: the demo declarations of http-rpc as messages made at run time, so that its
// measured vectors can be held against our encoders byte by byte. For tests only.
#pragma once

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/wrappers.pb.h>

#include <cctype>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "rpc/json_reader.h"

namespace capstan::rpc::testing {

inline std::string bytes_of(std::string_view hex) {
  std::string out;
  int high = -1;
  for (const char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      out += static_cast<char>(high << 4 | digit);
      high = -1;
    }
  }
  return out;
}
inline std::string hex_of(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<std::uint8_t>(c) >> 4];
    out += kDigits[static_cast<std::uint8_t>(c) & 15];
  }
  return out;
}

// As much of the .proto language as tests need: messages with plain, repeated, optional, map and
// oneof fields, enums, services. Types are scalars, google.protobuf's, or declared in the text.
class ProtoText {
 public:
  explicit ProtoText(std::string_view text) {
    for (const char c : text) {
      const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
      if (!word || !in_word_) words_.emplace_back();
      words_.back() += c;
      in_word_ = word;
      if (c == ' ' || c == '\n') words_.pop_back();
    }
  }
  google::protobuf::FileDescriptorProto file() {
    file_.set_name("demo.proto");
    file_.set_package("demo");
    file_.set_syntax("proto3");
    for (const char* name : {"timestamp", "wrappers", "struct"}) {
      file_.add_dependency(std::string("google/protobuf/") + name + ".proto");
    }
    while (at_ < words_.size()) {
      const std::string kind = take();
      if (kind == "message") message(*file_.add_message_type());
      if (kind == "enum") enumeration(*file_.add_enum_type());
      if (kind == "service") service(*file_.add_service());
    }
    return file_;
  }

 private:
  using Field = google::protobuf::FieldDescriptorProto;
  std::string take() {
    CAPSTAN_ASSERT(at_ < words_.size());
    return words_[at_++];
  }
  void expect(std::string_view word) { CAPSTAN_ASSERT(take() == word); }

  static void set_type(Field& field, const std::string& name) {
    static const std::map<std::string, Field::Type> kScalars = {
        {"int32", Field::TYPE_INT32},   {"int64", Field::TYPE_INT64},
        {"uint32", Field::TYPE_UINT32}, {"uint64", Field::TYPE_UINT64},
        {"float", Field::TYPE_FLOAT},   {"double", Field::TYPE_DOUBLE},
        {"bool", Field::TYPE_BOOL},     {"string", Field::TYPE_STRING},
        {"bytes", Field::TYPE_BYTES}};
    if (const auto scalar = kScalars.find(name); scalar != kScalars.end()) {
      field.set_type(scalar->second);
    } else {
      field.set_type_name(name.starts_with("google.") ? "." + name : ".demo." + name);
    }
  }
  void name_and_number(Field& field) {
    field.set_name(take());
    expect("=");
    field.set_number(std::stoi(take()));
    expect(";");
    if (!field.has_label()) field.set_label(Field::LABEL_OPTIONAL);
  }
  void map(google::protobuf::DescriptorProto& into) {
    auto& entry = *into.add_nested_type();
    entry.mutable_options()->set_map_entry(true);
    expect("<");
    for (int number = 1; number <= 2; ++number) {
      auto& part = *entry.add_field();
      part.set_name(number == 1 ? "key" : "value");
      part.set_number(number);
      part.set_label(Field::LABEL_OPTIONAL);
      set_type(part, take());
      expect(number == 1 ? "," : ">");
    }
    auto& field = *into.add_field();
    field.set_label(Field::LABEL_REPEATED);
    name_and_number(field);
    entry.set_name(std::string(1, static_cast<char>(field.name()[0] - 'a' + 'A')) +
                   field.name().substr(1) + "Entry");
    field.set_type_name(".demo." + into.name() + "." + entry.name());
  }
  void message(google::protobuf::DescriptorProto& into) {
    into.set_name(take());
    expect("{");
    std::vector<int> optional;  // indices; their oneofs come after the declared ones
    bool in_oneof = false;
    for (std::string word = take(); word != "}" || in_oneof; word = take()) {
      if (word == "}") {
        in_oneof = false;
      } else if (word == "oneof") {
        into.add_oneof_decl()->set_name(take());
        expect("{");
        in_oneof = true;
      } else if (word == "map") {
        map(into);
      } else {
        auto& field = *into.add_field();
        if (word == "repeated") field.set_label(Field::LABEL_REPEATED);
        if (word == "optional") optional.push_back(into.field_size() - 1);
        set_type(field, word == "repeated" || word == "optional" ? take() : word);
        name_and_number(field);
        if (in_oneof) field.set_oneof_index(into.oneof_decl_size() - 1);
      }
    }
    for (const int index : optional) {
      auto& field = *into.mutable_field(index);
      field.set_proto3_optional(true);
      field.set_oneof_index(into.oneof_decl_size());
      into.add_oneof_decl()->set_name("_" + field.name());
    }
  }
  void enumeration(google::protobuf::EnumDescriptorProto& into) {
    into.set_name(take());
    into.mutable_options()->set_allow_alias(true);
    expect("{");
    for (std::string word = take(); word != "}"; word = take()) {
      auto& value = *into.add_value();
      value.set_name(word);
      expect("=");
      value.set_number(std::stoi(take()));
      expect(";");
    }
  }
  std::string message_in_brackets(bool& streams) {
    expect("(");
    std::string name = take();
    streams = name == "stream";
    if (streams) name = take();
    expect(")");
    return ".demo." + name;
  }
  void service(google::protobuf::ServiceDescriptorProto& into) {
    into.set_name(take());
    expect("{");
    for (std::string word = take(); word != "}"; word = take()) {
      auto& method = *into.add_method();
      method.set_name(take());
      bool streams = false;
      method.set_input_type(message_in_brackets(streams));
      method.set_client_streaming(streams);
      expect("returns");
      method.set_output_type(message_in_brackets(streams));
      method.set_server_streaming(streams);
      expect(";");
    }
  }

  google::protobuf::FileDescriptorProto file_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
  bool in_word_ = false;
};

// The messages and services of such a text.
class Protos {
 public:
  explicit Protos(const std::string& text)
      : pool_(google::protobuf::DescriptorPool::generated_pool()), factory_(&pool_) {
    (void)google::protobuf::Timestamp::descriptor();  // link the imports in
    (void)google::protobuf::BoolValue::descriptor();
    (void)google::protobuf::Value::descriptor();
    file_ = pool_.BuildFile(ProtoText(text).file());
    CAPSTAN_ASSERT(file_ != nullptr);
  }
  const google::protobuf::Descriptor& type(const std::string& name) const {
    const auto* found = file_->FindMessageTypeByName(name);
    CAPSTAN_ASSERT(found != nullptr);
    return *found;
  }
  const google::protobuf::ServiceDescriptor& service(const std::string& name) const {
    const auto* found = file_->FindServiceByName(name);
    CAPSTAN_ASSERT(found != nullptr);
    return *found;
  }
  std::unique_ptr<google::protobuf::Message> make(const std::string& name) {
    return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(&type(name))->New());
  }
  // With the content of a JSON text in any style.
  std::unique_ptr<google::protobuf::Message> make(const std::string& name, std::string_view json) {
    auto message = make(name);
    JsonReadOptions options;
    options.bytes = JsonStyle::Bytes::kHex;
    const auto read = JsonReader().read(json, *message, options);
    CAPSTAN_ASSERT(read.has_value());
    return message;
  }

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
  const google::protobuf::FileDescriptor* file_ = nullptr;
};

inline bool same(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

}  // namespace capstan::rpc::testing
