// Why this file exists: what the JSON tests share: a message type with every kind of field, made at
// run time (none of our APIs has them all), filling it with random content, and comparing JSON by
// meaning instead of by text. For tests only.
#pragma once

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <tuple>

#include "base/assert.h"

namespace capstan::rpc::testing {

// One field per line: "label type name number". `choice` puts a field into the oneof, `map` takes
// two types.
inline constexpr const char* kFields = R"(
one int32 an_int32 1
one sint32 a_sint32 2
one sfixed32 a_sfixed32 3
one int64 an_int64 4
one sint64 a_sint64 5
one sfixed64 a_sfixed64 6
one uint32 a_uint32 7
one fixed32 a_fixed32 8
one uint64 a_uint64 9
one fixed64 a_fixed64 10
one float a_float 11
one double a_double 12
one bool a_bool 13
one string a_string 14
one bytes some_bytes 15
one Colour colour 16
one Everything child 17
many int32 int32s 21
many int64 int64s 22
many uint32 uint32s 23
many uint64 uint64s 24
many float floats 25
many double doubles 26
many bool bools 27
many string strings 28
many bytes blobs 29
many Colour colours 30
many Everything children 31
maybe int32 maybe_int32 41
maybe string maybe_string 42
maybe bool maybe_bool 43
maybe Colour maybe_colour 44
choice int32 chosen_number 51
choice string chosen_text 52
choice Everything chosen_child 53
map string string texts 61
map int32 Colour by_int32 62
map int64 int64 by_int64 63
map uint32 double by_uint32 64
map uint64 bytes by_uint64 65
map bool Everything by_bool 66
one google.protobuf.Timestamp at 71
one google.protobuf.Duration took 72
one google.protobuf.DoubleValue w_double 73
one google.protobuf.FloatValue w_float 74
one google.protobuf.Int64Value w_int64 75
one google.protobuf.UInt64Value w_uint64 76
one google.protobuf.Int32Value w_int32 77
one google.protobuf.UInt32Value w_uint32 78
one google.protobuf.StringValue w_string 79
one google.protobuf.BytesValue w_bytes 80
one google.protobuf.BoolValue w_bool 81
many google.protobuf.Duration pauses 82
one string mixedCase 91
one string renamed 92
)";

class Everything {
 public:
  Everything() : pool_(google::protobuf::DescriptorPool::generated_pool()), factory_(&pool_) {
    // The imports must be linked in before they can be found.
    (void)google::protobuf::Timestamp::descriptor();
    (void)google::protobuf::Duration::descriptor();
    (void)google::protobuf::BoolValue::descriptor();
    google::protobuf::FileDescriptorProto file;
    file.set_name("everything.proto");
    file.set_package("test");
    file.set_syntax("proto3");
    for (const char* name : {"timestamp", "duration", "wrappers"}) {
      file.add_dependency(std::string("google/protobuf/") + name + ".proto");
    }
    auto& colours = *file.add_enum_type();
    colours.set_name("Colour");
    for (const auto& [name, number] :
         {std::pair("COLOUR_NONE", 0), {"RED", 1}, {"GREEN", 2}, {"DARK_BLUE", -3}}) {
      auto& value = *colours.add_value();
      value.set_name(name);
      value.set_number(number);
    }
    declare_fields(*file.add_message_type());
    const auto* built = pool_.BuildFile(file);
    CAPSTAN_ASSERT(built != nullptr);
    prototype_ = factory_.GetPrototype(built->FindMessageTypeByName("Everything"));
  }
  std::unique_ptr<google::protobuf::Message> make() const {
    return std::unique_ptr<google::protobuf::Message>(prototype_->New());
  }

