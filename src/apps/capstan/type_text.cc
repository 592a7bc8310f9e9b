// Why this file exists: see type_text.h.
#include "apps/capstan/type_text.h"

#include <algorithm>
#include <vector>

namespace capstan::apps {
namespace {

namespace pb = google::protobuf;

constexpr std::size_t kTypesMax = 64;

bool has_own_lines(const pb::Descriptor* type) {
  return type && type->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED;
}

std::string_view scalar_name(const pb::FieldDescriptor& field) {
  if (field.type() == pb::FieldDescriptor::TYPE_BYTES) return "bytes, in hex";
  return field.type_name();
}

// What well-known types look like in JSON.
std::string_view known_name(const pb::Descriptor& type) {
  switch (type.well_known_type()) {
    case pb::Descriptor::WELLKNOWNTYPE_TIMESTAMP: return "time, as in 2026-01-31T12:00:00Z";
    case pb::Descriptor::WELLKNOWNTYPE_DURATION: return "duration, as in 1.5s";
    case pb::Descriptor::WELLKNOWNTYPE_STRUCT: return "any JSON object";
    case pb::Descriptor::WELLKNOWNTYPE_VALUE: return "any JSON";
    case pb::Descriptor::WELLKNOWNTYPE_LISTVALUE: return "any JSON array";
    default: break;
  }
  return scalar_name(*type.field(0));  // a wrapper
}

std::string enum_text(const pb::EnumDescriptor& type) {
  std::string text;
  for (int i = 0; i < type.value_count(); ++i) {
    text += (i == 0 ? "" : "|") + std::string(type.value(i)->name());
  }
  return text;
}

class Types {
 public:
  std::string value(const pb::FieldDescriptor& field) {
    if (field.enum_type()) return enum_text(*field.enum_type());
    const auto* type = field.message_type();
    if (!type) return std::string(scalar_name(field));
    if (!has_own_lines(type)) return std::string(known_name(*type));
    if (std::ranges::find(types_, type) == types_.end() && types_.size() < kTypesMax) {
      types_.push_back(type);
    }
    return std::string(type->full_name());
  }
  std::string field(const pb::FieldDescriptor& field) {
    if (field.is_map()) {
      const auto& entry = *field.message_type();
      return "{ " + value(*entry.map_key()) + ": " + value(*entry.map_value()) + " … }";
    }
    std::string text = field.is_repeated() ? "[ " + value(field) + " … ]" : value(field);
    if (const auto* choice = field.real_containing_oneof()) {
      text += "  (one of " + std::string(choice->name()) + ")";
    } else if (!field.is_repeated() && field.has_presence()) {
      text += "  (optional)";
    }
    return text;
  }
  std::string fields(const pb::Descriptor& type, const std::vector<rpc::FieldPath>& hidden) {
    std::string text;
    for (int i = 0; i < type.field_count(); ++i) {
      const auto& one = *type.field(i);
      const bool gone = std::ranges::any_of(hidden, [&](const rpc::FieldPath& path) {
        return path.size() == 1 && path.front() == &one;
      });
      if (!gone) text += "  " + std::string(one.name()) + ": " + field(one) + "\n";
    }
    return text.empty() ? "  (nothing)\n" : text;
  }
  // Those that fields have named so far, and those that they name in turn.
  std::string named() {
    std::string text;
    for (std::size_t i = 0; i < types_.size(); ++i) {
      text += std::string(types_[i]->full_name()) + "\n" + fields(*types_[i], {});
    }
    return text;
  }

 private:
  std::vector<const pb::Descriptor*> types_;
};

}  // namespace

std::string shape_text(const rpc::BodyShape& shape) {
  Types types;
  std::string text;
  if (shape.field) {
    text = "  " + (shape.element ? types.value(*shape.field) : types.field(*shape.field)) + "\n";
  } else {
    text = types.fields(*shape.type, shape.hidden);
  }
  return text + types.named();
}

}  // namespace capstan::apps