 private:
  using Field = google::protobuf::FieldDescriptorProto;
  static void set_type(Field& field, const std::string& type) {
    static const std::map<std::string, Field::Type> kScalars = {
        {"int32", Field::TYPE_INT32},       {"sint32", Field::TYPE_SINT32},
        {"sfixed32", Field::TYPE_SFIXED32}, {"int64", Field::TYPE_INT64},
        {"sint64", Field::TYPE_SINT64},     {"sfixed64", Field::TYPE_SFIXED64},
        {"uint32", Field::TYPE_UINT32},     {"fixed32", Field::TYPE_FIXED32},
        {"uint64", Field::TYPE_UINT64},     {"fixed64", Field::TYPE_FIXED64},
        {"float", Field::TYPE_FLOAT},       {"double", Field::TYPE_DOUBLE},
        {"bool", Field::TYPE_BOOL},         {"string", Field::TYPE_STRING},
        {"bytes", Field::TYPE_BYTES}};
    if (const auto scalar = kScalars.find(type); scalar != kScalars.end()) {
      field.set_type(scalar->second);
    } else {
      field.set_type_name(type.starts_with("google.") ? "." + type : ".test." + type);
    }
  }
  static void declare_map(google::protobuf::DescriptorProto& message, Field& field,
                          const std::string& key, const std::string& value) {
    std::string name;
    for (bool upper = true; const char c : field.name()) {
      if (c != '_') name += upper ? static_cast<char>(c - 'a' + 'A') : c;
      upper = c == '_';
    }
    auto& entry = *message.add_nested_type();
    entry.set_name(name + "Entry");
    entry.mutable_options()->set_map_entry(true);
    for (const auto& [part, number, type] :
         {std::tuple("key", 1, &key), std::tuple("value", 2, &value)}) {
      auto& member = *entry.add_field();
      member.set_name(part);
      member.set_number(number);
      member.set_label(Field::LABEL_OPTIONAL);
      set_type(member, *type);
    }
    field.set_label(Field::LABEL_REPEATED);
    field.set_type_name(".test.Everything." + entry.name());
  }
  static void declare_fields(google::protobuf::DescriptorProto& message) {
    message.set_name("Everything");
    message.add_oneof_decl()->set_name("choice");
    std::istringstream words(kFields);
    for (std::string label, type, mapped; words >> label >> type;) {
      if (label == "map") words >> mapped;
      auto& field = *message.add_field();
      int number = 0;
      words >> *field.mutable_name() >> number;
      field.set_number(number);
      if (field.name() == "renamed") field.set_json_name("other-name");
      if (label == "map") {
        declare_map(message, field, type, mapped);
        continue;
      }
      field.set_label(label == "many" ? Field::LABEL_REPEATED : Field::LABEL_OPTIONAL);
      set_type(field, type);
      if (label == "choice") field.set_oneof_index(0);
      if (label != "maybe") continue;
      field.set_proto3_optional(true);
      field.set_oneof_index(message.oneof_decl_size());
      message.add_oneof_decl()->set_name("_" + field.name());
    }
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
  const google::protobuf::Message* prototype_ = nullptr;
};

// Fills messages with content that likes the edges.
class Filler {
 public:
  explicit Filler(std::uint64_t seed) : random_(seed) {}

  void fill(google::protobuf::Message& message, int depth) {
    using google::protobuf::Descriptor;
    const Descriptor& type = *message.GetDescriptor();
    if (type.well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP) {
      return set_time(message, static_cast<std::int64_t>(random_() % 4'000'000'000) - 1'000'000);
    }
    if (type.well_known_type() == Descriptor::WELLKNOWNTYPE_DURATION) {
      return set_time(message, static_cast<std::int64_t>(random_() % 1'000));
    }
    for (int i = 0; i < type.field_count(); ++i) {
      const auto& field = *type.field(i);
      if (random_() % 3 != 0) continue;
      if (field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE && depth == 0) {
        continue;
      }
      if (!field.is_repeated()) {
        set(message, field, depth);
        continue;
      }
      for (auto n = field.is_map() ? 1 : random_() % 4; n > 0; --n) set(message, field, depth);
    }
  }

 private:
  void set_time(google::protobuf::Message& message, std::int64_t seconds) {
    const auto& r = *message.GetReflection();
    r.SetInt64(&message, message.GetDescriptor()->field(0), seconds);
    const std::int32_t nanos[] = {0, 1, 5'000, 250'000'000, 999'999'999};
    r.SetInt32(&message, message.GetDescriptor()->field(1), nanos[random_() % 5]);
  }
  template <class T>
  T integer() {
    switch (random_() % 4) {
      case 0: return std::numeric_limits<T>::max();
      case 1: return std::numeric_limits<T>::min();
      case 2: return static_cast<T>(random_() % 100);
      default: return static_cast<T>(random_());
    }
  }
  template <class T>
  T real() {
    const T edges[] = {0,
                       T(1.5),
                       T(-0.1),
                       std::numeric_limits<T>::max(),
                       std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::lowest(),
                       std::numeric_limits<T>::epsilon(),
                       T(1e15),
                       T(123456789012345678901.0),
                       std::numeric_limits<T>::infinity(),
                       -std::numeric_limits<T>::infinity()};
    if (random_() % 2 == 0) return edges[random_() % std::size(edges)];
    return static_cast<T>(static_cast<double>(random_()) / 1e6);
  }
  std::string text() {
    static const char* const kPieces[] = {"a",
                                          "Z9",
                                          "\"",
                                          "\\",
                                          "/",
                                          "\n",
                                          "\t",
                                          "\x01",
                                          "\x7F",
                                          "\xC3\xA9",
                                          "\xE2\x82\xAC",
                                          "\xE2\x80\xA8",
                                          "<b>",
                                          "\xF0\x9F\x92\xBE"};
    std::string out;
    for (auto n = random_() % 5; n > 0; --n) out += kPieces[random_() % std::size(kPieces)];
    return out;
  }
  std::string blob() {
    std::string out(random_() % 9, '\0');
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }
  void set(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
           int depth) {
    using google::protobuf::FieldDescriptor;
    const auto& r = *message.GetReflection();
    const FieldDescriptor* f = &field;
    const bool add = field.is_repeated();
    auto* m = &message;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto v = integer<std::int32_t>();
        return add ? r.AddInt32(m, f, v) : r.SetInt32(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const auto v = integer<std::int64_t>();
        return add ? r.AddInt64(m, f, v) : r.SetInt64(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto v = integer<std::uint32_t>();
        return add ? r.AddUInt32(m, f, v) : r.SetUInt32(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto v = integer<std::uint64_t>();
        return add ? r.AddUInt64(m, f, v) : r.SetUInt64(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        const auto v = real<float>();
        return add ? r.AddFloat(m, f, v) : r.SetFloat(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const auto v = real<double>();
        return add ? r.AddDouble(m, f, v) : r.SetDouble(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool v = random_() % 2 == 0;
        return add ? r.AddBool(m, f, v) : r.SetBool(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int numbers[] = {0, 1, 2, -3, 99};  // 99 is unknown and stays a number
        const int v = numbers[random_() % 5];
        return add ? r.AddEnumValue(m, f, v) : r.SetEnumValue(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        const auto v = field.type() == FieldDescriptor::TYPE_BYTES ? blob() : text();
        return add ? r.AddString(m, f, v) : r.SetString(m, f, v);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return fill(*(add ? r.AddMessage(m, f) : r.MutableMessage(m, f)), depth - 1);
    }
  }
  std::mt19937_64 random_;
};

// JSON with sorted members and one spelling for numbers that are equal as float, to compare by
// meaning.
inline std::string normalised(const simdjson::dom::element& value) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::OBJECT: {
      std::map<std::string, std::string> members;
      simdjson::dom::object object;
      CAPSTAN_ASSERT(value.get_object().get(object) == simdjson::SUCCESS);
      for (const auto& [name, content] : object) members[std::string(name)] = normalised(content);
      std::string out = "{";
      for (const auto& [name, content] : members) out += "<" + name + ">" + content + ",";
      return out + "}";
    }
    case element_type::ARRAY: {
      simdjson::dom::array array;
      CAPSTAN_ASSERT(value.get_array().get(array) == simdjson::SUCCESS);
      std::string out = "[";
      for (const auto element : array) out += normalised(element) + ",";
      return out + "]";
    }
    case element_type::DOUBLE:
    case element_type::INT64:
    case element_type::UINT64: {
      double number = 0;
      CAPSTAN_ASSERT(value.get_double().get(number) == simdjson::SUCCESS);
      // A float has many decimal texts; as a float all of them are the same.
      if (std::abs(number) < 0x1.ffffffp127) {
        number = static_cast<float>(std::clamp<double>(number, std::numeric_limits<float>::lowest(),
                                                       std::numeric_limits<float>::max()));
      }
      char digits[64];
      std::snprintf(digits, sizeof digits, "%a", number);
      return digits;
    }
    default: return simdjson::minify(value);
  }
}
inline std::string normalised(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto error = parser.parse(simdjson::padded_string(json)).get(root);
  return error ? "not JSON: " + json : normalised(root);
}

}  // namespace capstan::rpc::testing
